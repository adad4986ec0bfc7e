"""A probe that ended before it lived: asked of another child, unless the worker itself has ended it."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import RemoteError
from millstream.host.channel import Hello
from millstream.worker.children import Child
from millstream.worker.runs import OTHER_PROBES, Facilities, ProbeRun

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import Turning, probe


class Asking:
    """A probe whose children have no process: what becomes of them the test says."""

    def __init__(self) -> None:
        self.turning = Turning()
        self.launched: list[Child] = []
        self.answer: Future[Any] = Future()
        self.run = ProbeRun(Facilities(self.turning.loop, self, 60_000, 60_000), probe("report"), self.answer, 90.0)

    def launch(self, child: Child) -> None:
        self.launched.append(child)

    def warm(self) -> None:
        """Nothing can be made ready."""

    def close(self) -> None:
        for child in self.launched:
            child.gone(0)
        self.turning.loop.close()

    def template_dies(self) -> None:
        self.launched[-1].gone(None, "its template process 7 died (signal 9)", from_outside=True)


@pytest.fixture
def asking() -> Iterator[Asking]:
    made = Asking()
    yield made
    made.close()


def test_one_that_was_killed_before_it_lived_is_asked_of_another_so_often_and_no_more(asking: Asking) -> None:
    for others in range(OTHER_PROBES):
        asking.template_dies()
        assert len(asking.launched) == others + 2
        assert not asking.answer.done()
    asking.template_dies()
    assert len(asking.launched) == OTHER_PROBES + 1
    with pytest.raises(RemoteError, match=r"probe probed\|report: its template process 7 died \(signal 9\)"):
        asking.answer.result(0)


def test_one_that_lived_may_have_asked_something_and_is_asked_of_nobody_else(asking: Asking) -> None:
    asking.run.heard(Hello(7))
    asking.template_dies()
    assert len(asking.launched) == 1
    assert asking.answer.exception(0) is not None


def test_one_that_a_closing_worker_ends_is_asked_of_nobody_else(asking: Asking) -> None:
    asking.launched[0].kill("the worker is closing")
    asking.template_dies()
    assert len(asking.launched) == 1
    assert asking.answer.exception(0) is not None
