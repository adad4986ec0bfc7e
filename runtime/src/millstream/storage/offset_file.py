"""The offsets file of a standalone worker on Kafka, `offset.storage.file.filename`, in Java's own layout."""

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from millstream.errors import ConfigError, WorkerError
from millstream.storage.java_map import NoJavaMapError, dump, load

SETTING = "offset.storage.file.filename"


class OffsetFile:
    """One worker's, by a lock beside it, for its life; written whole, and replaced in one step.

    Raises ConfigError when the file cannot be had or read, or another worker has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = self._locked()
        try:
            self.entries = self._read()
        except BaseException:
            self.close()
            raise

    def write(self, entries: Mapping[bytes, bytes | None]) -> None:
        """On disk when it returns. Raises WorkerError, and the file is as it was."""
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with aside.open("wb") as file:
                file.write(dump(entries))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
            self._sync_folder()
        except OSError as error:
            with contextlib.suppress(OSError):  # it may not have come to be
                aside.unlink(missing_ok=True)
            raise WorkerError(
                f"{SETTING} {str(self.path)!r} cannot be written: {error.strerror}; the offsets are written with the "
                "next ones"
            ) from error

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _locked(self) -> int:
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._wrong(f"cannot be used: {error.strerror}; its folder must exist and be writable") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise self._wrong(
                f"is in use by the worker with pid {pid}; stop that worker, or give this one a file of its own"
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        return fd

    def _read(self) -> dict[bytes, bytes | None]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._wrong(f"cannot be read: {error.strerror}") from error
        try:
            return load(data) if data else {}
        except NoJavaMapError as error:
            raise self._wrong(
                f"is no offsets file of Kafka Connect: {error}; move it away, or name another file"
            ) from error

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError({SETTING: f"{SETTING} {str(self.path)!r} {what}"})
