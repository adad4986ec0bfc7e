"""Whether a child or a template stands still because somebody stopped its process, and who waits for that."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from millstream.worker.loop import Loop, Timer

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""A task says something every second between two calls of its plugin; silent so long, it is looked at. Connectors,
probes and templates, which are silent by nature, are looked at so often."""
MOST_NAMED = 20


class Standstill:
    """One process's; said once when it begins, again when others wait for it, and once when it is over."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._said = False
        self._named: set[str] = set()

    def look(self, pid: int, silent: float, waits: Sequence[str] = ()) -> bool:
        """Whether it stands still.

        pid: 0 for a thread, which nobody can stop alone.   silent: seconds.   waits: what is to happen once it goes on.
        """
        stands = pid > 0 and silent >= LOOK_SECONDS and is_stopped(pid)
        if stands and not (self._said and self._named.issuperset(waits)):
            log.warning(
                "[%s] does nothing: its process %d was stopped by a signal (SIGSTOP) or is in the hands of a debugger; "
                "`kill -CONT %d` lets it go on%s",
                *(self._label, pid, pid, f"; for it wait: {_few(waits)}" if waits else ""),
            )
            self._named.update(waits)
        elif self._said and not stands:
            log.info("[%s] its process goes on", self._label)
            self._named.clear()
        self._said = stands
        return stands


class Body(Protocol):
    """What has a process, perhaps not yet."""

    @property
    def pid(self) -> int: ...


class Lookout:
    """Looks after one child, from `begin` to `over`. On the loop's thread only."""

    def __init__(self, loop: Loop, label: str) -> None:
        self._loop = loop
        self._label = label
        self._timer: Timer | None = None

    def begin(self, child: Body) -> None:
        """Of this one, and of no other any more."""
        self.over()
        self._look_later(child, Standstill(self._label))

    def over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self, child: Body, standstill: Standstill) -> None:
        def look() -> None:
            standstill.look(child.pid, LOOK_SECONDS)
            self._look_later(child, standstill)

        self._timer = self._loop.after(LOOK_SECONDS, look)


class Lookouts:
    """Looks after all processes of a kind, from `begin` to `over`. On the loop's thread only.

    views: gives for each label its process, 0 when there is none yet, and what waits for it.
    """

    def __init__(self, loop: Loop, views: Callable[[], Mapping[str, tuple[int, Sequence[str]]]]) -> None:
        self._loop = loop
        self._views = views
        self._standstills: dict[tuple[str, int], Standstill] = {}
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Once is enough."""
        if self._timer is None:
            self._timer = self._loop.after(LOOK_SECONDS, self._look)

    def over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        former, self._standstills = self._standstills, {}
        for label, (pid, waits) in self._views().items():
            at = (label, pid)  # another process of that name has not been said, and does not go on
            self._standstills[at] = former.get(at) or Standstill(label)
            self._standstills[at].look(pid, LOOK_SECONDS, waits)
        self._timer = None
        self.begin()


def _few(waits: Sequence[str]) -> str:
    more = f" and {len(waits) - MOST_NAMED} more" if len(waits) > MOST_NAMED else ""
    return ", ".join(waits[:MOST_NAMED]) + more


def is_stopped(pid: int) -> bool:
    """State T or t of proc(5); False where there is no /proc, or no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])
