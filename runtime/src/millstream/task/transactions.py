"""Exactly once: rows and their source offsets in one transaction of the task's own producer (§7.5, KIP-618).

The commit policy. With `transaction.boundary=poll` a transaction ends behind each poll that gave rows. That is also
the fastest of the sound choices: a commit on the embedded log costs one append of a WAL under a lock, no fsync, and a
plugin that wants throughput returns hundreds of rows a poll, so that the cost of a commit is spread over them. Waiting
for more rows cannot be sound here: the next `poll` may block for ever, and what was not committed would be invisible
for as long, and a plugin whose upstream waits for `commit` would never get its next row.
"""

from millstream.errors import MillstreamError
from millstream.pipeline.poll import SourceSlice
from millstream.task.context import TransactionRequests
from millstream.task.delivery import Load
from millstream.task.outlet import Outlet
from millstream.task.transaction import Transaction


class Transactions:
    """Where the transactions of a source task end."""

    def __init__(self, outlet: Outlet, requests: TransactionRequests) -> None:
        self._settings = outlet.parts.settings
        self._clock = outlet.parts.clock
        self._requests = requests
        self._transaction = Transaction(outlet, keeps_prefix=self._settings.boundary != "connector")
        self._last = self._clock.monotonic()

    def send(self, slice: SourceSlice) -> None:
        for routed in slice.outgoing:
            if routed.batch.topic == self._settings.own_offsets_topic:
                raise MillstreamError(
                    "Source tasks may not produce to their own offsets topics when exactly-once support is enabled; "
                    f"the task wrote to {routed.batch.topic!r}"
                )
        self._transaction.add(Load.of(slice))
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
        if failure is None or (self._settings.boundary != "connector" and not self._transaction.broken):
            self.settle()
        if self._transaction.open:
            self._transaction.abort()

    def _bound(self, request: str | None) -> None:
        if request == "commit":
            self._commit()
        elif request == "abort":
            self._transaction.drop()

    def _commit(self) -> None:
        self._last = self._clock.monotonic()
        self._transaction.commit()
