"""Whether a connector's monitor comes back to its context: between two calls of that it is in the plugin's own code."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from millstream.host.channel import Lasting
from millstream.lifecycle import Clock

log = logging.getLogger(__name__)


class Attendance:
    """When the monitor was last seen. Its thread comes and goes, another one looks.

    limit: seconds in the plugin's own code after which that is told.
    """

    def __init__(self, clock: Clock, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        self._thread: int | None = None
        self._away_since: float | None = None  # None while it is in the context, which waits as long as it is told to
        self._told = False

    def begin(self) -> None:
        """On the monitor's thread, before its first step."""
        self._away_since = self._clock.monotonic()
        self._thread = threading.get_ident()

    def end(self) -> None:
        """It has returned."""
        self._away_since = self._thread = None

    @contextmanager
    def seen(self) -> Iterator[None]:
        """For the length of a call of the context, by whatever thread."""
        own = threading.get_ident() == self._thread
        if own:
            self._away_since = None
        try:
            yield
        finally:
            if own:
                self._away_since = self._clock.monotonic()

    def look(self, tell: Callable[[Lasting], None]) -> None:
        """Tell, once, that it has been away for long and where it is, or that it is back (0 s)."""
        since, thread = self._away_since, self._thread
        seconds = 0.0 if since is None else self._clock.monotonic() - since
        if (seconds >= self._limit) == self._told:
            return
        self._told = not self._told
        if not self._told:
            tell(Lasting(0.0, ""))
            return
        stack = _stack(thread)
        log.warning(
            "the monitor has not come back to its context for %.0f s; that is said once. It is at\n%s", seconds, stack
        )
        tell(Lasting(seconds, stack))


def _stack(thread: int | None) -> str:
    """Where a thread is, the innermost frame first, as a trace has it; below the plugin it is the runtime's."""
    frame = sys._current_frames().get(thread or 0)
    told = []
    for each in reversed(traceback.extract_stack(frame) if frame is not None else ()):
        if each.filename.endswith("/millstream/host/connector.py"):
            break
        told.append(f'\tat File "{each.filename}", line {each.lineno} in {each.name}')
    return "\n".join(told)
