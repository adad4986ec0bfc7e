"""Which source offsets are safe to commit, and the ports through which they are read and written.

When may an offset be committed? When every surviving row before it, of the same source partition, has been
acknowledged (SubmittedRecords.java). A dropped row never advances an offset; a row that failed under tolerance `all`
does, once it has been reported.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from millstream.broker.ports import Outgoing
from millstream_api import Place

Offsets = Sequence[tuple[Place | None, Place | None]]
"""(source partition, source offset), at most one entry a partition; the offset None deletes the stored one."""


class OffsetReader(Protocol):
    def offsets(self, partitions: Sequence[Place]) -> Sequence[Place | None]:
        """Stored offsets in the order asked, None where there is none. One round trip; called on any thread."""
        ...


class OffsetRows(Protocol):
    def rows(self, offsets: Offsets) -> Outgoing:
        """The offsets as rows of the offsets topic, for the task's own transaction. Raises DataError when one is
        not JSON-clean (§3.3)."""
        ...


class OffsetWriter(Protocol):
    def write(self, offsets: Offsets, done: Callable[[Exception | None], None]) -> None:
        """Hand offsets to the worker, who writes them with its own producer. `done` comes once, on any thread."""
        ...
