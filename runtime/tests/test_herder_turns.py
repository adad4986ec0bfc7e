"""What comes between: wishes while others wait for their turn, or after one that got only half way."""

import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import WorkerError
from millstream.herder.fleet import Fleet
from millstream.rest.extensions import Extensions
from millstream.storage.configs import ConfigStore
from millstream.worker.worker import Worker
from millstream_api import Config, RestExtension

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

import hosted
from herding import Herding, until
from watching import PATIENCE_S


def test_a_connector_that_wishes_for_other_tasks_while_it_is_asked_is_asked_once_more(
    herd: Herding, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = hosted.GATES["wishes"] = hosted.Gate()
    wishes, asked = [], []
    wish, ask = Fleet._ask_for_tasks, Worker.task_configs
    monkeypatch.setattr(Fleet, "_ask_for_tasks", lambda *args: (wishes.append(args[1]), wish(*args))[1])
    monkeypatch.setattr(Worker, "task_configs", lambda *args: (asked.append(args[1]), ask(*args))[1])
    creating = threading.Thread(
        target=lambda: herd.create("eager", "hosted:Watching", deed="gate", where="task_configs", path="wishes")
    )
    creating.start()
    until(lambda: len(wishes) > 8, "it to wish for other tasks again and again")
    assert asked == ["eager"]
    gate.set()
    creating.join()
    until(lambda: herd.states("eager") == ["RUNNING", "RUNNING"], "its task to run")
    until(lambda: len(asked) > 2, "it to be asked again when it wishes for it later")
    assert herd.rest.delete("/connectors/eager").status_code == 204


def test_a_restart_that_waited_for_its_turn_restarts_the_tasks_that_there_still_are(
    herd: Herding, monkeypatch: pytest.MonkeyPatch
) -> None:
    herd.create("shrinks", tasks="2", tasks_max="2")
    until(lambda: herd.states("shrinks") == ["RUNNING"] * 3, "its tasks to run")
    asked, ended = threading.Event(), Future[None]()
    stop_tasks = Worker.stop_tasks

    def waits(self: Worker, *args: Any) -> "Future[None]":
        stopped = stop_tasks(self, *args)
        monkeypatch.setattr(Worker, "stop_tasks", stop_tasks)
        asked.set()
        stopped.result(PATIENCE_S)
        return ended

    monkeypatch.setattr(Worker, "stop_tasks", waits)
    patch = {"tasks": "1", "tasks.max": "1"}
    changing = threading.Thread(target=lambda: herd.rest.request("PATCH", "/connectors/shrinks/config", patch))
    changing.start()
    assert asked.wait(PATIENCE_S), "the old tasks are not stopped"
    restarted = herd.rest.post("/connectors/shrinks/restart?includeTasks=true")
    assert restarted.status_code == 202
    ended.set_result(None)
    changing.join()
    assert herd.rest.post("/connectors/shrinks/tasks/0/restart").status_code == 204  # behind it
    until(lambda: herd.states("shrinks") == ["RUNNING", "RUNNING"], "one task to run, and no other to be told of")


def test_a_stop_whose_end_could_not_be_written_is_done_by_the_next_one(
    herd: Herding, monkeypatch: pytest.MonkeyPatch
) -> None:
    herd.create("halfway")
    until(lambda: herd.states("halfway") == ["RUNNING", "RUNNING"], "it to run")

    def full(*_: object) -> None:
        raise WorkerError("Error writing target state to Kafka: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(ConfigStore, "put_target_state", full)
        assert herd.rest.request("PUT", "/connectors/halfway/stop").status_code == 500
    assert herd.rest.request("PUT", "/connectors/halfway/stop").status_code == 204
    until(lambda: herd.states("halfway") == ["STOPPED"], "it to be stopped, and no task to be told of")
    assert herd.rest.request("PUT", "/connectors/halfway/resume").status_code == 202
    until(lambda: herd.states("halfway") == ["RUNNING", "RUNNING"], "it to run again")


def test_nothing_is_left_of_a_connector_that_failed_was_stopped_and_deleted(herd: Herding) -> None:
    herd.create("broken", deed="raise")
    until(lambda: herd.states("broken") == ["FAILED"], "it to fail")
    herd.rest.request("PUT", "/connectors/broken/stop")
    until(lambda: herd.states("broken") == ["STOPPED"], "it to be stopped")
    assert herd.rest.delete("/connectors/broken").status_code == 204
    assert [view for view in herd.herder.children() if view.name == "broken"] == []


def test_a_creation_is_answered_as_one_though_the_connector_is_deleted_before_it_has_tasks(herd: Herding) -> None:
    gate = hosted.GATES["brief"] = hosted.Gate()
    answers: list[Any] = []
    creating = threading.Thread(target=lambda: answers.append(herd.create("brief", deed="gate", path="brief")))
    creating.start()
    until(lambda: "brief" in herd.rest.get("/connectors").json(), "it to be created")
    assert herd.rest.delete("/connectors/brief").status_code == 204
    creating.join()
    gate.set()
    assert (answers[0].status_code, answers[0].json()["name"], answers[0].json()["tasks"]) == (201, "brief", [])


def test_an_extension_that_cannot_be_closed_does_not_keep_the_others_from_it(caplog: pytest.LogCaptureFixture) -> None:
    closed = []

    class Broken(RestExtension[Config]):
        def close(self) -> None:
            closed.append("broken")
            raise OSError("no")

    class Sound(RestExtension[Config]):
        def close(self) -> None:
            closed.append("sound")

    Extensions([Broken(Config()), Sound(Config())]).close()
    assert closed == ["broken", "sound"]
    assert "the REST extension Broken could not be closed" in caplog.text
