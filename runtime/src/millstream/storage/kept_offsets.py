"""Source offsets that the worker keeps for its tasks, in memory and in its offsets file.

Tasks ask through their channels; a thread of its own answers, and writes the file once for all that is waiting.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple

from millstream.errors import MillstreamError, WorkerError
from millstream.lifecycle import StopToken, spawn
from millstream.storage.java_json import dump_bytes, loads
from millstream.storage.offset_file import OffsetFile
from millstream.storage.offsets import OffsetIndex, Place, canonical, check_place

CLOSE_SECONDS = 5.0
READ, WRITE = "offsets", "commit_offsets"


class Request(NamedTuple):
    """READ: arguments has `partitions`, texts; gives texts or None. WRITE: `offsets`, pairs of texts, the second may be
    None."""

    connector: str
    what: str
    arguments: Mapping[str, Any]
    answer: "Future[Any]"


class KeptOffsets:
    """Any thread, until `close`."""

    def __init__(self, file: OffsetFile) -> None:
        self._file = file
        self._entries = dict(file.entries)
        self._index = OffsetIndex(str(file.path))
        for key, value in self._entries.items():
            self._index.put(key, value)
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self._keeper = spawn("offsets-file", self._keep)

    def answer(self, connector: str, what: str, arguments: Mapping[str, Any]) -> "Future[Any]":
        """What a child of this connector asks."""
        future: Future[Any] = Future()
        self._requests.put(Request(connector, what, arguments, future))
        return future

    def of(self, connector: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        return [(partition, offset) for partition, offset in self._index.all(connector) if offset is not None]

    def write(self, connector: str, offsets: Sequence[tuple[Place | None, Place | None]]) -> None:
        """Store these offsets, all or none, on disk when it returns. Raises DataError, WorkerError."""
        pairs = [(_spelled(partition), None if offset is None else _spelled(offset)) for partition, offset in offsets]
        self.answer(connector, WRITE, {"offsets": pairs}).result()

    def close(self) -> None:
        """Answer what was asked so far, and let the file go."""
        self._requests.put(None)
        self._keeper.join(CLOSE_SECONDS)
        self._file.close()

    def _keep(self, _: StopToken) -> None:
        while True:
            requests = [self._requests.get()]
            while not self._requests.empty():
                requests.append(self._requests.get())
            self._serve([request for request in requests if request is not None])
            if None in requests:
                return

    def _serve(self, requests: Sequence[Request]) -> None:
        """All writes with one replacement of the file; then the reads, which see them."""
        writes = [request for request in requests if request.what == WRITE]
        try:
            if writes:
                self._store(writes)
        except MillstreamError as error:
            for request in writes:
                request.answer.set_exception(error)
        else:
            for request in writes:
                request.answer.set_result(None)
        for request in requests:
            if request.what == READ:
                found = self._index.texts(request.connector, map(_canonical, request.arguments["partitions"]))
                request.answer.set_result([None if value is None else value.decode() for value in found])
            elif request.what != WRITE:
                request.answer.set_exception(WorkerError(f"this worker has no answer to {request.what!r}"))

    def _store(self, writes: Sequence[Request]) -> None:
        changed: dict[bytes, bytes | None] = {}
        for request in writes:
            for partition, offset in request.arguments["offsets"]:
                key = self._index.key(request.connector, loads(partition))
                changed[key] = None if offset is None else offset.encode()
        wanted = {**self._entries, **changed}
        self._file.write(wanted)
        self._entries = wanted
        for key, value in changed.items():
            self._index.put(key, value)


def _canonical(partition: str) -> str:
    return canonical(loads(partition))


def _spelled(place: Place | None) -> str:
    check_place(place)
    return dump_bytes(place).decode()
