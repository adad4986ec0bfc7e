"""One transaction of a source task after the other: its rows stay here until it is committed.

That is what makes a full disk harmless (abort, wait, write the same rows again), and a refused row exact: the
transaction is aborted and written again up to that row.
"""

import logging
from collections.abc import Callable, Hashable, Sequence

from millstream.errors import BrokerError, MillstreamError
from millstream.task.delivery import Load, Patience, Sent, passing, refusal, skippable
from millstream.task.living import StopAskedError
from millstream.task.offsets import Newest, Offsets, partition_key
from millstream.task.outlet import Outlet
from millstream_api import Place

log = logging.getLogger(__name__)


class Transaction:
    """open: the producer has begun it.   broken: an error came that does not pass by itself."""

    def __init__(self, outlet: Outlet, keeps_prefix: bool) -> None:
        """keeps_prefix: rows before a refused one are committed before the task fails."""
        assert outlet.parts.rows is not None
        self.open = False
        self.broken = False
        self._outlet = outlet
        self._keeps_prefix = keeps_prefix
        self._producer = outlet.parts.producer
        self._encoder = outlet.parts.rows
        self._tolerates = outlet.parts.settings.tolerate_failures
        self._clock = outlet.parts.clock
        self.patience = Patience(outlet.parts.control, self._clock, "Writing to the log", outlet.hold)
        self._loads: list[Load] = []
        self._sent: list[Sent] = []  # those of them that the producer has
        self._left: Newest = Newest()  # offsets of an aborted transaction, committed with the next

    def add(self, load: Load) -> None:
        """Have the rows written as soon as the log takes them."""
        self._loads.append(load)
        self._persist(self._write)

    def drop(self) -> None:
        """Abort at the connector's wish. Its offsets are committed all the same, as in Java."""
        if not self.open:
            log.warning("The task asked to abort a transaction, and none is open")
        offsets = self._offsets()
        self._persist(self.abort)
        for load in self._loads:
            self._outlet.aborted(Sent(load))
        self._loads = []
        self._left.put_all(offsets)
        self.commit()

    def commit(self) -> None:
        started = self._clock.monotonic()
        if not self._loads and not self._left:
            return
        offsets: Offsets = ()
        wrote = False

        def step() -> None:
            nonlocal offsets, wrote
            self._write()
            offsets = self._offsets()
            wrote = self._close(offsets)

        self._persist(step)
        if wrote:  # rows that were all dropped need no transaction, and are none of size 0 (TransactionMetricsGroup)
            self._outlet.metrics.transaction(sum(one.load.surviving - len(one.refused) for one in self._sent))
        self._committed(offsets, started)

    def abort(self) -> None:
        """Forget what the producer has, as soon as the log can be reached; the slices stay here."""
        self._sent = []
        while self.open:
            try:
                self._producer.abort()
            except Exception as error:  # noqa: BLE001 - raised again unless it can pass
                self.open = passing(error)
                self.patience.wait(error)
            else:
                self.open = False

    def _committed(self, offsets: Offsets, started: float) -> None:
        sent, self._sent, self._loads = self._sent, [], []
        self._left = Newest()
        self.patience.over()  # not before: what was handed over in memory says nothing of the disk
        self._outlet.flushed(started, succeeded=True)
        for one in sent:
            self._outlet.arrived(one)
        self._outlet.committed(offsets)

    def _offsets(self) -> Offsets:
        """What the transaction's surviving rows, dropped ones left out, bring each source partition to."""
        found = Newest()
        found.put_all(self._left.entries())
        found.put_all(newest_places(self._loads))
        return found.entries()

    def _persist(self, step: Callable[[], None]) -> None:
        """Do `step`, again after each abort, until it succeeds; raises what cannot pass by itself."""
        while True:
            try:
                self._outlet.check_cancelled()
                step()
                return
            except _RefusedError as refused:
                self._cut_at(refused)
            except StopAskedError:
                raise
            except Exception as error:
                if not passing(error):
                    self.broken = True
                    raise
                self.abort()
                self.patience.wait(error)

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
                _judge(len(self._sent) - 1, sent, self._tolerates)
        self._outlet.parts.failpoint("source.send.after")

    def _cut_at(self, refused: "_RefusedError") -> None:
        """Write the transaction again without the refused row and all behind it, commit that, and fail."""
        self._persist(self.abort)
        load = self._loads[refused.at]
        self._loads = [*self._loads[: refused.at], load.before(refused.row)]
        if self._keeps_prefix:
            self.commit()
        raise refusal(load, refused.row, refused.error)

    def _begin(self) -> None:
        if not self.open:
            self._producer.begin()
            self.open = True

    def _close(self, offsets: Offsets) -> bool:
        """Commit with these offsets; false: there was nothing to commit."""
        failpoint = self._outlet.parts.failpoint
        failpoint("source.offsets.before")
        if offsets:
            failures: list[Exception] = []
            try:
                rows = self._encoder.rows(offsets)
            except Exception as error:
                if passing(error):  # the store of offsets is opened when it is first needed
                    raise
                raise MillstreamError(
                    f"Failed to flush offsets and/or records for task {self._outlet.parts.id}"
                ) from error
            self._begin()
            self._producer.send(rows, lambda delivered: failures.extend(delivered.failures.values()))
            if failures:
                raise failures[0]
        wrote = self.open
        if wrote:
            failpoint("source.commit.before")
            self._producer.commit()
            self.open = False
            failpoint("source.commit.after")
        check_late_refusals(self._sent, self._tolerates)
        return wrote


def newest_places(loads: Sequence[Load]) -> Sequence[tuple[Place | None, Place | None]]:
    """What the surviving rows of slices in poll order bring each source partition to.

    From the last slice back, so that a plugin is asked once a partition, whatever the number of slices.
    """
    places: list[tuple[Place | None, Place | None]] = []
    seen: set[Hashable] = set()
    for load in reversed(loads):
        ledger = load.slice.ledger
        for partition, rows in ledger.split(load.survivors()):
            name = partition_key(partition)
            if name not in seen:
                seen.add(name)
                places.append(ledger.place(rows[-1]))
    return places[::-1]


def _judge(at: int, sent: Sent, tolerates: bool) -> None:
    """Rows of slice `at` were refused: raise for the lowest of those that are not to be skipped."""
    for row in sorted(sent.refused):
        if passing(sent.refused[row]):
            raise sent.refused[row]
    failing = [row for row, error in sent.refused.items() if not (tolerates and skippable(error))]
    if failing:
        row = min(failing)
        raise _RefusedError(at, row, sent.refused[row])


def check_late_refusals(every: list[Sent], tolerates: bool) -> None:
    """A producer that commits although it refused a row, and tells only now, has broken its word."""
    for sent in every:
        if sent.waiting or (sent.refused and not tolerates):
            error = next(iter(sent.refused.values()), None)
            raise BrokerError("the transaction was committed without all of its rows") from error


class _RefusedError(Exception):
    def __init__(self, at: int, row: int, error: Exception) -> None:
        super().__init__(at, row)
        self.at = at
        self.row = row
        self.error = error
