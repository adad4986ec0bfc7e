"""What a child asks its worker: waited for as long as it takes, until patience with the child is over."""

import logging
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import WorkerError
from millstream.host import asking
from millstream.host.asking import Asking
from millstream.host.channel import Answer, Cancel, ChildEnd, RunConnector, RunProbe, RunTask, Stop
from millstream.host.connector import ConnectorBody
from millstream.host.probe import ProbeBody
from millstream.host.task import TaskBody
from millstream.lifecycle import StopToken, spawn
from millstream.storage.offsets import CLOSED

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import PATIENCE_S, target, wait_until


class Asked:
    """A child's end, and a question that a thread of its own waits for the answer to."""

    def __init__(self) -> None:
        self.near, self._far = socket.socketpair()
        self.asking = Asking(ChildEnd(self._far))
        self.answer: Future[Any] = Future()
        spawn("asks", self._ask)
        self.near.recv(1 << 12)

    def _ask(self, _: StopToken) -> None:
        try:
            self.answer.set_result(self.asking.ask("offsets", {"partitions": []}, CLOSED))
        except WorkerError as error:
            self.answer.set_exception(error)

    def close(self) -> None:
        self.asking.over.set()
        self.near.close()
        self._far.close()


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    made.close()


def test_an_answer_that_takes_long_is_waited_for_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asking, "TELL_SECONDS", 0.05)
    monkeypatch.setattr(asking, "LOOK_SECONDS", 0.01)
    asked = Asked()
    try:
        wait_until(lambda: "the worker has not answered 'offsets' for" in caplog.text)
        looks = threading.Event()
        assert not looks.wait(0.2)
        assert not asked.answer.done()
        asked.asking.answered(Answer(1, ["late"]))
        assert asked.answer.result(PATIENCE_S) == ["late"]
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
    finally:
        asked.close()


@pytest.mark.parametrize(
    ("kind", "run"),
    [
        (TaskBody, RunTask("it", 0, target("Staying"))),
        (ConnectorBody, RunConnector("it", target("Staying"))),
        (ProbeBody, RunProbe("report", target("Staying"))),
    ],
)
def test_patience_is_over_when_the_worker_says_so(kind: Any, run: Any) -> None:
    near, far = socket.socketpair()
    body = kind(run, ChildEnd(far))
    body.hear(Stop())
    assert not body._asking.over.is_set
    body.hear(Cancel())
    assert body._asking.over.is_set
    near.close()
    far.close()


def test_when_patience_with_it_is_over_it_waits_no_more_and_javas_sentence_says_why(asked: Asked) -> None:
    asked.asking.over.set()
    with pytest.raises(WorkerError, match=r"^Offset reader closed while attempting to read offsets"):
        asked.answer.result(PATIENCE_S)
