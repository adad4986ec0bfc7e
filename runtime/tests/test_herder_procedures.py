"""The herder's thread goes on whatever becomes of those who asked."""

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from millstream.errors import WorkerError
from millstream.herder.procedures import Agenda, Procedure
from millstream.lifecycle import SystemClock

DEADLINE_S = 60


@pytest.fixture
def agenda():
    deaths: list[BaseException | None] = []
    made = Agenda(SystemClock())
    made.start("herder", deaths.append)
    yield made
    made.close(DEADLINE_S)
    assert deaths in ([], [None])


def waiting_for(awaited: "Future[Any]") -> Procedure:
    return (yield awaited)


@pytest.mark.parametrize("outcome", ["result", "error"])
def test_who_stops_waiting_does_not_end_the_herder(agenda, outcome):
    awaited: Future[Any] = Future()

    async def impatient() -> None:
        await asyncio.wait_for(asyncio.wrap_future(agenda.perform(waiting_for(awaited))), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    if outcome == "result":
        awaited.set_result(1)
    else:
        awaited.set_exception(ValueError("too late"))
    later: Future[Any] = Future()
    later.set_result("still here")
    assert agenda.perform(waiting_for(later)).result(DEADLINE_S) == "still here"


def test_what_a_procedure_raises_is_the_answer_and_the_next_one_is_served(agenda):
    failing: Future[Any] = Future()
    failing.set_exception(ValueError("the moon is full"))
    with pytest.raises(ValueError, match="the moon is full"):
        agenda.perform(waiting_for(failing)).result(DEADLINE_S)
    done: Future[Any] = Future()
    done.set_result(2)
    assert agenda.perform(waiting_for(done)).result(DEADLINE_S) == 2


def test_who_waits_when_the_herder_ends_is_told_so(agenda):
    asked = agenda.perform(waiting_for(Future()))
    agenda.close(DEADLINE_S)
    with pytest.raises(WorkerError, match="The worker is stopping; ask again once it runs"):
        asked.result(DEADLINE_S)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WorkerError("no room"), "tidying did not succeed: no room"),
        (ZeroDivisionError("zero"), "tidying did not succeed: this is a bug of the worker"),
    ],
)
def test_what_fails_although_nobody_waits_for_it_is_logged(agenda, caplog, error, said):
    failing: Future[Any] = Future()
    failing.set_exception(error)
    agenda.let(waiting_for(failing), "tidying")
    done: Future[Any] = Future()
    done.set_result(2)
    assert agenda.perform(waiting_for(done)).result(DEADLINE_S) == 2
    assert said in caplog.text


def test_who_asks_after_the_end_is_told_so_at_once():
    agenda = Agenda(SystemClock())
    agenda.start("herder", lambda _: None)
    agenda.close(DEADLINE_S)
    with pytest.raises(WorkerError, match="The worker is stopping"):
        agenda.perform(waiting_for(Future())).result(DEADLINE_S)


def test_who_waits_when_the_herder_dies_is_told_so():
    deaths: list[BaseException | None] = []
    agenda = Agenda(SystemClock())
    agenda.start("herder", deaths.append)
    asked = agenda.perform(waiting_for(Future()))

    def dies() -> None:
        raise RuntimeError("out of luck")

    agenda.post(dies)
    with pytest.raises(WorkerError, match="The worker is stopping"):
        asked.result(DEADLINE_S)
    with pytest.raises(WorkerError, match="The worker is stopping"):
        agenda.perform(waiting_for(Future())).result(DEADLINE_S)
    agenda.close(DEADLINE_S)
    assert [str(death) for death in deaths] == ["out of luck"]
