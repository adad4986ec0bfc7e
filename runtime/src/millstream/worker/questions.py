"""What a connector is asked by its worker, and who waits for the answers. On the loop's thread only."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from millstream.errors import WorkerError
from millstream.host.channel import Answer, Ask
from millstream.worker.children import Child
from millstream.worker.loop import Loop, Timer


@dataclass(slots=True)
class _Question:
    ask: Ask
    answer: "Future[Any]"
    timeout: Timer


class Questions:
    """What a connector was asked and has not answered yet.

    too_late: called with a sentence when an answer does not come in time.
    """

    def __init__(self, loop: Loop, connector: str, too_late: Callable[[str], None]) -> None:
        self._loop = loop
        self._connector = connector
        self._too_late = too_late
        self._numbers = 0
        self._open: dict[int, _Question] = {}
        self._sent_to: dict[int, Child] = {}

    def put(self, what: str, arguments: Mapping[str, Any], timeout: float) -> "Future[Any]":
        self._numbers += 1
        sentence = f"did not answer {what} within {timeout:g} s"
        timer = self._loop.after(timeout, lambda: self._too_late(sentence))
        question = _Question(Ask(self._numbers, what, arguments), Future(), timer)
        self._open[self._numbers] = question
        return question.answer

    def send(self, child: Child) -> None:
        """Send what this child was not asked yet."""
        for number, question in self._open.items():
            if self._sent_to.get(number) is not child:
                self._sent_to[number] = child
                child.send(question.ask)

    def answered(self, answer: Answer) -> None:
        question = self._open.pop(answer.number, None)
        self._sent_to.pop(answer.number, None)
        if question is None:
            return
        question.timeout.cancel()
        if answer.failure is not None:
            question.answer.set_exception(answer.failure.error())
        else:
            question.answer.set_result(answer.result)

    def unanswered(self) -> bool:
        return bool(self._open)

    def refuse(self) -> None:
        """The connector is over: no answer will come."""
        questions, self._open = self._open, {}
        self._sent_to.clear()
        for question in questions.values():
            question.timeout.cancel()
            text = f"connector {self._connector!r} ended before it gave an answer; its status says why"
            question.answer.set_exception(WorkerError(text))
