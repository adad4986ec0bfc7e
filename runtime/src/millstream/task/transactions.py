"""Exactly once: rows and their source offsets in one transaction of the task's own producer (§7.5, KIP-618).

The commit policy. With `transaction.boundary=poll` a transaction ends behind each poll that gave rows. Waiting for more
cannot be sound here: the next `poll` may block for ever, and what was not committed would be invisible for as long,
and a plugin whose upstream waits for `commit` would never get its next row. Where a plugin is told nothing,
`overlapped.py` commits on a thread of its own instead, several polls at a time.
"""

from millstream.errors import MillstreamError
from millstream.pipeline.poll import SourceSlice
from millstream.task.context import TransactionRequests
from millstream.task.delivery import Load
from millstream.task.outlet import Outlet
from millstream.task.parts import SourceSettings
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
        check_topics(slice, self._settings)
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

    def close(self) -> None:
        """Nothing is left: `finish` has ended the transaction, and a cancelled task's is the producer's to forget."""

    def _bound(self, request: str | None) -> None:
        if request == "commit":
            self._commit()
        elif request == "abort":
            self._transaction.drop()

    def _commit(self) -> None:
        self._last = self._clock.monotonic()
        self._transaction.commit()


def check_topics(slice: SourceSlice, settings: SourceSettings) -> None:
    """Refuse rows for the topic that the task's own offsets go to, and for those that the worker lives by."""
    for routed in slice.outgoing:
        if routed.batch.topic == settings.own_offsets_topic:
            raise MillstreamError(
                "Source tasks may not produce to their own offsets topics when exactly-once support is enabled; "
                f"the task wrote to {routed.batch.topic!r}"
            )
        if routed.batch.topic in settings.own_topics:
            raise MillstreamError(
                f"the task wrote to {routed.batch.topic!r}, where this worker keeps its connectors: they would be "
                "changed or lost by it; give its records another topic"
            )
