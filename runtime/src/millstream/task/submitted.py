"""At least once: rows go out as they come, offsets follow when their rows are acknowledged (§5.3)."""

import logging
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence

from millstream.errors import MillstreamError
from millstream.pipeline.poll import SourceSlice
from millstream.task.delivery import Load, Patience, Sent, passing, refusal, skippable
from millstream.task.offsets import Newest, Offsets, partition_key
from millstream.task.outlet import Outlet
from millstream_api import Place

log = logging.getLogger(__name__)

MILLISECOND = 0.001  # in which librdkafka counts


class AtLeastOnce:
    """Slices on their way, in poll order, and the commits of offsets behind them.

    Java commits on a thread of its own; here the loop looks at the clock after each poll and before each
    `context.wait`, so that plugin and producer are used by one thread.
    """

    def __init__(self, outlet: Outlet) -> None:
        assert outlet.parts.writer is not None
        self._outlet = outlet
        self._producer = outlet.parts.producer
        self._settings = outlet.parts.settings
        self._clock = outlet.parts.clock
        self._patience = Patience(outlet.parts.control, self._clock, "Writing to the log", outlet.hold)
        self._flying: deque[Sent] = deque()
        self._commits = Commits(outlet)
        self._due = self._clock.monotonic() + self._settings.offset_flush_interval_ms / 1000

    def send(self, slice: SourceSlice) -> None:
        sent = Sent(Load.of(slice))
        self._flying.append(sent)
        for routed in slice.outgoing:
            while True:
                self._outlet.check_cancelled()
                try:
                    self._outlet.topics.ensure(routed.batch.topic)
                    self._producer.send(routed.batch, sent.hearing(routed))
                except Exception as error:  # noqa: BLE001 - raised again unless it can pass
                    self._patience.wait(error)
                else:
                    break
        self._patience.over()
        self._outlet.parts.failpoint("source.send.after")

    def polled(self) -> None:
        self.tend()

    def tend(self) -> None:
        self._serve()
        self._land()
        self._commits.look()
        if self._clock.monotonic() >= self._due and not self._commits.under_way:
            self._due = self._clock.monotonic() + self._settings.offset_flush_interval_ms / 1000
            self._commits.begin(self._committable())

    def settle(self) -> None:
        """A pause: Java's commit thread goes on meanwhile; here what can be committed is, before it begins."""
        self.finish(None)

    def finish(self, failure: BaseException | None) -> None:
        """Wait up to `offset.flush.timeout.ms` for what is out, then commit once, after a failure as well."""
        deadline = self._clock.monotonic() + self._settings.offset_flush_timeout_ms / 1000
        self._flush(deadline)
        refusal: Exception | None = None
        try:
            self._land()
        except MillstreamError as error:
            refusal = error
        self._commits.wait(deadline)
        self._commits.begin(self._committable())
        self._commits.wait(deadline)
        if refusal is not None and failure is None:
            raise refusal

    def close(self) -> None:
        """Nothing is left: what is out is the producer's."""

    def _serve(self) -> None:
        while True:
            try:
                self._producer.poll()
            except Exception as error:  # noqa: BLE001 - raised again unless it can pass
                self._patience.wait(error)
            else:
                self._patience.over()
                return

    def _flush(self, deadline: float) -> None:
        why = ""
        try:
            self._producer.flush(max(deadline - self._clock.monotonic(), 0.0))
        except Exception as error:
            if not passing(error):
                raise
            why = f": {error}"
        if left := sum(1 for sent in self._flying if sent.waiting):
            late = self._clock.monotonic() >= deadline - MILLISECOND  # else nothing was waited for: the task failed
            time = f" within {self._settings.offset_flush_timeout_ms} ms (offset.flush.timeout.ms)" if late else ""
            batches = "1 batch of rows was" if left == 1 else f"{left} batches of rows were"
            log.error("%s not acknowledged%s, to be sent again after a restart%s", batches, time, why)

    def _land(self) -> None:
        """Take leave of what is acknowledged up to the first slice that is not; raise for a refused row."""
        while self._flying and not self._flying[0].waiting and not self._failing(self._flying[0]):
            sent = self._flying.popleft()
            self._commits.add(sent.load.newest())
            self._outlet.arrived(sent)
        for sent in self._flying:
            if failing := self._failing(sent):
                row = min(failing)
                raise refusal(sent.load, row, sent.refused[row])

    def _failing(self, sent: Sent) -> Sequence[int]:
        """Refused rows that are not to be left out."""
        if not self._settings.tolerate_failures:
            return list(sent.refused)
        return [row for row, error in sent.refused.items() if not skippable(error)]

    def _committable(self) -> Newest:
        """The offsets behind the longest acknowledged prefix of each source partition (SubmittedRecords.java)."""
        blocked: set[object] = set()
        found = Newest()
        for sent in self._flying:
            out = [routed.rows for routed in sent.waiting]
            out.append(self._failing(sent))
            missing = {row for rows in out for row in rows}
            ledger = sent.load.slice.ledger
            for partition, rows in ledger.split(sent.load.survivors()):
                key = partition_key(partition)
                if key in blocked:
                    continue
                first = min(missing.intersection(rows), default=None)
                length = len(rows) if first is None else bisect_left(rows, first)
                if length:
                    found.put(*ledger.place(rows[length - 1]))
                if first is not None:
                    blocked.add(key)
        return found


class Commits:
    """Writes of offsets by the worker: one at a time, given up after `offset.flush.timeout.ms`."""

    def __init__(self, outlet: Outlet) -> None:
        assert outlet.parts.writer is not None
        self._outlet = outlet
        self._writer = outlet.parts.writer
        self._clock = outlet.parts.clock
        self._timeout = outlet.parts.settings.offset_flush_timeout_ms / 1000
        self._pending = Newest()
        self._writing: _Writing | None = None

    @property
    def under_way(self) -> bool:
        return self._writing is not None

    def add(self, offsets: Iterable[tuple[Place | None, Place | None]]) -> None:
        self._pending.put_all(offsets)

    def begin(self, more: Newest) -> None:
        """Write what is pending, and `more`, which is ahead of it. The answer is looked for later."""
        if self._writing is not None:
            return
        self._pending.put_all(more.entries())
        offsets = self._pending.take()
        started = self._clock.monotonic()
        if not offsets:
            self._outlet.flushed(started, succeeded=True)
            return
        self._outlet.parts.failpoint("source.commit.before")
        self._writing = writing = _Writing(offsets, started)
        try:
            self._writer.write(offsets, writing.answer)
        except Exception as error:  # noqa: BLE001 - a write that cannot be asked for is one that failed
            writing.answer(error)
        self.look()

    def look(self) -> None:
        """See whether the write under way has been answered, or has taken too long."""
        writing = self._writing
        if writing is None:
            return
        late = self._clock.monotonic() - writing.started >= self._timeout
        answered = writing.answered.is_set()  # once: the answer may come at any moment
        if not answered and not late:
            return
        self._writing = None
        error = writing.error
        if not answered:
            error = MillstreamError(f"no answer within {self._timeout:g} s (offset.flush.timeout.ms)")
        self._outlet.flushed(writing.started, succeeded=error is None)
        if error is None:
            self._outlet.parts.failpoint("source.commit.after")
            self._outlet.committed(writing.offsets)
        else:
            log.error("Failed to commit offsets; they are committed with the next ones: %s", error)
            self._pending.put_older(writing.offsets)

    def wait(self, deadline: float) -> None:
        """Wait for the answer until `deadline`, monotonic seconds."""
        if self._writing is not None:
            self._writing.answered.wait(max(deadline - self._clock.monotonic(), 0.0))
            self.look()


class _Writing:
    """One write of offsets; answered once, on any thread."""

    def __init__(self, offsets: Offsets, started: float) -> None:
        self.offsets = offsets
        self.started = started
        self.error: Exception | None = None
        self.answered = threading.Event()

    def answer(self, error: Exception | None) -> None:
        self.error = error
        self.answered.set()
