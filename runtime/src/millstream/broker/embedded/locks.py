"""What keeps writers apart: a lock on a file between processes, a lock in memory for a log that lives there."""

import fcntl
import os
import threading
from typing import Protocol

from millstream.broker.embedded.lockwatch import LockWatch
from millstream.errors import BrokerError
from millstream.lifecycle import StopToken

LOOK_SECONDS = 0.02


class Lock(Protocol):
    def acquire(self) -> None: ...

    def acquire_within(self, seconds: float) -> bool: ...

    def release(self) -> None: ...

    def close(self) -> None: ...


class FileLock:
    """flock on a file beside the log. Not reentrant; its holder's death frees it."""

    def __init__(self, path: str) -> None:
        self._fd = open_lock(path)
        self._watch = LockWatch(path, os.fstat(self._fd).st_ino)

    def acquire(self) -> None:
        """Wait for as long as it takes, in the kernel's queue; a wait that is long is said."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self._watch:
                fcntl.flock(self._fd, fcntl.LOCK_EX)

    def acquire_within(self, seconds: float) -> bool:
        """For who can do without: its holder may be a process that somebody has stopped."""
        pause = StopToken()
        for _ in range(max(round(seconds / LOOK_SECONDS), 1)):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pause.wait(LOOK_SECONDS)
            else:
                return True
        return False

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self._watch.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ThreadLock:
    """The same between the threads of one process."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def acquire(self) -> None:
        self._lock.acquire()

    def acquire_within(self, seconds: float) -> bool:
        return self._lock.acquire(timeout=seconds)

    def release(self) -> None:
        self._lock.release()

    def close(self) -> None:
        """Nothing to let go of: the lock belongs to the memory it guards."""


class OwnerLock:
    """Held for a worker's life. Raises BrokerError naming the pid of the worker that has it."""

    def __init__(self, path: str, log: str) -> None:
        self._fd = open_lock(path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise BrokerError(
                f"the log {log!r} is in use by pid {pid}; stop that worker, "
                "or give this one another bootstrap.servers=sqlite:<path>"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def open_lock(path: str) -> int:
    """Open or make a lock file; it is never inherited by a program started later."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BrokerError(
            f"cannot open {path!r}: {error.strerror}; the folder of the log must be writable for this user, "
            "or let bootstrap.servers=sqlite:<path> name another"
        ) from error
