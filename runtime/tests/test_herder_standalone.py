"""The herder of a lone worker, asked by REST: slow starts, refusals, two requests at once."""

import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import BrokerError, NoAnswerError, WorkerError
from millstream.herder import configuring
from millstream.herder.probing import ANSWER_S
from millstream.herder.requests import Ping, SetTarget
from millstream.identity import TargetState
from millstream.storage.configs import ConfigStore
from millstream.worker.worker import Worker

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

import hosted
from herding import LASTING_S, START_S, Herding, come, herding, until
from watching import PATIENCE_S

FILE_SOURCE = "FileStreamSource"
FILE_SINK = "FileStreamSink"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A creation waits a moment for the tasks."""
    monkeypatch.setattr(configuring, "TASKS_S", 0.05)


def test_a_creation_is_answered_with_its_tasks(herd: Herding) -> None:
    made = herd.create("quick", tasks="2", tasks_max="2")
    assert made.status_code == 201
    assert made.json()["tasks"] == [{"connector": "quick", "task": 0}, {"connector": "quick", "task": 1}]


def test_a_setting_that_looks_like_a_slip_is_logged_where_a_connector_is_made_or_changed_and_not_in_a_validation(
    herd: Herding, caplog: pytest.LogCaptureFixture
) -> None:
    said = (
        "[typed|worker] nothing declares the setting 'task.max', and it may change nothing; did you mean 'tasks.max'?"
    )
    herd.create("typed", task_max="2")
    assert caplog.messages.count(said) == 1
    config = herd.rest.get("/connectors/typed/config").json()
    given = herd.rest.request("PUT", f"/connector-plugins/{config['connector.class']}/config/validate", json=config)
    assert set(given.json()) == {"name", "error_count", "groups", "configs"}
    assert caplog.messages.count(said) == 1
    assert herd.rest.request("PATCH", "/connectors/typed/config", json={"tasks.max": "1"}).status_code == 200
    assert caplog.messages.count(said) == 2


def test_more_tasks_than_allowed_fail_unless_that_is_not_enforced(herd: Herding) -> None:
    herd.create("generous", tasks="3", tasks_max="2")
    until(lambda: herd.states("generous") == ["FAILED"], "it to fail")
    said = "generated 3 tasks, which is greater than 2, the maximum number of tasks it is configured to create"
    assert said in herd.rest.get("/connectors/generous/status").json()["connector"]["trace"]
    herd.create("free", tasks="3", tasks_max="2", tasks_max_enforce="false")
    until(lambda: herd.states("free") == ["RUNNING"] * 4, "its three tasks to run")


@pytest.mark.usefixtures("impatient")
def test_a_creation_whose_start_takes_long_is_answered_all_the_same_and_its_status_says_what_goes_on(
    herd: Herding, gate: str
) -> None:
    made = herd.create("slow", deed="gate", path=gate)
    assert (made.status_code, made.json()["tasks"]) == (201, [])
    status = herd.rest.get("/connectors/slow/status")
    assert status.status_code == 404
    said = "No status found for connector slow. The worker is currently starting the connector, which began at "
    assert status.json()["message"].startswith(said)
    other = herd.create("other")
    assert other.status_code == 201
    until(lambda: herd.states("other") == ["RUNNING", "RUNNING"], "another connector to run meanwhile")
    assert herd.states("slow") == []
    hosted.GATES[gate].set()
    until(lambda: herd.states("slow") == ["RUNNING", "RUNNING"], "the slow one to run, once its start returns")
    assert herd.herder.stages.concerning("slow") is None


def test_the_status_of_a_connector_whose_new_start_takes_long_says_what_goes_on(herd: Herding, gate: str) -> None:
    hosted.GATES[gate].set()
    assert herd.create("again", deed="gate", path=gate).status_code == 201
    until(lambda: herd.states("again") == ["RUNNING", "RUNNING"], "it to run")
    hosted.GATES[gate].clear()
    restarting = threading.Thread(target=lambda: herd.rest.post("/connectors/again/restart"))
    restarting.start()
    until(lambda: herd.states("again")[:1] == ["UNASSIGNED"], "the old start to be over")
    until(lambda: "starting the connector" in herd.rest.get("/connectors/again/status").text, "the new one to be told")
    told = herd.rest.get("/connectors/again/status").json()["connector"]
    assert told["trace"].startswith("The worker is currently starting the connector, which began at ")
    hosted.GATES[gate].set()
    restarting.join()
    until(lambda: herd.states("again") == ["RUNNING", "RUNNING"], "it to run again")
    assert "trace" not in herd.rest.get("/connectors/again/status").json()["connector"]


def test_what_is_restarted_is_restarting_until_it_runs(herd: Herding, gate: str) -> None:
    hosted.GATES[gate].set()
    assert herd.create("anew", deed="gate", path=gate).status_code == 201
    until(lambda: herd.states("anew") == ["RUNNING", "RUNNING"], "it to run")
    hosted.GATES[gate].clear()
    plan = herd.rest.post("/connectors/anew/restart?includeTasks=true")
    assert plan.status_code == 202
    until(lambda: herd.states("anew")[:1] == ["RESTARTING"], "the connector to be told")
    hosted.GATES[gate].set()
    until(lambda: herd.states("anew") == ["RUNNING", "RUNNING"], "both to run again")


@pytest.mark.usefixtures("impatient")
def test_task_configs_that_take_long_are_what_goes_on_too(herd: Herding, gate: str) -> None:
    made = herd.create("thinking", deed="gate", where="task_configs", path=gate)
    assert (made.status_code, made.json()["tasks"]) == (201, [])
    until(lambda: herd.states("thinking") == ["RUNNING"], "the connector to run")
    come(gate)
    stage = herd.herder.stages.summary("thinking") or ""
    assert stage.startswith("The worker is currently generating task configs for connector thinking, which began at ")
    hosted.GATES[gate].set()
    until(lambda: herd.states("thinking") == ["RUNNING", "RUNNING"], "its task to run")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", ["start", "task_configs"])
def test_a_connector_that_hangs_is_failed_with_the_place_at_which_it_hangs(gate: str, where: str) -> None:
    with herding() as alone:
        assert alone.create("stuck", deed="gate", where=where, path=gate).status_code == 201
        come(gate)
        alone.pass_time(START_S)
        until(lambda: alone.states("stuck") == ["FAILED"], "the connector to be given up")
        trace = alone.rest.get("/connectors/stuck/status").json()["connector"]["trace"]
        assert 'hosted.py", line' in trace
        assert f"in {where}" in trace
        hosted.GATES[gate].set()
        assert alone.rest.delete("/connectors/stuck").status_code == 204


@pytest.mark.usefixtures("impatient")
def test_a_connector_can_be_deleted_while_its_start_hangs(herd: Herding, gate: str) -> None:
    herd.create("unwanted", deed="gate", path=gate)
    assert herd.rest.delete("/connectors/unwanted").status_code == 204
    assert "unwanted" not in herd.rest.get("/connectors").json()
    assert herd.herder.stages.concerning("unwanted") is None


def test_a_validation_that_hangs_is_answered_with_the_stage_and_the_place(gate: str) -> None:
    with herding() as alone:
        answers: list[Any] = []
        asking = threading.Thread(
            target=lambda: answers.append(alone.create("asking", deed="gate", where="probe", path=gate))
        )
        asking.start()
        come(gate)
        alone.pass_time(ANSWER_S)
        asking.join()
        assert answers[0].status_code == 500
        said = answers[0].json()["message"]
        assert said.startswith(
            "Request timed out. The worker is currently performing multi-property validation for the connector asking,"
        )
        assert "probe asking|report did not answer within 85 s; the worker ended it. It was at\n" in said
        assert "in probe" in said
        assert "asking" not in alone.rest.get("/connectors").json()
        hosted.GATES[gate].set()


def test_who_did_not_answer_says_where_it_was() -> None:
    error = NoAnswerError("Name", "the probe did not answer", "trace", "\tat here")
    assert (str(error), error.stack) == ("the probe did not answer", "\tat here")


def test_no_stage_of_the_start_is_left_when_the_worker_is_ready(herd: Herding) -> None:
    assert "currently awaiting startup" not in (herd.herder.stages.summary() or "")


def test_task_configs_that_cannot_be_stored_are_stored_later(
    herd: Herding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = ConfigStore.put_task_configs
    left = [BrokerError("the disk is full", retriable=True)]

    def full_at_first(configs: ConfigStore, name: str, tasks: Any) -> None:
        if name == "patient" and left:
            raise WorkerError("Error writing task configurations to Kafka") from left.pop()
        store(configs, name, tasks)

    monkeypatch.setattr(ConfigStore, "put_task_configs", full_at_first)
    assert herd.create("patient").status_code == 201
    until(lambda: herd.states("patient") == ["RUNNING", "RUNNING"], "its task to run all the same")
    assert not left
    assert "the tasks of connector patient could not be configured; tried again in 0.25 s: Error writing" in caplog.text


def test_settings_that_cannot_be_stored_leave_the_connector_as_it_was(
    herd: Herding, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert herd.create("steady").status_code == 201
    until(lambda: herd.states("steady") == ["RUNNING", "RUNNING"], "it to run")

    def full(*_: Any) -> None:
        raise WorkerError("Error writing connector configuration to Kafka: the disk is full")

    monkeypatch.setattr(ConfigStore, "put_connector", full)
    refused = herd.rest.request("PATCH", "/connectors/steady/config", {"tasks": "2", "tasks.max": "2"})
    assert (refused.status_code, "the disk is full" in refused.text) == (500, True)
    monkeypatch.undo()
    assert herd.states("steady") == ["RUNNING", "RUNNING"]
    assert "tasks" not in herd.rest.get("/connectors/steady/config").json()


def test_of_two_patches_at_once_both_are_kept(herd: Herding, gate: str) -> None:
    hosted.GATES[gate].set()
    assert herd.create("patched", deed="gate", where="probe", path=gate, initial_state="STOPPED").status_code == 201
    hosted.GATES[gate].clear()
    path = "/connectors/patched/config"
    asking = [threading.Thread(target=lambda key=key: herd.rest.request("PATCH", path, {key: "x"})) for key in "ab"]
    for each in asking:
        each.start()
    come(gate, 3)  # the creation was the first
    hosted.GATES[gate].set()
    for each in asking:
        each.join()
    config = herd.rest.get(path).json()
    assert (config.get("a"), config.get("b")) == ("x", "x")


def test_a_stop_does_not_come_between_the_end_of_the_old_tasks_and_the_start_of_the_new(
    herd: Herding, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert herd.create("shrinking", tasks="2", tasks_max="2").status_code == 201
    until(lambda: herd.states("shrinking") == ["RUNNING"] * 3, "both tasks to run")
    stop, ended = Worker.stop_tasks, Future[None]()
    asked = threading.Event()

    def stop_late(worker: Worker, tasks: Any, *rest: Any) -> Any:
        done = stop(worker, tasks, *rest)
        if asked.is_set() or not any(task.connector == "shrinking" for task in tasks):
            return done
        asked.set()
        return ended

    monkeypatch.setattr(Worker, "stop_tasks", stop_late)
    patch = {"tasks": "1"}
    changing = threading.Thread(target=lambda: herd.rest.request("PATCH", "/connectors/shrinking/config", patch))
    changing.start()
    assert asked.wait(PATIENCE_S), "the old tasks are not stopped"
    stopping = herd.herder.submit(SetTarget("shrinking", TargetState.STOPPED))
    herd.herder.submit(Ping()).result(PATIENCE_S)  # the herder has come round
    assert not stopping.done()
    ended.set_result(None)
    changing.join()
    stopping.result(PATIENCE_S)
    until(lambda: herd.states("shrinking") == ["STOPPED"], "the connector to be stopped, too")
    assert herd.rest.get("/connectors/shrinking/tasks").json() == []
    assert [view.name for view in herd.herder.children() if view.name.startswith("shrinking-")] == []


def test_of_two_puts_at_once_of_a_new_connector_the_first_creates_it_and_the_second_changes_it(
    herd: Herding, gate: str
) -> None:
    answers: list[int] = []
    settings = {"connector.class": "hosted:Staying", "deed": "gate", "where": "probe", "path": gate}

    def put() -> None:
        answers.append(herd.rest.request("PUT", "/connectors/both/config", settings).status_code)

    asking = [threading.Thread(target=put) for _ in range(2)]
    for each in asking:
        each.start()
    come(gate, 2)  # both are validated at once
    hosted.GATES[gate].set()
    for each in asking:
        each.join()
    assert sorted(answers) == [200, 201]


def test_tasks_that_were_configured_before_do_not_wait_for_their_connector(tmp_path: Path, gate: str) -> None:
    hosted.GATES[gate].set()
    with herding(log=tmp_path / "log.db") as first:
        first.create("stored", deed="gate", path=gate)
        until(lambda: first.states("stored") == ["RUNNING", "RUNNING"], "it to run")
    hosted.GATES[gate].clear()
    with herding(log=tmp_path / "log.db") as second:
        until(lambda: second.states("stored") == ["UNASSIGNED", "RUNNING"], "its task to run beside its hanging start")
        hosted.GATES[gate].set()
        until(lambda: second.states("stored") == ["RUNNING", "RUNNING"], "its connector to run")


def test_what_has_failed_at_a_start_does_not_run_and_its_tasks_do(tmp_path: Path) -> None:
    there = tmp_path / "there"
    with herding(log=tmp_path / "log.db") as first:
        first.create("stored", deed="raise-once-there", path=str(there))
        until(lambda: first.states("stored") == ["RUNNING", "RUNNING"], "it to run")
    there.touch()
    with herding(log=tmp_path / "log.db") as second:
        until(lambda: second.states("stored") == ["FAILED", "RUNNING"], "its task to run, and its connector to fail")
        pids = [view for view in second.herder.children() if view.name == "stored-0" and view.state == "RUNNING"]
        assert len(pids) == 1


def test_tasks_of_a_paused_connector_are_paused_after_a_start(tmp_path: Path) -> None:
    with herding(log=tmp_path / "log.db") as first:
        first.create("stored")
        first.rest.request("PUT", "/connectors/stored/pause")
        until(lambda: first.states("stored") == ["PAUSED", "PAUSED"], "it to pause")
    with herding(log=tmp_path / "log.db") as second:
        until(lambda: second.states("stored") == ["PAUSED", "PAUSED"], "it to be paused again")
        second.rest.request("PUT", "/connectors/stored/resume")
        until(lambda: second.states("stored") == ["RUNNING", "RUNNING"], "it to go on")


def test_a_connector_that_had_failed_is_resumed_while_it_starts_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.touch()
    with herding(log=tmp_path / "log.db") as first:
        first.create("stored", deed="raise-once-there", path=str(there))
        until(lambda: first.states("stored") == ["FAILED"], "it to fail")
        first.rest.request("PUT", "/connectors/stored/pause")
        assert first.states("stored") == ["FAILED"]
    there.unlink()
    told: list[Any] = []
    heard: list[Any] = []
    begin = Worker.start_connector

    def deaf(worker: Worker, spec: Any, on_event: Any) -> None:
        heard.append(on_event)
        begin(worker, spec, told.append)

    monkeypatch.setattr(Worker, "start_connector", deaf)
    with herding(log=tmp_path / "log.db") as second:
        until(lambda: told, "it to be paused, which the herder has not heard of")
        second.rest.request("PUT", "/connectors/stored/resume")
        until(lambda: "RUNNING" in [getattr(event, "state", "") for event in told], "it to be resumed all the same")
        for event in told:
            heard[0](event)
        until(lambda: second.states("stored")[:1] == ["RUNNING"], "the herder to hear of it")


def test_tasks_of_a_connector_that_has_failed_are_paused_and_resumed_all_the_same(
    herd: Herding, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    herd.create("lame", deed="raise-once-there", path=str(there))
    until(lambda: herd.states("lame") == ["RUNNING", "RUNNING"], "it to run")
    there.touch()
    assert herd.rest.post("/connectors/lame/restart").status_code == 500
    herd.rest.request("PUT", "/connectors/lame/pause")
    until(lambda: herd.states("lame") == ["FAILED", "PAUSED"], "its task to pause")
    herd.rest.request("PUT", "/connectors/lame/resume")
    until(lambda: herd.states("lame") == ["FAILED", "RUNNING"], "its task to go on")


def test_the_status_of_a_task_whose_start_takes_long_says_so_and_where_it_is(gate: str) -> None:
    with herding() as alone:
        alone.create("slow", deed="gate", where="task-start", path=gate)
        until(lambda: alone.states("slow") == ["RUNNING", "UNASSIGNED"], "its task to be seen")
        said = "The worker is currently starting task slow-0, which began at "
        status = alone.rest.get("/connectors/slow/status").json()
        assert status["tasks"][0]["trace"].startswith(said)
        assert "trace" not in status["connector"]
        come(gate)
        alone.pass_time(LASTING_S)
        told = until(lambda: _trace_of_task(alone, "hosted.py"), "the place to be told")
        assert told.startswith(said)
        assert "in start" in told
        assert "starting task" not in (alone.herder.stages.summary("other") or "")
        hosted.GATES[gate].set()
        until(lambda: alone.states("slow") == ["RUNNING", "RUNNING"], "it to run")
        assert "trace" not in alone.rest.get("/connectors/slow/tasks/0/status").json()
        assert alone.herder.stages.concerning("slow", 0) is None


def _trace_of_task(alone: Herding, place: str) -> str:
    told = str(alone.rest.get("/connectors/slow/tasks/0/status").json().get("trace", ""))
    return told if place in told else ""


def test_a_task_that_is_stopped_while_it_starts_is_no_longer_told_to_start(herd: Herding, gate: str) -> None:
    herd.create("halted", deed="gate", where="task-start", path=gate)
    until(lambda: herd.states("halted") == ["RUNNING", "UNASSIGNED"], "its task to be seen")
    herd.rest.request("PUT", "/connectors/halted/stop")
    until(lambda: herd.states("halted") == ["STOPPED"], "it to be stopped")
    assert herd.herder.stages.concerning("halted", 0) is None


@pytest.mark.parametrize("topic", ["connect-configs", "connect-status"])
def test_a_source_cannot_write_where_the_worker_keeps_its_connectors(herd: Herding, topic: str) -> None:
    name = f"astray-to-{topic}"
    herd.create(name, topic=topic)
    until(lambda: herd.states(name) == ["RUNNING", "FAILED"], "its task to be refused")
    trace = herd.rest.get(f"/connectors/{name}/status").json()["tasks"][0]["trace"]
    assert f"the task wrote to '{topic}', where this worker keeps its connectors" in trace
