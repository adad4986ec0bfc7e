"""Appends records to a text file, or standard output, one a line.

Source: org.apache.kafka.connect.file.FileStreamSinkConnector and FileStreamSinkTask, Kafka 4.3; bytes are written as
they are (Java writes an identity hash), and what is committed is on disk.
"""

import errno
import logging
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from millstream_api import Place, RecordBatch, RetriableError, SinkBatch, SinkConnector, SinkTask, TopicPartition
from millstream_api.values import text_of
from millstream_file.config import FileSinkConfig
from millstream_file.errors import FileError
from millstream_file.mark import Mark, Writing

try:
    import fcntl
except ImportError:  # not on Windows, where a task has its file to itself
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

_STDOUT = 1
_LOOK_BACK = 64 * 1024
_RETRY_S = 1.0
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What goes away when somebody makes room. EFBIG: a limit of the file's size, which can be raised."""


class FileStreamSinkTask(SinkTask[FileSinkConfig]):
    """Appends each record's value as text, with a line end behind it."""

    _name: str | None = None
    _file: int = _STDOUT

    def start(self) -> None:
        self._name = self.config.file or None
        self._end = -1  # where the file ended when this task had written last
        self._unsafe = False  # something was written since the last fsync
        self._use(_STDOUT if self._name is None else _append_to(self._name))

    def put(self, batch: SinkBatch) -> None:
        if not len(batch):
            return
        data = _joined(batch)
        self._see_that_it_is_there()
        with self._alone():
            self._write(self._finish_last_line() + data)
        self._unsafe = True

    def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if self._unsafe and self._regular:
            if self._is_gone():
                self._unsafe = False
                raise FileError(
                    f"file {self._name!r} was removed, and with it what was written since the last commit; that is "
                    "written again, to a new file of this name"
                )
            try:
                os.fsync(self._file)
                with self._alone():
                    self._mark.remove()
            except OSError as error:
                raise self._failed("make durable", error) from error
        self._unsafe = False
        return offsets

    def stop(self) -> None:
        if self._file != _STDOUT:
            try:
                with self._alone():
                    self._mark.remove()
            finally:
                os.close(self._file)
                self._file = _STDOUT

    def _use(self, file: int) -> None:
        self._file = file
        self._regular = file != _STDOUT and stat.S_ISREG(os.fstat(file).st_mode)
        self._mark = Mark(file)

    def _is_gone(self) -> bool:
        """Whether the file has no name any more: what is written to it nobody will ever see."""
        return self._regular and os.fstat(self._file).st_nlink == 0

    def _see_that_it_is_there(self) -> None:
        if self._name is None or not self._is_gone():
            return
        if self._unsafe:  # pre_commit has all of it written again, in its order
            self.context.retry_in(_RETRY_S)
            self.context.request_commit()
            raise RetriableError(f"file {self._name!r} was removed, and with it what was written since the last commit")
        log.warning("File %s was removed while this task writes to it; it is made anew", self._name)
        gone = self._file
        self._use(_append_to(self._name))
        os.close(gone)

    def _write(self, data: bytes) -> None:
        before = os.fstat(self._file).st_size if self._regular else 0
        self._end = -1
        left = memoryview(data)
        try:
            if self._regular:
                self._mark.put(Writing(before, before + len(data)))
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            if self._regular:
                self._cut_back(before)  # all of a batch or nothing: it will come again
            if error.errno in _PASSING:
                self.context.retry_in(_RETRY_S)
                raise RetriableError(
                    f"cannot write to {self._name or 'standard output'!r}: {error.strerror}; free some space, and "
                    "writing goes on by itself. Nothing of this batch counts as written, nothing is skipped"
                ) from error
            raise self._failed("write to", error) from error
        self._end = before + len(data)

    def _cut_back(self, size: int) -> None:
        try:
            os.ftruncate(self._file, size)
        except OSError as error:
            self._mark.leave()
            raise self._failed(f"cut back to byte {size}, behind which part of a batch stands,", error) from error

    def _failed(self, doing: str, error: OSError) -> FileError:
        return FileError(
            f"cannot {doing} {self._name or 'standard output'!r}: {error.strerror}; nothing of this batch counts as "
            "written, restart the task once that is mended"
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other tasks that append to this file from writing, and from cutting, meanwhile."""
        locked = self._regular and fcntl is not None
        if locked:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if locked:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _finish_last_line(self) -> bytes:
        r"""Make the file end with a line: cut a sink's unfinished one, or give the `\n` that somebody else's lacks.

        What a task that was killed in its write, this or another, left of a line will come again.
        """
        if not self._regular or self._name is None:
            return b""
        size = os.fstat(self._file).st_size
        if size == self._end:
            return b""  # nobody else has written
        try:
            end = _end_of_last_line(self._file, size)
        except OSError as error:
            raise self._failed("look at the last line of", error) from error
        if end == size:
            return b""
        writing = self._mark.found()
        if writing is None or not writing.start < size < writing.end:
            log.warning(
                "File %s ended in the middle of a line, at byte %d, and nothing says that a sink wrote it: it is kept, "
                "and a line end put behind it",
                *(self._name, size),
            )
            return b"\n"
        end = max(end, writing.start)
        self._cut_back(end)
        log.warning(
            "File %s ended in the middle of a line: cut its last %d bytes, back to byte %d; the record they "
            "belong to was not committed and is delivered again",
            *(self._name, size - end, end),
        )
        return b""


class FileStreamSink(SinkConnector[FileSinkConfig]):
    """Appends to one file from every task."""

    config_class = FileSinkConfig
    task_class = FileStreamSinkTask

    def alter_offsets(self, offsets: Sequence[tuple[Place, Place | None]]) -> bool:
        return True  # the file keeps what was written, whatever is read again


def _append_to(name: str) -> int:
    # what is there already is looked at, if it can be: a pipe opened for both would have no end
    way = os.O_RDWR if os.path.isfile(name) or not os.path.exists(name) else os.O_WRONLY
    flags = way | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(name, flags, 0o666)
    except OSError as error:
        raise FileError(
            f"Couldn't find or create file '{name}' for FileStreamSinkTask: {error.strerror}; setting 'file' must "
            "name a file, in a folder that exists, that this worker's user may read and write"
        ) from error


def _end_of_last_line(file: int, size: int) -> int:
    """Byte position behind the last line end; 0 if there is none. Of the open file: its name may be another's now."""
    at, step = size, 1  # where other tasks append too, this is asked before each put, and the last byte says it
    while at > 0:
        start = max(0, at - step)
        os.lseek(file, start, os.SEEK_SET)  # writes go to the end, wherever this is
        found = os.read(file, at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at, step = start, _LOOK_BACK
    return 0


def _joined(batch: SinkBatch) -> bytes:
    """The whole batch as lines, in the order consumed."""
    if len(batch.groups) == 1:
        try:
            return "\n".join([*batch.groups[0].values, ""]).encode(errors="replace")  # all text, as nearly always
        except TypeError:
            columns: Sequence[Any] = _texts(batch.groups[0])
    else:
        columns = [b""] * len(batch)
        for group in batch.groups:
            for row, text in zip(group.rows, _texts(group), strict=True):
                columns[row] = text
    try:
        return ("\n".join(columns) + "\n").encode(errors="replace")
    except TypeError:  # some are bytes
        whole = [text if isinstance(text, bytes) else text.encode(errors="replace") for text in columns]
        return b"\n".join(whole) + b"\n"


def _texts(group: RecordBatch) -> list[Any]:
    """Each value as Java prints it; bytes as they are."""
    values = group.values
    try:
        "".join(values)
    except TypeError:
        schema = group.value_schema
        return [value if isinstance(value, str | bytes) else text_of(value, schema) for value in values]
    return list(values)
