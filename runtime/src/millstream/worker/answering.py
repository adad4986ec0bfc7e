"""Questions of children to their worker, and who answers them."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from millstream.errors import WorkerError
from millstream.host.channel import Answer, Ask, Failure
from millstream.worker.children import Child
from millstream.worker.loop import Loop

Answering = Callable[[str, str, Mapping[str, Any]], "Future[Any]"]
"""Given the connector, what is asked, and its arguments; called on the loop's thread, must not block."""


def nobody(connector: str, what: str, arguments: Mapping[str, Any]) -> "Future[Any]":
    """The answer of a worker that keeps nothing for its children."""
    answer: Future[Any] = Future()
    answer.set_exception(WorkerError(f"this worker has no answer to {what!r}"))
    return answer


def pass_on(loop: Loop, answering: Answering, child: Child, ask: Ask) -> None:
    """Have a child's question answered; the answer goes back on the loop's thread."""

    def told(done: "Future[Any]") -> None:
        error = done.exception()
        if error is None:
            answer = Answer(ask.number, done.result())
        else:
            answer = Answer(ask.number, failure=Failure.of(error))
        loop.post(lambda: child.send(answer))

    answering(child.run.connector, ask.what, ask.arguments).add_done_callback(told)
