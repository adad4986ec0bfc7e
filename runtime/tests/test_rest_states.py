"""Status, the list of connectors and extensions tell the same of what is about to start."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from millstream.herder import configuring
from millstream.host import connector
from millstream.rest import internal
from millstream.rest.extensions import HerderCluster

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

import hosted
from herding import LASTING_S, Herding, herding, until


def test_a_worker_whose_herder_does_not_come_round_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    with herding() as alone:
        healthy = alone.rest.get("/health")
        assert (healthy.status_code, healthy.json()["status"]) == (200, "healthy")
        with monkeypatch.context() as stuck, alone.herder.stages.of("juggling"):
            stuck.setattr(internal, "HEALTH_TIMEOUT_S", 0.05)
            stuck.setattr(alone.herder, "submit", lambda _: Future())
            answer = alone.rest.get("/health")
        said = "Worker was unable to handle this request and may be unable to handle other requests."
        assert (answer.status_code, answer.json()["status"]) == (500, "unhealthy")
        assert answer.json()["message"].startswith(f"{said} The worker is currently juggling, which began at ")


def test_a_task_that_starts_is_told_alike_in_three_places(gate: str) -> None:
    with herding() as alone:
        alone.create("slow", deed="gate", where="task-start", path=gate)
        until(lambda: alone.states("slow") == ["RUNNING", "UNASSIGNED"], "its task to be seen")
        status = alone.rest.get("/connectors/slow/status").json()
        assert status["tasks"][0]["trace"].startswith("The worker is currently starting task slow-0, which began at ")
        assert _listed(alone, "slow") == status
        task = HerderCluster(alone.herder).health("slow").tasks[0]
        told = status["tasks"][0]
        assert (task.state, task.worker, task.trace) == (told["state"], told["worker_id"], told["trace"])
        hosted.GATES[gate].set()
        until(lambda: alone.states("slow") == ["RUNNING", "RUNNING"], "it to run")
        status = alone.rest.get("/connectors/slow/status").json()
        assert "trace" not in status["tasks"][0]
        assert _listed(alone, "slow") == status


def test_a_connector_that_starts_for_the_first_time_is_not_listed_with_a_status_and_extensions_see_it_unassigned(
    gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuring, "TASKS_S", 0.05)
    with herding() as alone:
        alone.create("slow", deed="gate", path=gate)
        assert alone.rest.get("/connectors/slow/status").status_code == 404
        assert alone.rest.get("/connectors?expand=status").json() == {}
        health = HerderCluster(alone.herder).health("slow")
        assert (health.connector.state, health.connector.worker) == ("UNASSIGNED", "worker:8083")
        assert health.connector.trace.startswith("The worker is currently starting the connector, which began at ")
        assert health.tasks == {}
        with pytest.raises(KeyError):
            HerderCluster(alone.herder).health("unknown")
        hosted.GATES[gate].set()
        until(lambda: alone.states("slow") == ["RUNNING", "RUNNING"], "it to run")
        assert HerderCluster(alone.herder).health("slow").connector.trace == ""


def test_a_connector_that_starts_again_is_told_alike(gate: str) -> None:
    hosted.GATES[gate].set()
    with herding() as alone:
        alone.create("again", deed="gate", path=gate)
        until(lambda: alone.states("again") == ["RUNNING", "RUNNING"], "it to run")
        hosted.GATES[gate].clear()
        restarting = threading.Thread(target=lambda: alone.rest.post("/connectors/again/restart"))
        restarting.start()
        until(lambda: "starting the connector" in alone.rest.get("/connectors/again/status").text, "it to start again")
        status = alone.rest.get("/connectors/again/status").json()
        assert _listed(alone, "again") == status
        assert HerderCluster(alone.herder).health("again").connector.trace == status["connector"]["trace"]
        hosted.GATES[gate].set()
        restarting.join()


@contextmanager
def deaf_monitor(gate: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Herding]:
    """A connector whose monitor has been at the gate for long."""
    with herding() as alone:
        monkeypatch.setattr(connector, "SystemClock", lambda: alone.clock)  # its child is a thread here
        alone.create("deaf", "hosted:Watching", deed="gate", where="monitor", path=gate)
        until(lambda: alone.states("deaf") == ["RUNNING", "RUNNING"], "it to run")
        until(lambda: hosted.GATES[gate].come, "its monitor to come to the gate")
        alone.pass_time(LASTING_S)
        yield alone


def test_a_monitor_that_does_not_come_back_is_told_with_its_place_until_it_does(
    gate: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with deaf_monitor(gate, monkeypatch) as alone:
        told = until(lambda: _trace(alone, "deaf"), "the place of the monitor to be told")
        assert told.startswith("The worker is currently waiting for the monitor of connector deaf, which began at ")
        assert 'hosted.py", line' in told
        assert "in monitor" in told
        assert "host/connector.py" not in told
        assert _listed(alone, "deaf") == alone.rest.get("/connectors/deaf/status").json()
        assert caplog.text.count("the monitor has not come back to its context for ") == 1
        hosted.GATES[gate].set()
        until(lambda: not _trace(alone, "deaf"), "it to be told no longer")
        assert alone.states("deaf")[0] == "RUNNING"
        assert "monitor" not in (alone.herder.stages.concerning("deaf") or "")


def test_a_monitor_that_does_not_come_back_is_told_no_longer_once_its_connector_is_paused(
    gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with deaf_monitor(gate, monkeypatch) as alone:
        until(lambda: _trace(alone, "deaf"), "the place of the monitor to be told")
        alone.rest.request("PUT", "/connectors/deaf/pause")
        until(lambda: alone.states("deaf")[0] == "PAUSED", "it to be paused")
        assert _trace(alone, "deaf") == ""


def _trace(alone: Herding, name: str) -> str:
    answer = alone.rest.get(f"/connectors/{name}/status").json()
    return str(answer.get("connector", {}).get("trace", ""))


def _listed(alone: Herding, name: str) -> object:
    return alone.rest.get("/connectors?expand=status").json()[name]["status"]
