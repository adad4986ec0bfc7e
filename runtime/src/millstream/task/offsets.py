"""Which source offsets are safe to commit, and the ports through which they are read and written.

When may an offset be committed? When every surviving row before it, of the same source partition, has been
acknowledged (SubmittedRecords.java). A dropped row never advances an offset; a row that failed under tolerance `all`
does, once it has been reported.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Protocol

from millstream.broker.ports import Outgoing
from millstream.errors import PluginError
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


def partition_key(partition: Place | None) -> Hashable:
    """What two equal source partitions share. `1`, `1.0` and `True` are three, as in the JSON they are stored as."""
    if partition is None:
        return None
    given: object = partition  # a plugin that nobody type-checked may have given anything
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise PluginError(f"a source partition is a {kind}; it must be a mapping such as {{'file': 'a.txt'}}, or None")
    return tuple(sorted((name, type(value).__name__, repr(value)) for name, value in given.items()))


class Newest:
    """The newest offset of each source partition, in the order in which the partitions came first."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, tuple[Place | None, Place | None]] = {}
        self._last: Place | None = None
        self._last_key: Hashable = None

    def put(self, partition: Place | None, offset: Place | None) -> None:
        """A record with neither partition nor offset has no place to keep."""
        if partition is None and offset is None:
            return
        if partition is not self._last:  # a plain plugin uses one dict for all its records
            self._last, self._last_key = partition, partition_key(partition)
        self._by_key[self._last_key] = (partition, offset)

    def put_all(self, offsets: Iterable[tuple[Place | None, Place | None]]) -> None:
        for partition, offset in offsets:
            self.put(partition, offset)

    def put_older(self, offsets: Offsets) -> None:
        """Take back what could not be written; what came since wins."""
        for partition, offset in offsets:
            self._by_key.setdefault(partition_key(partition), (partition, offset))

    def entries(self) -> Offsets:
        return list(self._by_key.values())

    def take(self) -> Offsets:
        taken = list(self._by_key.values())
        self._by_key.clear()
        return taken

    def __len__(self) -> int:
        return len(self._by_key)
