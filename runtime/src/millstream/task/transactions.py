"""Exactly once: rows and their source offsets in one transaction of the task's own producer (§7.5, KIP-618).

The commit policy. With `transaction.boundary=poll` a transaction ends behind each poll that gave rows. That is also
the fastest of the sound choices: a commit on the embedded log costs one append of a WAL under a lock, no fsync, and a
plugin that wants throughput returns hundreds of rows a poll, so that the cost of a commit is spread over them. Waiting
for more rows cannot be sound here: the next `poll` may block for ever, and what was not committed would be invisible
for as long, and a plugin whose upstream waits for `commit` would never get its next row.

Rows stay here until their transaction is committed. That is what makes a full disk harmless (abort, wait, write the
same rows again), and a refused row exact: the transaction is aborted and written again up to that row.
"""

import logging
from collections.abc import Callable

from millstream.errors import BrokerError, MillstreamError
from millstream.pipeline.poll import SourceSlice
from millstream.task.context import TransactionRequests
from millstream.task.delivery import Load, Patience, Sent, passing
from millstream.task.living import StopAskedError
from millstream.task.offsets import Newest, Offsets
from millstream.task.outlet import Outlet

log = logging.getLogger(__name__)


class Transactions:
    """The open transaction of a source task and its boundaries."""

    def __init__(self, outlet: Outlet, requests: TransactionRequests) -> None:
        assert outlet.parts.rows is not None
        self._outlet = outlet
        self._producer = outlet.parts.producer
        self._encoder = outlet.parts.rows
        self._settings = outlet.parts.settings
        self._clock = outlet.parts.clock
        self._requests = requests
        self._patience = Patience(outlet.parts.control, self._clock, "Writing to the log")
        self._loads: list[Load] = []  # of the open transaction
        self._sent: list[Sent] = []  # those of them that the producer has
        self._left: Newest = Newest()  # offsets of an aborted transaction, committed with the next
        self._open = False
        self._broken = False
        self._last = self._clock.monotonic()

    def send(self, slice: SourceSlice) -> None:
        for routed in slice.outgoing:
            if routed.batch.topic == self._settings.own_offsets_topic:
                raise MillstreamError(
                    "Source tasks may not produce to their own offsets topics when exactly-once support is enabled; "
                    f"the task wrote to {routed.batch.topic!r}"
                )
        self._loads.append(Load.of(slice))
        self._persist(self._write)
        if slice.boundary is not None and self._settings.boundary == "connector":
            self._bound(slice.boundary)

    def polled(self) -> None:
        if self._settings.boundary == "poll":
            self._commit()
        elif self._settings.boundary == "connector":
            self._bound(self._requests.take())
        else:
            self.tend()

    def tend(self) -> None:
        interval = self._settings.boundary_interval_ms
        if interval is None:
            interval = self._settings.offset_flush_interval_ms
        if self._settings.boundary == "interval" and self._clock.monotonic() >= self._last + interval / 1000:
            self._commit()

    def settle(self) -> None:
        """The final-transaction rule: `connector` commits only what it was asked to."""
        if self._settings.boundary == "connector":
            self._bound(self._requests.take())
        else:
            self._commit()

    def finish(self, failure: BaseException | None) -> None:
        """Commit what is whole. Deviation: after a failure as well (Java leaves the transaction to be aborted, so that
        the rows before the failing one are read again): a prefix with its offsets is exactly once either way."""
        if failure is None or (self._settings.boundary != "connector" and not self._broken):
            self.settle()
        if self._open:
            self._abort()

    def _bound(self, request: str | None) -> None:
        if request == "commit":
            self._commit()
        elif request == "abort":
            self._drop()

    def _drop(self) -> None:
        """Abort at the connector's wish. Its offsets are committed all the same, as in Java."""
        if not self._open:
            log.warning("The task asked to abort a transaction, and none is open")
        offsets = self._offsets()
        self._persist(self._abort)
        for load in self._loads:
            self._outlet.aborted(Sent(load))
        self._loads = []
        self._left.put_all(offsets)
        self._commit()

    def _commit(self) -> None:
        started = self._clock.monotonic()
        self._last = started
        if not self._loads and not self._left:
            return
        offsets: Offsets = ()

        def step() -> None:
            nonlocal offsets
            self._write()
            offsets = self._offsets()
            self._close_transaction(offsets)

        self._persist(step)
        self._committed(offsets, started)

    def _committed(self, offsets: Offsets, started: float) -> None:
        sent, self._sent, self._loads = self._sent, [], []
        self._left = Newest()
        self._outlet.metrics.transaction(sum(one.load.surviving - len(one.refused) for one in sent))
        self._outlet.flushed(started, succeeded=True)
        for one in sent:
            self._outlet.arrived(one)
        self._outlet.committed(offsets)

    def _offsets(self) -> Offsets:
        """What the transaction's surviving rows, dropped ones left out, bring each source partition to."""
        found = Newest()
        found.put_all(self._left.entries())
        for load in self._loads:
            found.put_all(load.newest())
        return found.entries()

    def _persist(self, step: Callable[[], None]) -> None:
        """Do `step`, again after each abort, until it succeeds; raises what cannot pass by itself."""
        while True:
            try:
                self._outlet.check_cancelled()
                step()
                self._patience.over()
                return
            except _RefusedError as refused:
                self._cut_at(refused)
            except StopAskedError:
                raise
            except Exception as error:
                if not passing(error):
                    self._broken = True
                    raise
                self._abort()
                self._patience.wait(error)

    def _write(self) -> None:
        """Hand to the producer what it does not have yet of this transaction."""
        for load in self._loads[len(self._sent) :]:
            sent = Sent(load)
            self._sent.append(sent)
            for routed in load.outgoing:
                self._outlet.topics.ensure(routed.batch.topic)
                self._begin()
                self._producer.send(routed.batch, sent.hearing(routed))
            if sent.refused:
                self._judge(len(self._sent) - 1)
        self._outlet.parts.failpoint("source.send.after")

    def _judge(self, at: int) -> None:
        """Rows of slice `at` were refused: raise for the lowest, unless they are to be skipped."""
        refused = self._sent[at].refused
        for row in sorted(refused):
            if passing(refused[row]):
                raise refused[row]
        if not self._settings.tolerate_failures:
            row = min(refused)
            raise _RefusedError(at, row, refused[row])

    def _cut_at(self, refused: "_RefusedError") -> None:
        """Write the transaction again without the refused row and all behind it, commit that, and fail."""
        self._persist(self._abort)
        self._loads = [*self._loads[: refused.at], self._loads[refused.at].before(refused.row)]
        if self._settings.boundary != "connector":
            self._commit()
        raise MillstreamError("Unrecoverable exception from producer send callback") from refused.error

    def _begin(self) -> None:
        if not self._open:
            self._producer.begin()
            self._open = True

    def _abort(self) -> None:
        """Forget what the producer has; the slices stay here."""
        self._sent = []
        if self._open:
            self._open = False
            self._producer.abort()

    def _close_transaction(self, offsets: Offsets) -> None:
        failpoint = self._outlet.parts.failpoint
        failpoint("source.offsets.before")
        if offsets:
            failures: list[Exception] = []
            try:
                rows = self._encoder.rows(offsets)
            except Exception as error:
                raise MillstreamError(
                    f"Failed to flush offsets and/or records for task {self._outlet.parts.id}"
                ) from error
            self._begin()
            self._producer.send(rows, lambda delivered: failures.extend(delivered.failures.values()))
            if failures:
                raise failures[0]
        if self._open:
            failpoint("source.commit.before")
            self._producer.commit()
            self._open = False
            failpoint("source.commit.after")
        self._check_late_refusals()

    def _check_late_refusals(self) -> None:
        """A producer that commits although it refused a row, and tells only now, has broken its word."""
        for sent in self._sent:
            if sent.waiting or (sent.refused and not self._settings.tolerate_failures):
                error = next(iter(sent.refused.values()), None)
                raise BrokerError("the transaction was committed without all of its rows") from error


class _RefusedError(Exception):
    def __init__(self, at: int, row: int, error: Exception) -> None:
        super().__init__(at, row)
        self.at = at
        self.row = row
        self.error = error
