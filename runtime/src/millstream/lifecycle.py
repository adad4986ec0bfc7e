"""Threads, the token that stops them, and the clock: the only module that may touch any of the three."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

LONGEST_WAIT = threading.TIMEOUT_MAX


class Interrupted(SystemExit):
    """A signal that asks the command to end; its exit code is that of a shell for a program that died of it. Whoever
    takes a plugin's SystemExit for a failure of the plugin lets it pass."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number
        self.name = signal.Signals(number).name


class Clock(Protocol):
    """Where time comes from."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC, for what is shown or written."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines and durations."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves when it is told to; `wait` has the shape of a stop token's and moves it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = now_ms
        self._seconds = 0.0
        self.waits: list[float] = []

    def now_ms(self) -> int:
        return self._start_ms + round(self._seconds * 1000)

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds!r} seconds")
        self._seconds += seconds

    def wait(self, seconds: float) -> bool:
        """Move on by `seconds`, remember that, and say that it is not time to stop."""
        self.waits.append(seconds)
        self.advance(max(0.0, seconds))
        return False


class StopToken:
    """Says once, for good, that it is time to stop. Any thread may set, read or wait."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait at most `seconds` (for ever with None); true once it is time to stop."""
        if seconds is None:
            return self._event.wait()
        return self._event.wait(min(max(seconds, 0.0), LONGEST_WAIT))


class Spawned:
    """A running thread and the token that stops it."""

    def __init__(self, thread: threading.Thread, stop: StopToken) -> None:
        self._thread = thread
        self.stop = stop

    @property
    def name(self) -> str:
        return self._thread.name

    @property
    def ident(self) -> int | None:
        """The key of `sys._current_frames()`; None before the start."""
        return self._thread.ident

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for its end; false when it still runs after `seconds`. From within itself: false at once."""
        if self._thread is threading.current_thread():
            return False
        self._thread.join(None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT))
        return not self._thread.is_alive()


def spawn(
    name: str,
    target: Callable[[StopToken], None],
    *,
    on_death: Callable[[BaseException | None], None] | None = None,
    stop: StopToken | None = None,
) -> Spawned:
    """Start a daemon thread that runs `target(stop)`.

    on_death: called once on that thread when it ends, with what it raised, or None. Without it a failure is logged.
    stop:     a token to share with others; by default the thread has its own.
    """
    token = stop or StopToken()

    def run() -> None:
        failure: BaseException | None = None
        try:
            target(token)
        except BaseException as error:  # noqa: BLE001 - the end of a thread is reported, whatever it was
            failure = error
        if on_death is not None:
            on_death(failure)
        elif failure is not None:
            log.error("the thread %s ended with an error", name, exc_info=failure)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return Spawned(thread, token)
