"""Says who is in the way when the lock of the log is waited for long: flock itself waits for ever, and in silence."""

import logging
import threading
from contextlib import suppress

from millstream.broker.embedded.holders import flock_holder
from millstream.lifecycle import Spawned, StopToken, SystemClock, spawn

log = logging.getLogger(__name__)

LONG_SECONDS = 5.0  # longer than any commit or checkpoint of a process that runs
LOOK_SECONDS = 1.0
QUIET_LOOKS = 30  # without a wait, after which the thread ends


class LockWatch:
    """Around a wait: `with watch: flock(…)`. Its thread starts at the first wait and ends when none comes any more.

    A thread beside the wait, as the wait has to stay in the kernel's queue: who asks again and again is served last.
    """

    def __init__(self, path: str, inode: int) -> None:
        self._path = path
        self._inode = inode
        self._clock = SystemClock()
        self._guard = threading.Lock()
        # under the guard:
        self._since: float | None = None  # monotonic seconds; None: nobody waits
        self._said = False
        self._thread: Spawned | None = None

    def __enter__(self) -> None:
        with self._guard:
            self._since = self._clock.monotonic()
            if self._thread is None:
                self._thread = spawn("lock-watch", self._look)

    def __exit__(self, *_: object) -> None:
        with self._guard:
            since, self._since = self._since, None
            said, self._said = self._said, False
        if said and since is not None:
            log.info("%s is free again after %.0f s", self._path, self._clock.monotonic() - since)

    def close(self) -> None:
        with self._guard:
            thread = self._thread
        if thread is not None:
            thread.stop.set()
            thread.join(LOOK_SECONDS)

    def _look(self, stop: StopToken) -> None:
        quiet = 0
        while not stop.wait(LOOK_SECONDS):
            with self._guard:
                since = self._since
                quiet = quiet + 1 if since is None else 0
                if quiet > QUIET_LOOKS:
                    self._thread = None
                    return
                waited = 0.0 if since is None or self._said else self._clock.monotonic() - since
                self._said = self._said or waited >= LONG_SECONDS
            if waited >= LONG_SECONDS:
                log.warning(
                    "Nothing is written to the log here since %.0f s, as another process holds %s: %s. What is to be "
                    "written waits, nothing is lost",
                    *(waited, self._path, _told(self._path, flock_holder(self._inode))),
                )


def _told(path: str, pid: int | None) -> str:
    if pid is None:
        return f"`lsof {path}` names it; continue it if it is stopped, or end it"
    state = ""
    with suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        state = file.read().rpartition(")")[2].split()[0]
    if state == "T":
        return f"pid {pid}, which is stopped; continue it (kill -CONT {pid}) or end it"
    return f"pid {pid}; see what it does, or end it"
