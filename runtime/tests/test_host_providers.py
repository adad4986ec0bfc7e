"""Config providers are closed: with what they were made for, and once the worker's own settings are resolved."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.cli import interrupts
from millstream.errors import ConfigError
from millstream.host import installed
from millstream.host.channel import RunConnector, RunProbe, RunTask, Surroundings
from millstream.host.installed import Places, worker_settings
from millstream.identity import TaskId
from millstream.inventory.inventory import Inventory, Plugin
from millstream.settings.plugins import Kind
from millstream.worker.worker import Worker, WorkerSetup

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

import noting
from watching import PATIENCE_S, STRINGS, Ears, target, wait_until

WORKER = {"config.providers": "one", "config.providers.one.class": "Noting"}
VARIABLE = "${one:here:topic}"


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Plugin(Kind.CONFIG_PROVIDER, "noting:NotingProvider", ("Noting",), "noting", "1")
    known = Inventory((own, *installed.inventory().plugins))
    monkeypatch.setattr(installed, "inventory", lambda _=(): known)
    noting.OPENED.clear()
    noting.CLOSED.clear()


def test_a_provider_is_closed_once_and_what_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    places = Places(Surroundings({**WORKER, "config.providers.one.param.deed": "break"}))
    assert places.resolved({"topic": VARIABLE}) == {"topic": "the topic of it"}
    assert noting.CLOSED == []
    places.close()
    places.close()
    assert noting.CLOSED == noting.OPENED
    assert len(noting.CLOSED) == 1
    assert "the config provider 'one' raised an error when it was closed" in caplog.text


def test_providers_that_were_made_before_one_that_cannot_be_are_closed() -> None:
    second = {"config.providers.two.class": "Noting", "config.providers.two.param.deed": "refuse"}
    places = Places(Surroundings({**WORKER, **second, "config.providers": "one,two"}))
    with pytest.raises(ConfigError, match="it is not to be made"):
        places.resolved({"topic": VARIABLE})
    assert len(noting.OPENED) == 1
    assert noting.CLOSED == noting.OPENED


def test_the_provider_of_the_workers_own_settings_is_closed_when_they_are_resolved() -> None:
    assert worker_settings({**WORKER, "topic": VARIABLE, "none": None})["topic"] == "the topic of it"
    assert len(noting.OPENED) == 1
    assert noting.CLOSED == noting.OPENED


def test_a_signal_that_comes_while_the_provider_of_the_workers_own_settings_is_closed_ends_the_command() -> None:
    with interrupts.heard(), pytest.raises(interrupts.Interrupted):
        worker_settings({**WORKER, "config.providers.one.param.deed": "linger", "topic": VARIABLE})
    assert noting.CLOSED == noting.OPENED


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    settings = {**WORKER, "bootstrap.servers": f"sqlite:{tmp_path}/log.db"}
    settings |= {"key.converter": STRINGS, "value.converter": STRINGS}
    running = Worker(WorkerSetup(settings, isolation="thread", graceful_ms=2_000))
    running.start()
    yield running
    running.close()


def settings(**more: str) -> dict[str, str | None]:
    return {"topic": VARIABLE, "name": "it", "connector.class": "hosted:Staying", **more}


@pytest.mark.parametrize("deed", ["", "raise"])
def test_a_tasks_provider_is_closed_when_the_task_is_over(worker: Worker, deed: str) -> None:
    ears, own = Ears(), settings(deed=deed, where="poll")
    worker.start_task(RunTask("it", 0, target("Staying"), own, own), ears)
    ears.until("FAILED" if deed else "RUNNING")
    if not deed:
        assert (len(noting.OPENED), noting.CLOSED) == (1, [])
        worker.stop_tasks([TaskId("it", 0)]).result(PATIENCE_S)
    wait_until(lambda: noting.CLOSED == noting.OPENED)
    assert len(noting.OPENED) == 1


@pytest.mark.parametrize("deed", ["", "raise"])
def test_a_connectors_provider_is_closed_when_the_connector_is_over(worker: Worker, deed: str) -> None:
    ears = Ears()
    worker.start_connector(RunConnector("it", target("Staying"), settings(deed=deed)), ears)
    ears.until("FAILED" if deed else "RUNNING")
    if not deed:
        assert (len(noting.OPENED), noting.CLOSED) == (1, [])
        worker.stop_connector("it").result(PATIENCE_S)
    wait_until(lambda: noting.CLOSED == noting.OPENED)
    assert len(noting.OPENED) == 1


def test_a_probes_provider_is_closed_with_its_answer(worker: Worker) -> None:
    request = RunProbe("report", target("Staying"), settings(), {"kind": "source"}, "it")
    assert worker.probe(request).result(PATIENCE_S)["configs"]
    assert len(noting.OPENED) == 1
    assert noting.CLOSED == noting.OPENED
