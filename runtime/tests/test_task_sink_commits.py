"""What a sink task commits, and when: what pre_commit answers, and commits that fail or come late."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sink_bench import FIRST, SECOND, Keeping, numbers, run
from task_bench import HastyControl

from millstream.errors import BrokerError, RetriableError, UnknownTopicError
from millstream.identity import State
from millstream.lifecycle import ManualClock
from millstream.task.sink import SinkTaskLoop
from millstream_api import SinkBatch, TopicPartition


def answering(answer: Callable[[Mapping[TopicPartition, int]], Any]) -> type[Keeping]:
    class Answering(Keeping):
        def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Any:
            self.calls.append(("pre_commit", dict(offsets)))
            return answer(offsets)

    return Answering


@pytest.mark.parametrize(
    ("answer", "committed", "said"),
    [
        (lambda offsets: {FIRST: 1}, 1, ""),
        (lambda offsets: {}, None, ""),
        (lambda offsets: None, None, "Answering gave None, so that nothing is committed, and all is read again after"),
        (lambda offsets: {FIRST: 99}, None, "pre_commit gave 99 for"),
        (lambda offsets: {FIRST: -1}, None, "it can be a whole number from 0 to 2"),
        (lambda offsets: {FIRST: "2"}, None, "pre_commit gave '2' for"),
        (lambda offsets: {SECOND: 1}, None, "not among the partitions it was asked for"),
        (lambda offsets: {SECOND: 1, FIRST: 2}, 2, "not among the partitions it was asked for"),
    ],
)
def test_what_pre_commit_answers_is_believed_within_bounds(
    bench: Any, answer: Any, committed: int | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.produce(["a", "b"])
    run(bench, answering(answer))
    assert bench.committed() == committed
    assert said in caplog.text


@pytest.mark.parametrize("wrong", [{FIRST: 99}, {FIRST: "2"}, {SECOND: 1}], ids=str)
def test_a_wrong_answer_of_pre_commit_is_told_once_and_again_after_a_right_one(
    bench: Any, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [wrong, wrong, {}, wrong, wrong]

    class Asked(answering(lambda offsets: answers.pop(0) if answers else {})):  # type: ignore[misc]  # made by a function
        turns = 8

    bench.produce(["a", "b"])
    run(bench, Asked)
    assert not answers
    assert caplog.text.count("pre_commit gave") == 2


def test_a_pre_commit_that_gives_no_mapping_fails_the_task(bench: Any) -> None:
    bench.produce(["a"])
    run(bench, answering(lambda offsets: 5))
    assert (
        "pre_commit of answering.<locals>.Answering gave 'int'; it must give a mapping of partition to offset: those it"
        " was given, or fewer, or {}"
    ) in bench.trace()


def test_a_pre_commit_that_raises_rewinds_to_what_is_committed(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    left = [OSError("fsync failed")]

    def answer(offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if offsets[FIRST] and left:
            raise left.pop()
        return offsets

    bench.produce(["a", "b"])
    task = run(bench, answering(answer))
    assert task.puts == [["a", "b"], ["a", "b"], []]
    assert bench.committed() == 2
    assert "rewinding to the last committed offsets" in caplog.text


def test_rows_that_wait_to_be_put_again_do_not_overtake_those_a_failed_pre_commit_lost(bench: Any) -> None:
    left = [OSError("fsync failed")]

    class Losing(Keeping):
        turns = 3

        def take(self, batch: SinkBatch) -> None:
            if self.puts == [["a", "b"]]:
                bench.produce(["c"])
            elif left and len(batch):
                self.context.retry_in(0.001)
                self.context.request_commit()
                raise RetriableError("the database is away")

        def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
            if offsets[FIRST] and left:
                raise left.pop()
            return offsets

    bench.produce(["a", "b"])
    task = run(bench, Losing, settings={"offset_flush_interval_ms": 60_000})
    assert task.puts[:3] == [["a", "b"], ["c"], ["a", "b", "c"]]
    assert bench.committed() == 3


def test_a_rewind_that_fails_commits_nothing_that_pre_commit_could_not_keep(bench: Any) -> None:
    left = [OSError("fsync failed")]

    def answer(offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if offsets[FIRST] and left:
            raise left.pop()
        return offsets

    def faults(name: str) -> Exception | None:
        return BrokerError("the log is gone") if name == "seek" else None

    bench.produce(["a", "b"])
    run(bench, answering(answer), faults=faults)
    assert bench.states()[-1] is State.FAILED
    assert bench.committed() in (None, 0)


def test_a_pre_commit_that_raises_at_the_end_still_closes_and_commits_nothing(bench: Any) -> None:
    def answer(offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        raise OSError("fsync failed")

    class Once(answering(answer)):  # type: ignore[misc]
        turns = 1

    bench.produce(["a"])
    task = run(bench, Once, settings={"offset_flush_interval_ms": 60_000})
    assert task.calls[-2:] == [("close", [FIRST]), "stop"]
    assert bench.committed() is None
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_commit_is_made_at_the_interval_on_request_and_only_when_something_changed(bench: Any) -> None:
    clock = ManualClock()
    commits: list[Any] = []

    class Asking(Keeping):
        turns = 6

        def take(self, batch: SinkBatch) -> None:
            commits.append(bench.committed())
            if len(self.puts) == 2:
                bench.produce(["b"])
                self.context.request_commit()
            if len(self.puts) == 4:
                clock.advance(11)
            self.context.retry_in(0.001)

    bench.produce(["a"])
    run(bench, Asking, clock=clock, settings={"offset_flush_interval_ms": 10_000})
    assert commits == [None, None, 1, 1, 2, 2]
    assert numbers(bench)["offset-commit-completion-total"] >= 3


def test_an_answer_to_a_commit_that_came_too_late_is_skipped(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    late: list[Callable[[Exception | None], None]] = []

    class Slow:
        """A consumer that answers a commit only when it is told to."""

        def __init__(self, consumer: Any) -> None:
            self.consumer = consumer

        def __getattr__(self, name: str) -> Any:
            return getattr(self.consumer, name)

        def commit(self, offsets: Any, done: Any) -> None:
            late.append(done)

    class Waiting(Keeping):
        turns = 4

        def take(self, batch: SinkBatch) -> None:
            clock.advance(4)
            if len(self.puts) == 3:
                late[0](None)
            self.context.retry_in(0.001)

    bench.produce(["a"])
    control = HastyControl()
    parts = bench.sink_parts(
        lambda context: Waiting(context, control),
        control=control,
        clock=clock,
        settings={"offset_flush_interval_ms": 1_000, "offset_flush_timeout_ms": 3_000},
    )
    changed = {name: getattr(parts, name) for name in parts.__slots__} | {"consumer": Slow(parts.consumer)}
    SinkTaskLoop(type(parts)(**changed)).run()
    assert caplog.text.count("was not answered within 3000 ms (offset.flush.timeout.ms)") == 1
    assert numbers(bench)["offset-commit-skip-total"] == 1


def test_a_commit_that_fails_is_logged_and_made_again(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    left = [BrokerError("the disk is full", retriable=True)]

    def faults(name: str) -> Exception | None:
        return left.pop() if name == "commit" and left else None

    bench.produce(["a"])
    run(bench, faults=faults)
    assert bench.committed() == 1
    assert "Commit of offsets failed; the next one includes it" in caplog.text


def test_a_commit_that_fails_for_a_topic_that_is_gone_is_no_error_of_the_task(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its consumer says that the topic is gone, or another one in the same name."""
    left = [UnknownTopicError("committing positions: of t: deleted, and made anew or not yet; not committed")]

    def faults(name: str) -> Exception | None:
        return left.pop() if name == "commit" and left else None

    bench.produce(["a"])
    run(bench, faults=faults)
    assert not left
    assert bench.committed() == 1
    assert "Commit of offsets failed" not in caplog.text


def test_a_full_disk_is_said_once_although_each_commit_fails(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    failed: list[str] = []

    def faults(name: str) -> Exception | None:
        if name != "commit":
            return None
        failed.append(name)
        return BrokerError("the disk is full", retriable=True)

    bench.produce(["a", "b", "c", "d"])
    run(bench, faults=faults, settings={"offset_flush_interval_ms": 0})
    assert len(failed) > 1
    assert caplog.text.count("the disk is full") == 1
