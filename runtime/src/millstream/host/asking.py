"""What a child asks its worker, and waits for or not."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from millstream.errors import WorkerError
from millstream.host.channel import Answer, Ask, ChildEnd

Done = Callable[[Answer], None]


class Asking:
    """Questions of one child, numbered; any thread asks, the listening one brings the answers."""

    def __init__(self, end: ChildEnd) -> None:
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

    def ask(self, what: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        """Ask, and wait for the answer. Raises what the worker raised, WorkerError after `timeout` seconds."""
        told = threading.Event()
        answers: list[Answer] = []

        def done(answer: Answer) -> None:
            answers.append(answer)
            told.set()

        self.put(what, arguments, done)
        if not told.wait(timeout):
            raise WorkerError(f"the worker did not answer {what!r} within {timeout:g} s")
        if answers[0].failure is not None:
            raise answers[0].failure.error()
        return answers[0].result

    def answered(self, answer: Answer) -> None:
        done = self._forget(answer.number)
        if done is not None:
            done(answer)

    def _forget(self, number: int) -> Done | None:
        with self._lock:
            return self._open.pop(number, None)
