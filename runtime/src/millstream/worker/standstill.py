"""Whether a child stands still because somebody stopped its process."""

import logging
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""A child says something every second between two calls of its plugin; silent so long, it is looked at."""


class Standstill:
    """One child's; said once when it begins, and once when it is over."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._said = False

    def look(self, pid: int, silent: float) -> bool:
        """Whether it stands still.   pid: 0 for a thread, which nobody can stop alone.   silent: seconds."""
        stands = pid > 0 and silent >= LOOK_SECONDS and is_stopped(pid)
        if stands and not self._said:
            log.warning(
                "[%s] does nothing: its process %d was stopped by a signal (SIGSTOP) or is in the hands of a debugger; "
                "`kill -CONT %d` lets it go on",
                *(self._label, pid, pid),
            )
        elif self._said and not stands:
            log.info("[%s] its process goes on", self._label)
        self._said = stands
        return stands


def is_stopped(pid: int) -> bool:
    """State T or t of proc(5); False where there is no /proc, or no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])
