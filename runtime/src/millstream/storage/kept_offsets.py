"""Source offsets that the worker keeps for its tasks, in memory and in its offsets file.

Tasks ask through their channels; a thread of its own answers, and writes the file once for all that is waiting.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from millstream.errors import MillstreamError, WorkerError, message_of
from millstream.lifecycle import StopToken, spawn
from millstream.storage.java_json import dump_bytes, loads
from millstream.storage.offset_file import OffsetFile
from millstream.storage.offsets import OffsetIndex, Place, canonical, check_place

log = logging.getLogger(__name__)

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
        self._taken: list[Request] = []  # from the queue, by the keeper
        self._ended: WorkerError | None = None
        self._keeper = spawn("offsets-file", self._keep, on_death=self._died)

    def answer(self, connector: str, what: str, arguments: Mapping[str, Any]) -> "Future[Any]":
        """What a child of this connector asks. It is answered in any case: an error when nobody keeps any more."""
        future: Future[Any] = Future()
        self._requests.put(Request(connector, what, arguments, future))
        if self._ended is not None:
            self._refuse(self._ended)
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
            self._taken = [request for request in requests if request is not None]
            self._serve(self._taken)
            if None in requests:
                return

    def _serve(self, requests: Sequence[Request]) -> None:
        """All writes with one replacement of the file; then the reads, which see them."""
        writes = [request for request in requests if request.what == WRITE]
        if writes:
            _answer(writes, lambda: self._store(writes))
        for request in requests:
            if request.what != WRITE:
                _answer([request], lambda request=request: self._found(request))  # type: ignore[misc]  # bound now

    def _found(self, request: Request) -> list[str | None]:
        if request.what != READ:
            raise WorkerError(f"this worker has no answer to {request.what!r}")
        found = self._index.texts(request.connector, map(_canonical, request.arguments["partitions"]))
        return [None if value is None else value.decode() for value in found]

    def _died(self, failure: BaseException | None) -> None:
        """Whoever waits, and whoever asks from now on, is told."""
        why = "the worker has let it go"
        if failure is not None:
            log.error("nobody writes %s any more; restart the worker", self._file.path, exc_info=failure)
            why = f"the thread that keeps it has ended ({message_of(failure)}); restart the worker"
        self._ended = WorkerError(f"the offsets file {str(self._file.path)!r} is not read or written: {why}")
        for request in self._taken:
            if not request.answer.done():
                request.answer.set_exception(self._ended)
        self._refuse(self._ended)

    def _refuse(self, error: WorkerError) -> None:
        while True:
            try:
                request = self._requests.get_nowait()
            except Empty:
                return
            if request is not None:
                request.answer.set_exception(error)

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


def _answer(requests: Iterable[Request], work: Callable[[], Any]) -> None:
    """One answer to all of them: what `work` gives, or what hindered it, whatever that is."""
    try:
        found = work()
    except Exception as error:
        if not isinstance(error, MillstreamError):
            log.error("A question about stored offsets failed, and is answered so", exc_info=error)
        for request in requests:
            request.answer.set_exception(error)
    else:
        for request in requests:
            request.answer.set_result(found)


def _canonical(partition: str) -> str:
    return canonical(loads(partition))


def _spelled(place: Place | None) -> str:
    check_place(place)
    return dump_bytes(place).decode()
