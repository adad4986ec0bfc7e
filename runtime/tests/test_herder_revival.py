"""What was ended from outside is started again; a failure of its own is not."""

import errno
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from herding import Herding, herding, until

from millstream.herder import revival
from millstream.herder.procedures import Agenda, Procedure
from millstream.herder.revival import Revivals
from millstream.herder.turns import Turns
from millstream.host.channel import Event, Failure, RunConnector, RunTask, StateChanged
from millstream.identity import TaskId
from millstream.lifecycle import ManualClock
from millstream.storage.statuses import Subject
from millstream.worker import runs
from millstream.worker.runs import Supervised, failure
from millstream.worker.worker import Worker

KILLED = StateChanged("FAILED", Failure("E", "killed", "E: killed"), from_outside=True)
FAILED = StateChanged("FAILED", Failure("E", "failed", "E: failed"))


def revivals_of(clock: ManualClock) -> Revivals:
    return Revivals(clock, Agenda(clock), Turns())


def test_the_pause_grows_and_after_six_times_it_stays_failed() -> None:
    revivals = revivals_of(ManualClock())
    waits = [revivals.wait_s("name") for _ in range(8)]
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, None, None]
    assert revivals.wait_s(TaskId("name", 0)) == 2.0


def test_what_ran_long_begins_with_the_shortest_pause() -> None:
    clock = ManualClock()
    revivals = revivals_of(clock)
    assert [revivals.wait_s("name"), revivals.wait_s("name")] == [2.0, 4.0]
    clock.advance(revival.WELL_S + 1)
    assert revivals.wait_s("name") == 2.0


NO_ROOM = StateChanged("FAILED", Failure("E", "none", "E: none"), no_room=True)


def nothing() -> Procedure:
    yield from ()


def test_a_start_again_for_which_there_is_no_room_counts_as_no_try() -> None:
    clock = ManualClock()
    revivals = revivals_of(clock)
    assert revivals.after("name", KILLED, False, nothing) == "Started again in 2 s"
    for _ in range(20):
        clock.advance(revival.MOST_S)
        told = revivals.after("name", NO_ROOM, True, nothing)
        assert told == "It was ended from outside, and there is no room for it now: tried every 60 s until there is"
    assert revivals.after("name", KILLED, True, nothing) == "Started again in 4 s", "it did not run in between"
    assert revivals.after("name", NO_ROOM, False, nothing) is None
    assert revivals.after("name", FAILED, True, nothing) is None


def test_a_new_one_of_that_name_has_no_past() -> None:
    revivals = revivals_of(ManualClock())
    assert [revivals.wait_s("name"), revivals.wait_s("name")] == [2.0, 4.0]
    revivals.forget("name")
    assert revivals.wait_s("name") == 2.0


class Ends:
    """What children are started, and a way to have one tell of its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: dict[str, list[Callable[[Event], None]]] = {"task": [], "connector": []}
        self.waits: list[float | None] = []
        self._worker: Worker | None = None
        start_task, start_connector = Worker.start_task, Worker.start_connector

        def task(worker: Worker, spec: RunTask, on_event: Callable[[Event], None]) -> None:
            self.told["task"].append(on_event)
            start_task(worker, spec, on_event)

        def connector(worker: Worker, spec: RunConnector, on_event: Callable[[Event], None]) -> None:
            self._worker = worker
            self.told["connector"].append(on_event)
            start_connector(worker, spec, on_event)

        wait_s = Revivals.wait_s

        def noting(revivals: Revivals, subject: Subject) -> float | None:
            self.waits.append(wait_s(revivals, subject))
            return self.waits[-1]

        monkeypatch.setattr(Revivals, "wait_s", noting)
        monkeypatch.setattr(Worker, "start_task", task)
        monkeypatch.setattr(Worker, "start_connector", connector)

    def end(self, what: str) -> None:
        """Have the worker find that its child was killed: nothing of it is heard after that."""
        worker = self._worker
        assert worker is not None

        def there() -> Supervised | None:
            """A start is told before the worker's thread has begun it."""
            run = worker._tasks.get(TaskId("it", 0)) if what == "task" else worker._connectors.get("it")
            return run if run is not None and run.state == "RUNNING" else None

        run = until(there, "it to run in the worker")
        assert run is not None
        worker._loop.post(lambda: run.fail(failure("killed"), from_outside=True))

    def worker(self) -> Worker:
        assert self._worker is not None
        return self._worker

    def starts(self, what: str) -> int:
        return len(self.told[what])


PAUSE_S = 30.0


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """What ended comes back when the test lets that time pass, and not before."""
    monkeypatch.setattr(revival, "FIRST_S", PAUSE_S)
    return Ends(monkeypatch)


def running(alone: Herding) -> None:
    alone.create("it", tasks="1")
    until(lambda: alone.states("it") == ["RUNNING", "RUNNING"], "it to run")


def ended(alone: Herding) -> None:
    until(lambda: "FAILED" in alone.states("it"), "its failure to be told")


@pytest.mark.parametrize("what", ["task", "connector"])
def test_what_was_killed_is_failed_says_when_it_comes_back_and_does(
    ends: Ends, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with herding() as alone:
        running(alone)
        before = ends.starts(what)
        ends.told[what][-1](KILLED)
        ended(alone)
        alone.pass_time(PAUSE_S)
        until(lambda: ends.starts(what) > before, "it to be started again")
        until(lambda: alone.states("it") == ["RUNNING", "RUNNING"], "it to run again")
    assert "FAILED: E: killed. Started again in 30 s" in caplog.text


@pytest.mark.parametrize("what", ["task", "connector"])
def test_what_failed_by_itself_stays_so(ends: Ends, what: str, caplog: pytest.LogCaptureFixture) -> None:
    with herding() as alone:
        running(alone)
        before = ends.starts(what)
        ends.told[what][-1](FAILED)
        ended(alone)
        alone.pass_time(revival.MOST_S)
        alone.come_round("it")
        assert ends.starts(what) == before
        assert "FAILED" in alone.states("it")
    assert "It stays so until POST /connectors/it" in caplog.text


@pytest.mark.parametrize("what", ["task", "connector"])
def test_what_was_deleted_meanwhile_is_not_started_again(
    ends: Ends, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    with herding() as alone:
        running(alone)
        before = ends.starts(what)
        ends.told[what][-1](KILLED)
        ended(alone)
        assert alone.rest.delete("/connectors/it").status_code == 204
        alone.pass_time(PAUSE_S)
        alone.come_round("it")
        assert ends.starts(what) == before
        assert "it" not in alone.rest.get("/connectors").json()
    assert "bug of the worker" not in caplog.text


OTHER = {"connector.class": "hosted:Staying", "tasks.max": "1", "topic": "others"}


@pytest.mark.parametrize(
    ("method", "path", "body", "starts", "state"),
    [
        ("POST", "restart?includeTasks=true", None, 1, "RUNNING"),
        ("PUT", "config", OTHER, 1, "RUNNING"),
        ("PUT", "pause", None, 1, "PAUSED"),
        ("PUT", "stop", None, 0, "STOPPED"),
    ],
)
@pytest.mark.parametrize("what", ["task", "connector"])
def test_what_somebody_takes_in_hand_before_it_comes_back_is_started_once_at_most(
    ends: Ends,
    what: str,
    method: str,
    path: str,
    body: dict[str, str] | None,
    starts: int,
    state: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with herding() as alone:
        running(alone)
        before = ends.starts(what)
        ends.end(what)
        ended(alone)
        assert alone.rest.request(method, f"/connectors/it/{path}", body).status_code in (200, 202, 204)
        if state == "RUNNING":
            until(lambda: ends.starts(what) > before, "it to be started by who has it in hand")
        alone.pass_time(PAUSE_S)
        alone.come_round("it")
        until(lambda: set(alone.states("it")) == {state}, f"all to be {state}")
        assert ends.starts(what) == before + starts
    assert "bug of the worker" not in caplog.text


@pytest.mark.parametrize("what", ["task", "connector"])
def test_what_somebody_restarts_or_gives_other_settings_has_all_its_tries_again(ends: Ends, what: str) -> None:
    with herding() as alone:
        running(alone)

        def killed() -> None:
            before = ends.starts(what)
            ends.end(what)
            ended(alone)
            alone.pass_time(ends.waits[-1] or 0.0)
            started_again(before)

        def started_again(before: int) -> None:
            until(lambda: ends.starts(what) > before, "it to be started again")
            until(lambda: alone.states("it") == ["RUNNING", "RUNNING"], "it to run again")

        one = "restart" if what == "connector" else "tasks/0/restart"
        killed()
        killed()
        assert ends.waits == [PAUSE_S, 2 * PAUSE_S]
        for method, path, body in (
            ("POST", one, None),
            ("POST", "restart?includeTasks=true", None),
            ("PUT", "config", OTHER),
        ):
            before = ends.starts(what)
            assert alone.rest.request(method, f"/connectors/it/{path}", body).status_code in (200, 202, 204)
            started_again(before)
            killed()
    assert ends.waits == [PAUSE_S, 2 * PAUSE_S, PAUSE_S, PAUSE_S, PAUSE_S]


def test_a_connector_that_is_resumed_before_it_comes_back_is_not_said_to_stay_failed(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with herding() as alone:
        running(alone)
        before = ends.starts("connector")
        ends.end("connector")
        ended(alone)
        assert alone.rest.request("PUT", "/connectors/it/resume").status_code == 202
        assert "connector it was ended from outside, and is about to be started again" in caplog.text
        alone.pass_time(PAUSE_S)
        until(lambda: ends.starts("connector") > before, "it to be started again")
        until(lambda: alone.states("it") == ["RUNNING", "RUNNING"], "it to run again")
    assert "stays so until it is restarted" not in caplog.text


WAITS = "It was ended from outside, and there is no room for it now: tried every 0 s until there is"


def trace_of(alone: Herding, what: str) -> str:
    status = alone.rest.get("/connectors/it/status").json()
    return str((status["connector"] if what == "connector" else status["tasks"][0]).get("trace", ""))


@pytest.mark.parametrize("what", ["task", "connector"])
def test_what_was_killed_and_finds_no_room_is_tried_until_there_is_and_says_so(
    ends: Ends, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(revival, "MOST_S", 0.3)

    class Roomless:
        def __init__(self, *_: object) -> None:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with herding() as alone:
        running(alone)
        before = ends.starts(what)
        with monkeypatch.context() as patch:
            patch.setattr(runs, "Child", Roomless)
            ends.end(what)
            until(lambda: ends.starts(what) > before + revival.TRIES + 1, "it to be started again and again")
            why = "no channel can be made for it: Cannot allocate memory"
            until(
                lambda: why in (told := trace_of(alone, what)) and WAITS in told, "its status to say what it waits for"
            )
        until(lambda: alone.states("it") == ["RUNNING", "RUNNING"], "it to run again")
    assert f"or run fewer connectors and tasks on this worker. {WAITS}" in caplog.text


def test_a_task_that_was_killed_and_that_the_budget_refuses_runs_again_once_there_is_memory(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revival, "MOST_S", 0.3)
    with herding() as alone:
        running(alone)
        admission = ends.worker()._admission
        roomy = admission._budget
        admission._budget = replace(roomy, memory=0)
        ends.end("task")
        until(lambda: "no memory for one more task" in trace_of(alone, "task"), "the budget to refuse it")
        until(lambda: WAITS in trace_of(alone, "task"), "its status to say what it waits for")
        admission._budget = roomy
        until(lambda: alone.states("it") == ["RUNNING", "RUNNING"], "it to run again")


def test_a_start_by_hand_for_which_there_is_no_room_stays_failed(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    with herding() as alone:
        running(alone)
        admission = ends.worker()._admission
        admission._budget = replace(admission._budget, memory=0)
        before = ends.starts("task")
        assert alone.rest.post("/connectors/it/tasks/0/restart").status_code == 204
        until(lambda: alone.states("it") == ["RUNNING", "FAILED"], "the budget to refuse it")
        alone.pass_time(revival.MOST_S)
        alone.come_round("it")
        assert ends.starts("task") == before + 1
    assert "It stays so until POST /connectors/it/tasks/0/restart" in caplog.text
