"""Reads a text file, or standard input, line by line, and goes on as it grows.

Source: org.apache.kafka.connect.file.FileStreamSourceConnector and FileStreamSourceTask, Kafka 4.3. Positions are bytes
(Java counts characters, and garbles text that is not ASCII after a restart).
"""

import logging
import os
import select
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import time_ns
from typing import Any, ClassVar

from millstream_api import (
    STRING,
    Place,
    Problem,
    SourceBatch,
    SourceConnector,
    SourceTask,
    Support,
)
from millstream_file.config import FileSourceConfig
from millstream_file.errors import FileError
from millstream_file.lines import Lines, LineSplitter

log = logging.getLogger(__name__)

FILENAME, POSITION = "filename", "position"
#: read at once: large enough that a line costs no system call, small enough to stay in the allocator's hands
BLOCK_BYTES = 192 * 1024  # a poll, and with it a transaction, of nearly 2,000 lines of 100 bytes
#: of a line whose end is not there yet, in one poll: behind them the worker sees whether it is time to stop
BLOCKS_A_POLL = 64
#: seconds between two looks at a file that has nothing new; the first look comes sooner
IDLE_SECONDS = 1.0
FIRST_IDLE_SECONDS = 0.05
_STDIN = 0
_LARGEST_POSITION = (1 << 63) - 1


class FileStreamSourceTask(SourceTask[FileSourceConfig]):
    """One file, one source partition: `{"filename": file}`, `{"position": bytes}`."""

    now_ms: ClassVar[Callable[[], int]] = staticmethod(lambda: time_ns() // 1_000_000)

    _name: str | None = None
    _file: int | None = None

    def start(self) -> None:
        self._name = self.config.file or None
        self._partition = {FILENAME: self._name}
        self._splitter = LineSplitter(0)
        self._lines: Lines | None = None  # read and not yet given
        self._given = 0
        self._inside = False  # a long line, which goes on behind what this poll has read
        self._idle = FIRST_IDLE_SECONDS
        self._warned: set[str] = set()
        self._failure: FileError | None = None

    def poll(self) -> Sequence[SourceBatch]:
        if self._lines is None:
            if self._failure is not None:
                raise self._failure
            if self._file is None and not self._open():
                return []
            if not self._read():
                if self._inside:
                    return []
                self.context.wait(self._idle)
                self._idle = min(IDLE_SECONDS, 2 * self._idle)
                return []
            self._idle = FIRST_IDLE_SECONDS
        return self._next_batch()

    def stop(self) -> None:
        if self._file is not None and self._name is not None:
            os.close(self._file)
        self._file = None

    @property
    def _called(self) -> str:
        return repr(self._name or "standard input")

    def _next_batch(self) -> Sequence[SourceBatch]:
        lines = self._lines
        if lines is None:
            return []
        first, size = self._given, max(1, self.config.batch_size)
        texts = lines.texts[first : first + size] if first or len(lines.texts) > size else lines.texts
        self._given = first + len(texts)
        if self._given == len(lines.texts):
            self._lines, self._given = None, 0
        now = type(self).now_ms()
        stamps = [now] * len(texts)
        offsets = _offsets(lines, first, named=self._name is not None)
        return [SourceBatch(self.config.topic, STRING, texts, self._partition, offsets, timestamps=stamps)]

    def _open(self) -> bool:
        """Open the file where the last run left off; false while there is none."""
        if self._name is None:
            self._file = _STDIN
            return True
        try:
            file = os.open(self._name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            self._warn_once(
                "missing",
                "Couldn't find file %s for FileStreamSourceTask, sleeping to wait for it to be created",
                self._name,
            )
            self.context.wait(IDLE_SECONDS)
            return False
        except OSError as error:
            raise FileError(
                f"cannot open {self._name!r} for FileStreamSourceTask: {error.strerror}; "
                "setting 'file' must name a text file that this worker's user may read"
            ) from error
        try:
            position = stored_position(self.context.offset(self._partition))
            if position:
                os.lseek(file, position, os.SEEK_SET)
        except BaseException:
            os.close(file)  # tried again from here: without its position it must not be read
            raise
        self._file = file
        self._splitter = LineSplitter(position)
        log.debug("Opened %s for reading at byte %d", self._name, position)
        return True

    def _read(self) -> bool:
        """Read on; true when there are lines to give."""
        file = self._file
        if file is None or (self._name is None and not select.select([file], [], [], 0)[0]):
            return False
        block = _block(file, self._called, self._splitter.position)
        if block:
            lines, blocks = self._feed(block), 1
            while lines is None and len(block) == BLOCK_BYTES and self._name is not None and blocks < BLOCKS_A_POLL:
                block = _block(file, self._called, self._splitter.position)  # in the middle of a long line
                lines, blocks = self._feed(block), blocks + 1
            self._inside = lines is None and len(block) == BLOCK_BYTES
        else:
            self._inside = False
            lines = self._at_the_end(file)
        if lines is not None and lines.faulty is not None:
            lines = self._not_utf8(lines, lines.faulty)
        self._lines = lines
        return lines is not None

    def _feed(self, block: bytes) -> Lines | None:
        """The lines that a block completes. Raises FileError when the first of them, or what is kept, is too long."""
        lines, most = self._splitter.feed(block), self.config.line_max_bytes
        if lines is None:
            at, long = self._splitter.position, self._splitter.kept > most
        else:  # of those behind the first none is longer than a block
            at, long = lines.start, len(lines.raw) > most and lines.end_of(0) - lines.start > most
        if long:
            raise FileError(
                f"{self._called} has a line of more than {most} bytes at byte {at}, and nothing is read from there on; "
                "mend the file, or raise line.max.bytes, and with it max.message.bytes of the topic"
            )
        return lines

    def _at_the_end(self, file: int) -> Lines | None:
        if self._name is None:
            return self._splitter.rest()  # nobody will ever complete it
        found = os.fstat(file)
        self._look_for_another(self._name, found)
        end = self._splitter.position + self._splitter.kept
        if stat.S_ISREG(found.st_mode) and found.st_size < end:
            self._warn_once(
                "shorter",
                "File %s has %d bytes, and was read up to byte %d: it was cut or replaced. Nothing is read until it is "
                "longer again; to read it from its start, stop the connector and reset its offsets",
                *(self._name, found.st_size, end),
            )
        return None

    def _look_for_another(self, name: str, mine: os.stat_result) -> None:
        """Rotation is not followed, as in Java; but what nobody will read is said."""
        try:
            there = os.stat(name)
        except OSError:
            self._warn_once(
                "removed",
                "File %s was removed or renamed while it is read: the old one is read on. A new one of this name is "
                "not; it is told when there is one",
                name,
            )
            return
        if not os.path.samestat(mine, there):
            self._warn_once(
                "replaced",
                "Another file is called %s now, and it is not read, the old one is. To read the new one from its "
                "start, stop the connector, reset its offsets and resume it; what is written to the old one is not "
                "read then",
                name,
            )

    def _not_utf8(self, lines: Lines, faulty: int) -> Lines | None:
        where = f"{self._called} is not UTF-8 at byte {faulty}"
        if self.config.encoding_errors.lower() != "fail":
            self._warn_once("encoding", "File %s; U+FFFD stands for what cannot be read, there and further on", where)
            return lines
        self._failure = FileError(
            f"{where}, and encoding.errors=fail; mend the file, or set encoding.errors=replace to read U+FFFD there"
        )
        before = lines.raw[: faulty - lines.start]
        whole = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
        good = LineSplitter(lines.start).feed(before[:whole]) if whole else None
        if good is None:
            raise self._failure
        return good

    def _warn_once(self, about: str, sentence: str, *values: object) -> None:
        if about not in self._warned:
            self._warned.add(about)
            log.warning(sentence, *values)


def _block(file: int, called: str, position: int) -> bytes:
    try:
        return os.read(file, BLOCK_BYTES)
    except OSError as error:
        raise FileError(f"cannot read {called} at byte {position}: {error.strerror}") from error


def _offsets(lines: Lines, first: int, named: bool) -> Callable[[int], Place]:
    if not named:
        return lambda row: {POSITION: None}
    return lambda row: {POSITION: lines.end_of(first + row)}


def stored_position(offset: Mapping[str, Any] | None) -> int:
    """The byte to go on at. Raises FileError for an offset that some other connector wrote."""
    position = None if offset is None else offset.get(POSITION)
    if position is None:
        return 0
    if not _is_long(position):
        raise FileError(f"Offset position is the incorrect type: {position!r}, expected a whole number of bytes")
    return max(0, int(position))


class FileStreamSource(SourceConnector[FileSourceConfig]):
    """Reads one text file with one task, whatever `tasks.max` says."""

    config_class = FileSourceConfig
    task_class = FileStreamSourceTask

    def exactly_once(self) -> Support:
        return Support.SUPPORTED if self.config.file else Support.UNSUPPORTED

    def probe(self) -> Iterable[Problem]:
        if self.config.file and os.path.isdir(self.config.file):
            yield Problem("file", f"{self.config.file!r} is a directory; the source reads one text file")

    def alter_offsets(self, offsets: Sequence[tuple[Place, Place | None]]) -> bool:
        if not self.config.file:
            raise FileError(
                "Offsets cannot be modified if the 'file' configuration is unspecified. "
                "This is because stdin is used for input and offsets are not tracked."
            )
        for partition, offset in offsets:
            if offset is not None:
                _check(partition, offset)
        return True


def _check(partition: Place | None, offset: Place) -> None:
    if POSITION not in offset:
        raise FileError("Offset objects should either be null or contain the key 'position'")
    position = offset[POSITION]
    if not _is_long(position):
        raise FileError("The value for the 'position' key in the offset is expected to be a Long value")
    if position < 0:
        raise FileError("The value for the 'position' key in the offset should be a non-negative value")
    if partition is None:
        raise FileError("Partition objects cannot be null")
    if FILENAME not in partition:
        raise FileError("Partition objects should contain the key 'filename'")


def _is_long(value: object) -> bool:
    return (
        isinstance(value, int) and not isinstance(value, bool) and -_LARGEST_POSITION - 1 <= value <= _LARGEST_POSITION
    )
