"""The worker's one reader thread: a selector, timers, and what other threads post. It runs no plugin code."""

import contextlib
import heapq
import itertools
import logging
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from millstream.lifecycle import Clock, Spawned, StopToken, SystemClock, spawn
from millstream.worker.allowance import Allowance

log = logging.getLogger(__name__)

LONGEST_SLEEP = 60.0
LINES_A_SECOND = 1_000
BURST_LINES = 5_000
"""Lines of children's output; some 50 µs each, and on a busy machine many times that."""
BUFFER = 1 << 18


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Timer:
    """A call that is due; `cancel` takes it back."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self._call = None

    def fire(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


class Loop:
    """Only `post` may be called from another thread; everything else belongs to the loop's own."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.lines = Allowance(LINES_A_SECOND, BURST_LINES, self.now)
        #: what its readers read into: a buffer for each line of 200 children leaves the heap full of holes
        self.buffer = memoryview(bytearray(BUFFER))
        self._selector = selectors.DefaultSelector()
        self._posted: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        self._thread: Spawned | None = None
        self._closing = threading.Lock()
        self._closed = False

    def start(self, name: str, on_death: Callable[[BaseException | None], None] | None = None) -> None:
        """Start the thread. It lives until `close`: templates die with the thread that started them."""
        self._thread = spawn(name, self._run, on_death=on_death)

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` made on the loop's thread, soon, in the order of the posts. Nothing happens after `close`."""
        self._posted.append(call)
        with self._closing:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # it is full of wake-ups already
                    os.write(self._wake, b"\0")

    def now(self) -> float:
        return self._clock.monotonic()

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._timers, (self.now() + seconds, next(self._order), timer))
        return timer

    def watch(self, source: HasFileno | int, call: Callable[[int], None], events: int = selectors.EVENT_READ) -> None:
        """Have `call(events)` made whenever `source` is ready; watching it again changes events and call."""
        try:
            self._selector.modify(source, events, call)
        except KeyError:
            self._selector.register(source, events, call)

    def forget(self, source: HasFileno | int) -> None:
        """Watch it no more. Before it is closed; a second time is no error."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(source)

    def close(self) -> None:
        """End the thread after what is posted by now, and wait for it (not from within itself)."""
        stop = self._thread.stop if self._thread else StopToken()
        self.post(stop.set)
        if self._thread is None or self._thread.join(10):
            self._release()

    def _release(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._selector.close()
        os.close(self._woken)
        os.close(self._wake)

    def _run(self, stop: StopToken) -> None:
        while not stop.is_set:
            for key, events in self._selector.select(self._sleep()):
                # what was forgotten by one before it in this turn: its number may be another's now
                if not _watched(self._selector, key):
                    continue
                self._guarded(lambda key=key, events=events: key.data(events))  # type: ignore[misc]  # bound now
            while self._timers and self._timers[0][0] <= self.now():
                self._guarded(heapq.heappop(self._timers)[2].fire)
            for _ in range(len(self._posted)):
                self._guarded(self._posted.popleft())

    def _sleep(self) -> float:
        if self._posted:
            return 0.0
        return min(max(self._timers[0][0] - self.now(), 0.0), LONGEST_SLEEP) if self._timers else LONGEST_SLEEP

    def _guarded(self, call: Callable[[], None]) -> None:
        """One child's trouble, or an owner's `on_event`, must not end the thread that all children hang on."""
        try:
            call()
        except Exception:
            log.exception("the worker could not deal with what a child or a timer brought")

    def _drain(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):  # somebody's wake-up was read with an earlier one
            os.read(self._woken, 65536)


def _watched(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> bool:
    try:
        return selector.get_key(key.fileobj) is key
    except (KeyError, ValueError):
        return False
