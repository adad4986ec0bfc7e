"""A topic that several threads read to its end while another follows it."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import task_bench

from millstream.broker.ports import Incoming
from millstream.errors import BrokerError, WorkerError
from millstream.lifecycle import ManualClock, StopToken, SystemClock
from millstream.storage import topic_log
from millstream.storage.topic_log import POLL_SECONDS, READ_SECONDS, LogRow, TopicLog
from millstream_api import TopicPartition

ONLY = TopicPartition("t", 0)


class FakeConsumer:
    """One partition whose rows tests append; notices when two threads use it at once, and use behind its close."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.at = 0
        self.misuse: list[str] = []
        self.failures: list[Exception] = []
        self.polls = 0
        self.closed = False
        self._inside = threading.Lock()
        self._wake = threading.Event()

    def assign(self, positions: Any) -> None:
        self.at = 0

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        with self._alone("end_offsets"):
            return dict.fromkeys(partitions, len(self.rows))

    def position(self, partition: TopicPartition) -> int:
        return self.at

    def poll(self, max_rows: int, timeout: float) -> Sequence[Incoming]:
        with self._alone("poll"):
            self.polls += 1
            if self.failures:
                raise self.failures.pop()
            if self.at == len(self.rows):
                self._wake.wait(timeout)
                self._wake.clear()
            first, self.at = self.at, min(len(self.rows), self.at + max_rows)
            values = self.rows[first : self.at]
            if not values:
                return ()
            at = range(first, self.at)
            return [Incoming("t", 0, list(at), values, None, [0] * len(values))]

    def wakeup(self) -> None:
        self._wake.set()

    def close(self) -> None:
        with self._alone("close"):
            self.closed = True

    def _alone(self, call: str) -> Any:
        if self.closed:
            self.misuse.append(f"{call} behind close")
        if not self._inside.acquire(blocking=False):
            self.misuse.append(f"{call} beside another call")
            self._inside.acquire()
        return _Releasing(self._inside)


class _Releasing:
    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        """It is held already."""

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Bench:
    def __init__(self, apply: Callable[[LogRow], None] | None = None) -> None:
        self.consumer = FakeConsumer()
        self.applied: list[bytes | None] = []
        self.log = TopicLog(self.consumer, "t", SystemClock(), apply or self.note)  # type: ignore[arg-type]

    def note(self, row: LogRow) -> None:
        self.applied.append(row.value)

    def write(self, *values: bytes) -> None:
        self.consumer.rows.extend(values)
        self.consumer.wakeup()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    if not bench.consumer.closed:
        bench.log.close()
    assert bench.consumer.misuse == []


@pytest.fixture
def _switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.timeout(120)  # a lock is handed to anybody, and threads change places at each step
@pytest.mark.usefixtures("_switching")
def test_many_who_want_the_end_leave_the_follower_following(bench: Bench) -> None:
    bench.log.start(1, follow=True)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for number in range(200):
                bench.consumer.rows.append(b"%d" % number)
                seen = len(bench.consumer.rows)
                bench.log.read_to_end(100)
                assert bench.consumer.at >= seen, "a row that was there at the call was not read"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert failures == []
    assert len(bench.applied) == 1600
    bench.write(b"last")
    task_bench.eventually(lambda: bench.applied[-1] == b"last")


@contextmanager
def read_by_another(bench: Bench) -> Iterator[None]:
    """Another thread is reading meanwhile, and does not get on."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(row: LogRow) -> None:
        inside.set()
        assert go_on.wait(30)

    bench.log = TopicLog(bench.consumer, "t", SystemClock(), slow)  # type: ignore[arg-type]
    bench.log.start(1)
    bench.write(b"a")
    reading = threading.Thread(target=bench.log.read_to_end)
    reading.start()
    assert inside.wait(20)
    try:
        yield
    finally:
        go_on.set()
        reading.join(20)
    assert not reading.is_alive()


def test_who_waits_for_another_reader_waits_no_longer_than_asked(bench: Bench) -> None:
    with (
        read_by_another(bench),
        pytest.raises(WorkerError, match=r"Timed out after 0\.1 s reading topic 't' to its end"),
    ):
        bench.log.read_to_end(0.1)
    bench.log.read_to_end(20)


class Endless(FakeConsumer):
    """A topic whose end is never reached; each poll takes a second of a clock of ours."""

    def __init__(self, clock: ManualClock, over: StopToken, polls: int) -> None:
        super().__init__()
        self._clock, self._over, self._left = clock, over, polls

    def end_offsets(self, partitions: Any) -> Any:
        return dict.fromkeys(partitions, 1)

    def position(self, partition: Any) -> int:
        return 0

    def poll(self, max_rows: int, timeout: float) -> list[Any]:
        assert 0 < timeout <= POLL_SECONDS
        self._clock.advance(timeout)
        self._left -= 1
        if not self._left:
            self._over.set()
        return []


def test_who_has_patience_waits_for_the_end_beyond_the_time_which_is_said_once_until_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, over = ManualClock(), StopToken()
    log = TopicLog(Endless(clock, over, polls=100), "t", clock, lambda row: None)  # type: ignore[arg-type]
    log._partitions = [TopicPartition("t", 0)]
    assert log.read_to_end(over=over) is False
    assert clock.monotonic() >= 100 * POLL_SECONDS > READ_SECONDS
    assert [record.getMessage() for record in caplog.records] == [
        "Topic 't' is still being read to its end after 30 s; it goes on"
    ]


def test_a_record_that_cannot_be_applied_holds_up_none_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    def apply(row: LogRow) -> None:
        if row.value == b"bad":
            raise TypeError("no such thing")
        bench.note(row)

    bench.log = TopicLog(bench.consumer, "t", SystemClock(), apply)  # type: ignore[arg-type]
    bench.consumer.rows += [b"a", b"bad", b"b"]
    bench.log.start(1, follow=True)
    assert bench.applied == [b"a", b"b"]
    bench.write(b"bad", b"c")
    task_bench.eventually(lambda: bench.applied[-1] == b"c")
    assert bench.log.following
    bench.log.close()
    assert [record.getMessage() for record in caplog.records] == [
        "The record at t-0, offset 1, is passed over",
        "The record at t-0, offset 3, is passed over",
    ]


def test_a_follower_that_cannot_read_says_so_once_and_lets_others_read_meanwhile(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(topic_log, "RETRY_SECONDS", 60.0)
    bench.log.start(1, follow=True)
    bench.consumer.failures.append(BrokerError("the disk is away", retriable=True))
    task_bench.eventually(lambda: bool(bench.consumer.polls))
    bench.consumer.wakeup()
    task_bench.eventually(lambda: "Reading topic 't' failed; it is tried again: the disk is away" in caplog.text)
    bench.consumer.rows.append(b"a")
    bench.log.read_to_end(20)
    assert bench.applied == [b"a"]


def test_a_consumer_in_use_is_not_closed(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_log, "CLOSE_SECONDS", 0.1)
    with read_by_another(bench):
        bench.log.close()
        assert not bench.consumer.closed
        assert "Topic 't' is still being read after 0.1 s; its consumer stays open" in caplog.text
    bench.log.close()
    assert bench.consumer.closed


def test_close_ends_a_follower_and_then_its_consumer(bench: Bench) -> None:
    bench.log.start(1, follow=True)
    assert bench.log.following
    bench.log.close()
    assert not bench.log.following
    assert bench.consumer.closed
