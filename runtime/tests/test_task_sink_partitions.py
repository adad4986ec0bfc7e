"""Partitions of a sink task that come and go, are sought and paused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import task_bench
from sink_bench import FIRST, SECOND, Keeping, rows, run
from task_bench import HastyControl

from millstream.broker.ports import Incoming
from millstream.errors import IllegalStateError, RetriableError
from millstream.identity import State
from millstream.task.sink import SinkTaskLoop, without
from millstream_api import RecordBatch, SinkBatch, TopicPartition


def test_a_seek_from_open_is_done_before_the_first_row_is_read(bench: Any) -> None:
    class Resuming(Keeping):
        def open(self, partitions: frozenset[TopicPartition]) -> None:
            self.context.seek({FIRST: 2})

    bench.produce(["a", "b", "c"])
    assert run(bench, Resuming).puts[0] == ["c"]
    assert bench.committed() == 3


def test_a_seek_goes_back_and_counts_as_committed(bench: Any) -> None:
    class Again(Keeping):
        def take(self, batch: SinkBatch) -> None:
            if len(self.puts) == 1:
                self.context.seek({FIRST: 1})

    bench.produce(["a", "b"])
    assert run(bench, Again).puts[:2] == [["a", "b"], ["b"]]


@pytest.mark.parametrize("method", ["seek", "pause", "resume"])
def test_partitions_of_others_are_refused_by_name(bench: Any, method: str) -> None:
    class Lost(Keeping):
        def take(self, batch: SinkBatch) -> None:
            if method == "seek":
                self.context.seek({TopicPartition("data", 7): 0})
            else:
                getattr(self.context, method)(TopicPartition("data", 7))

    bench.produce(["a"])
    run(bench, Lost)
    assert "data-7" in bench.trace()
    assert "context.assignment() has those that are" in bench.trace()


def test_paused_partitions_give_nothing_until_resumed(bench: Any) -> None:
    class Steering(Keeping):
        turns = 4

        def take(self, batch: SinkBatch) -> None:
            if len(self.puts) == 1:
                assert self.context.assignment() == {FIRST}
                self.context.pause(FIRST)
                bench.produce(["b"])
            if len(self.puts) == 3:
                self.context.resume(FIRST)

    bench.produce(["a"])
    assert run(bench, Steering).puts == [["a"], [], [], ["b"]]


class Moving:
    """A consumer whose partitions come and go as a test wants; each step is run inside a poll."""

    def __init__(self, *steps: Callable[["Moving"], Sequence[Incoming]]) -> None:
        self.steps = list(steps)
        self.listener: Any = None
        self.positions = {FIRST: 0, SECOND: 0}
        self.committed: list[Mapping[TopicPartition, int]] = []
        self.paused: set[TopicPartition] = set()

    def subscribe(self, topics: Any, pattern: Any, listener: Any) -> None:
        self.listener = listener

    def poll(self, max_rows: int, timeout: float) -> Sequence[Incoming]:
        return self.steps.pop(0)(self) if self.steps else ()

    def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, partitions: Any) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Any) -> None:
        self.paused.difference_update(partitions)

    def commit(self, offsets: Any, done: Any) -> None:
        self.commit_now(offsets)
        done(None)

    def commit_now(self, offsets: Any) -> None:
        self.committed.append(dict(offsets))

    def wakeup(self) -> None: ...

    def close(self) -> None: ...


def moving(bench: Any, consumer: Moving, kind: type[Keeping] = Keeping) -> Keeping:
    control = HastyControl()
    made: list[Keeping] = []

    def plugin(context: Any) -> Keeping:
        made.append(kind(context, control))
        return made[0]

    parts = bench.sink_parts(plugin, control=control, settings={"offset_flush_interval_ms": 60_000})
    parts.consumer.close()
    changed = {name: getattr(parts, name) for name in parts.__slots__} | {"consumer": consumer}
    SinkTaskLoop(type(parts)(**changed)).run()
    return made[0]


def assign(*partitions: TopicPartition, give: Sequence[Incoming] = ()) -> Callable[[Moving], Sequence[Incoming]]:
    def step(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.assigned(partitions)
        return give

    return step


def test_revoked_partitions_are_committed_and_closed_and_the_others_stay(bench: Any) -> None:
    def revoke(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.revoked([SECOND])
        return [rows("c", start=1)]

    both = [rows("a"), rows("b", partition=1)]
    consumer = Moving(assign(FIRST, SECOND, give=both), revoke)
    task = moving(bench, consumer)
    assert task.puts[:2] == [["a", "b"], ["c"]]
    assert task.calls == [
        "start",
        ("open", [FIRST, SECOND]),
        ("close", [SECOND]),
        ("close", [FIRST]),
        "stop",
    ]
    assert consumer.committed == [{SECOND: 1}, {FIRST: 2}]


def test_lost_partitions_are_closed_without_a_commit(bench: Any) -> None:
    def lose(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.lost([FIRST])
        return ()

    consumer = Moving(assign(FIRST, give=[rows("a")]), lose)
    task = moving(bench, consumer)
    assert task.calls == ["start", ("open", [FIRST]), ("close", [FIRST]), "stop"]
    assert consumer.committed == []


def test_rows_of_partitions_that_went_are_not_delivered_again(bench: Any) -> None:
    class Away(Keeping):
        turns = 3

        def take(self, batch: SinkBatch) -> None:
            if len(self.puts) < 3:
                raise RetriableError("away")

    def revoke(consumer: Moving) -> Sequence[Incoming]:
        assert consumer.paused == {FIRST, SECOND}
        consumer.listener.revoked([SECOND])
        return ()

    both = [rows("a", "b"), rows("x", partition=1)]
    consumer = Moving(assign(FIRST, SECOND, give=both), revoke)
    task = moving(bench, consumer, Away)
    assert task.puts == [["a", "b", "x"], ["a", "b"], ["a", "b"]]
    assert consumer.committed == [{FIRST: 2}], "the redelivered rows of the partition that went were never put"


def test_what_a_callback_raises_fails_the_task_behind_the_poll(bench: Any) -> None:
    class Stuck(Keeping):
        def close(self, partitions: frozenset[TopicPartition]) -> None:
            raise OSError("cannot close")

    def revoke(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.revoked([FIRST])
        return ()

    moving(bench, Moving(assign(FIRST), revoke), Stuck)
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert bench.trace().startswith("OSError: cannot close")


def test_a_client_that_gives_rows_of_paused_partitions_is_not_believed(bench: Any) -> None:
    class Away(Keeping):
        def take(self, batch: SinkBatch) -> None:
            raise RetriableError("away")

    consumer = Moving(assign(FIRST, give=[rows("a")]), lambda _: [rows("b", start=1)])
    moving(bench, consumer, Away)
    assert "rows of paused partitions" in bench.trace()


def test_rows_of_some_partitions_are_taken_out_of_a_batch() -> None:
    origins = [
        task_bench.SimpleNamespace(topic="data", partition=number, offset=at) for at, number in enumerate([0, 1, 0])
    ]
    first = RecordBatch("data", None, ["a", "c"], rows=[0, 2])
    second = RecordBatch("data", None, ["b"], rows=[1])
    left = without(SinkBatch([first, second], origins), frozenset({SECOND}))
    assert [(record.value, record.row, record.origin.offset) for record in left] == [("a", 0, 0), ("c", 1, 2)]
    assert not without(left, frozenset({FIRST}))


def test_seeking_is_for_the_tasks_own_partitions_only(bench: Any) -> None:
    with pytest.raises(IllegalStateError, match="pause names partitions that are not assigned to this task: data-0"):
        run(bench).context.pause(FIRST)


def test_what_was_committed_of_a_topic_is_not_kept_for_the_one_made_anew(bench: Any) -> None:
    class OnlySecond(Keeping):
        def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
            return {SECOND: offsets[SECOND]}

    both = [rows("a", start=10), rows("b", partition=1)]
    consumer = Moving(assign(FIRST, SECOND, give=both), lambda _: [rows("n", start=0)])
    consumer.positions[FIRST] = 10
    moving(bench, consumer, OnlySecond)
    assert consumer.committed == [{FIRST: 0, SECOND: 1}]
