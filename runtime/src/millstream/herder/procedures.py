"""One thread that does what is asked, a step at a time: a procedure yields a future and goes on when that is done.

Between two yields a procedure has the herder's state to itself; after a yield it must look again, since others ran
meanwhile. Nothing on this thread waits for plugin code, a child, or a lock.
"""

import heapq
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

from millstream.errors import MillstreamError, WorkerError
from millstream.lifecycle import Clock, Spawned, StopToken, spawn

log = logging.getLogger(__name__)

Procedure = Generator["Future[Any]", Any, Any]
Step = Callable[[], None]


class Agenda:
    """The herder's thread and what is to be done on it, in order of time and then of arrival."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._arrived: queue.SimpleQueue[tuple[float, Step] | None] = queue.SimpleQueue()
        self._due: list[tuple[float, int, Step]] = []
        self._numbers = itertools.count()
        self._thread: Spawned | None = None
        self._lock = threading.Lock()  # of the two below
        self._asked: set[Future[Any]] = set()
        self._over = False  # nothing is answered any more

    def start(self, name: str, on_death: Callable[[BaseException | None], None]) -> None:
        def died(error: BaseException | None) -> None:
            self._refuse_all()
            on_death(error)

        self._thread = spawn(name, self._run, on_death=died)

    def post(self, step: Step, delay: float = 0.0) -> None:
        """Have `step` done on the thread, `delay` seconds from now. Any thread may call this."""
        self._arrived.put((self._clock.monotonic() + delay, step))

    def perform(self, procedure: Procedure) -> "Future[Any]":
        """Run a procedure from its next step on; gives what it returns or raises. Any thread may call this.

        The future cannot be cancelled: who no longer waits for it (REST, after its time-out) changes nothing.
        """
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()
        with self._lock:
            if self._over:
                done.set_exception(_no_answer())
                return done
            self._asked.add(done)
        done.add_done_callback(self._asked.discard)
        self.post(lambda: self._advance(procedure, None, done))
        return done

    def let(self, procedure: Procedure, what: str) -> None:
        """Run a procedure whose end nobody waits for; what it raises is logged, after `what` was to be done."""
        done: Future[Any] = Future()
        done.add_done_callback(lambda it: _log_failure(it, what))
        self.post(lambda: self._advance(procedure, None, done))

    def at_most(self, awaited: "Future[Any]", seconds: float) -> "Future[None]":
        """Done when `awaited` is, or after so many seconds; for the herder's thread."""
        enough: Future[None] = Future()

        def done() -> None:
            if not enough.done():
                enough.set_result(None)

        awaited.add_done_callback(lambda _: self.post(done))
        self.post(done, seconds)
        return enough

    def close(self, timeout: float) -> None:
        """Do what is due, and end; who waits for an answer, or asks from now on, is told that none will come."""
        self._arrived.put(None)
        if self._thread is not None and self._thread.join(timeout):
            self._refuse_all()

    def _refuse_all(self) -> None:
        with self._lock:
            self._over = True
            asked = tuple(self._asked)
        for done in asked:
            done.set_exception(_no_answer())

    def _run(self, stop: StopToken) -> None:
        while True:
            wait = max(0.0, self._due[0][0] - self._clock.monotonic()) if self._due else None
            try:
                arrived = self._arrived.get(timeout=wait)
            except queue.Empty:
                self._do_due()
                continue
            if arrived is None:
                self._do_due()
                return
            heapq.heappush(self._due, (arrived[0], next(self._numbers), arrived[1]))
            self._do_due()

    def _do_due(self) -> None:
        while self._due and self._due[0][0] <= self._clock.monotonic():
            heapq.heappop(self._due)[2]()

    def _advance(self, procedure: Procedure, awaited: "Future[Any] | None", done: "Future[Any]") -> None:
        try:
            if awaited is None:
                waits_for = next(procedure)
            elif (error := awaited.exception()) is not None:
                waits_for = procedure.throw(error)
            else:
                waits_for = procedure.send(awaited.result())
        except StopIteration as end:
            done.set_result(end.value)
        except Exception as error:  # noqa: BLE001 - an answer is made of it: whoever asked gets it
            done.set_exception(error)
        else:
            waits_for.add_done_callback(lambda it: self.post(lambda: self._advance(procedure, it, done)))


def _no_answer() -> WorkerError:
    return WorkerError("The worker is stopping; ask again once it runs.")


def _log_failure(done: "Future[Any]", what: str) -> None:
    error = done.exception()
    if isinstance(error, MillstreamError):
        log.error("%s did not succeed: %s", what, error)
    elif error is not None:
        log.error("%s did not succeed: this is a bug of the worker", what, exc_info=error)


def aside(name: str, call: Callable[[], Any]) -> "Future[Any]":
    """Have `call` done on a thread of its own, for a procedure to wait for what it gives or raises."""
    answer: Future[Any] = Future()

    def run(_: StopToken) -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised in the procedure
            answer.set_exception(error)

    spawn(name, run)
    return answer
