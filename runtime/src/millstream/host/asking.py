"""What a child asks its worker, and waits for or not."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from millstream.errors import WorkerError
from millstream.host.channel import Answer, Ask, ChildEnd
from millstream.lifecycle import StopToken

log = logging.getLogger(__name__)

Done = Callable[[Answer], None]
TELL_SECONDS = 30.0
LOOK_SECONDS = 0.2


class Asking:
    """Questions of one child, numbered; any thread asks, the listening one brings the answers.

    over: set when patience with this child is over: it waits for nothing any more.
    """

    def __init__(self, end: ChildEnd) -> None:
        self.over = StopToken()
        self._end = end
        self._lock = threading.Lock()
        self._number = 0
        self._open: dict[int, Done] = {}

    def put(self, what: str, arguments: Mapping[str, Any], done: Done) -> None:
        """Ask; `done` comes once, on the listening thread, and must not block. Raises what `encode` raises."""
        with self._lock:
            self._number += 1
            number = self._number
            self._open[number] = done
        try:
            self._end.tell(Ask(number, what, arguments))
        except BaseException:
            self._forget(number)
            raise

    def ask(self, what: str, arguments: Mapping[str, Any], closed: str) -> Any:
        """Ask, and wait for the answer as long as it takes; that it takes long is said once.

        Raises what the worker raised, and WorkerError(`closed`) when patience is over.
        """
        told = threading.Event()
        answers: list[Answer] = []

        def done(answer: Answer) -> None:
            answers.append(answer)
            told.set()

        self.put(what, arguments, done)
        self._wait(told, what, closed)
        if answers[0].failure is not None:
            raise answers[0].failure.error()
        return answers[0].result

    def _wait(self, told: threading.Event, what: str, closed: str) -> None:
        looks = 0
        while not told.wait(LOOK_SECONDS):
            if self.over.is_set:
                raise WorkerError(closed)
            looks += 1
            if looks == round(TELL_SECONDS / LOOK_SECONDS):
                log.warning("the worker has not answered %r for %.0f s; it is waited for", what, TELL_SECONDS)

    def answered(self, answer: Answer) -> None:
        done = self._forget(answer.number)
        if done is not None:
            done(answer)

    def _forget(self, number: int) -> Done | None:
        with self._lock:
            return self._open.pop(number, None)
