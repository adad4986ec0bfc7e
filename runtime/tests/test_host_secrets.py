"""What a config provider gave is told to nobody, whatever a plugin raises or logs: the `${…}` stands in its place."""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from millstream.errors import RemoteError
from millstream.host.channel import LogLine, PluginTarget, RunConnector, RunProbe, RunTask, StateChanged
from millstream.host.output import thread_ended
from millstream.identity import TargetState, TaskId
from millstream.worker.worker import Worker, WorkerSetup

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))

import leaking  # noqa: E402
from watching import PATIENCE_S, Ears, wait_until  # noqa: E402

PASSWORD = "s'cr t/ü42"
SPELLINGS = {PASSWORD, quote(PASSWORD, safe=""), repr(PASSWORD)[1:-1], json.dumps(PASSWORD)[1:-1], "cr t", "cr%20t"}
LEAKING = PluginTarget("leaking:Leaking", kind="source", distribution="leaking", version="1")


@pytest.fixture(params=["process", "thread"], scope="module")
def worker(request, tmp_path_factory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("secrets")
    settings = {
        "bootstrap.servers": f"sqlite:{folder}/log.db",
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
    }
    for role in ("key", "value"):
        settings[f"{role}.converter"] = "org.apache.kafka.connect.storage.StringConverter"
    running = Worker(WorkerSetup(settings, isolation=request.param, connector_start_ms=120_000, graceful_ms=30_000))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def variable(tmp_path_factory) -> str:
    held = tmp_path_factory.mktemp("held") / "secrets.properties"
    held.write_text(f"password={PASSWORD}\n", encoding="utf-8")
    return f"${{file:{held}:password}}"


def given(variable: str, where: str) -> dict[str, str | None]:
    return {"password": variable, "where": where, "tasks.max": "1"}


def hush(told: str) -> None:
    assert not [each for each in SPELLINGS if each in told], told


def all_of(ears: Ears, caplog: pytest.LogCaptureFixture) -> str:
    failures = [e.failure for e in ears.events if isinstance(e, StateChanged) and e.failure is not None]
    lines = [e.text for e in ears.events if isinstance(e, LogLine)]
    return "\n".join([*(f"{f.message}\n{f.trace}" for f in failures), *lines, caplog.text])


@pytest.mark.parametrize("where", ["init", "start", "monitor"])
def test_what_a_connector_raises(worker, variable, caplog, where):
    ears = Ears()
    with caplog.at_level(logging.INFO):
        worker.start_connector(RunConnector(f"leak-{where}", LEAKING, given(variable, where)), ears)
        trace = ears.until("FAILED").trace
        wait_until(lambda: "did not log in" in caplog.text)
    assert f"cannot log in at db://ada:{variable}@host with " in trace
    assert f"the password was {variable}" in trace
    assert "Caused by: KeyError" in trace
    hush(all_of(ears, caplog))


@pytest.mark.parametrize("where", ["task_configs", "stop"])
def test_what_it_raises_when_it_is_asked_or_stopped(worker, variable, caplog, where):
    ears = Ears()
    name = f"leak-{where}"
    with caplog.at_level(logging.INFO):
        worker.start_connector(RunConnector(name, LEAKING, given(variable, where)), ears)
        ears.until("RUNNING")
        asked = worker.task_configs(name, 1)
        error = asked.exception(PATIENCE_S)
        if where == "task_configs":
            assert isinstance(error, RemoteError)
            hush(f"{error}\n{error.trace}")
        else:
            assert asked.result()[0]["password"] == variable
            worker.set_target(name, TargetState.STOPPED)
            ears.until("STOPPED")
        worker.stop_connector(name).result(PATIENCE_S)
        wait_until(lambda: "did not log in" in caplog.text)
    assert f"about to log in with {variable}" in caplog.text
    hush(all_of(ears, caplog))


@pytest.mark.parametrize("where", ["task-start", "poll", "task-stop"])
def test_what_a_task_raises(worker, variable, caplog, where):
    ears = Ears()
    settings = given(variable, where)
    with caplog.at_level(logging.INFO):
        worker.start_task(RunTask("leak", 0, LEAKING, settings, settings), ears)
        if where == "task-stop":
            ears.until("RUNNING")
        else:
            assert f"cannot log in at db://ada:{variable}@host" in ears.until("FAILED").trace
        worker.stop_tasks([TaskId("leak", 0)]).result(PATIENCE_S)
        wait_until(lambda: "did not log in" in caplog.text)
    hush(all_of(ears, caplog))


@pytest.fixture
def own_hook(worker, monkeypatch) -> None:
    """pytest has put its own in the place of what the worker set: in thread isolation they share the process."""
    monkeypatch.setattr(threading, "excepthook", thread_ended)


@pytest.mark.usefixtures("own_hook")
def test_what_a_thread_of_a_plugin_logs_and_ends_by(worker, variable, caplog, capfd):
    ears = Ears()
    settings = given(variable, "thread")
    with caplog.at_level(logging.INFO):
        worker.start_task(RunTask("leak", 1, LEAKING, settings, settings), ears)
        ears.until("RUNNING")
        wait_until(lambda: "the thread 'reader' of the plugin has ended by" in caplog.text)
        worker.stop_tasks([TaskId("leak", 1)]).result(PATIENCE_S)
    told = next(r.getMessage() for r in caplog.records if "has ended by" in r.getMessage())
    assert f"has ended by RuntimeError: cannot log in at db://ada:{variable}@host with " in told
    assert f"the password was {variable}; caused by KeyError: " in told
    assert re.search(r"\(at .*leaking\.py:\d+ in leak\)$", told)
    assert "\n" not in told
    assert f"about to log in with {variable}" in caplog.text
    hush(all_of(ears, caplog))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.usefixtures("own_hook")
@pytest.mark.parametrize("worker", ["thread"], indirect=True)
def test_what_a_thread_logs_that_a_plugin_has_left_behind(worker, variable, caplog):
    ears = Ears()
    settings = given(variable, "late")
    with caplog.at_level(logging.INFO):
        worker.start_task(RunTask("left", 0, LEAKING, settings, settings), ears)
        ears.until("RUNNING")
        worker.stop_tasks([TaskId("left", 0)]).result(PATIENCE_S)
        assert "late reader" not in caplog.text
        leaking.LATE.set()
        wait_until(lambda: "the thread 'late reader' of the plugin has ended by" in caplog.text)
    assert f"about to log in with {variable}" in caplog.text
    hush(all_of(ears, caplog))


@pytest.mark.parametrize(
    "worker", ["process"], indirect=True
)  # a thread prints past the worker, which isolation.md says
def test_what_a_plugin_prints_in_its_process(worker, variable, caplog):
    ears = Ears()
    settings = given(variable, "print")
    with caplog.at_level(logging.INFO):
        worker.start_task(RunTask("leak", 2, LEAKING, settings, settings), ears)
        ears.until("RUNNING")
        wait_until(lambda: "could not log out" in caplog.text)
        worker.stop_tasks([TaskId("leak", 2)]).result(PATIENCE_S)
    assert f"logged in with {variable}" in ears.lines()
    assert f"logged in again with {variable}" in ears.lines()
    assert f"could not log out with {variable}" in ears.lines()
    hush(all_of(ears, caplog))


@pytest.mark.parametrize("worker", ["process"], indirect=True)
def test_what_a_plugin_prints_in_pieces_in_its_process(worker, variable, caplog):
    ears = Ears()
    settings = given(variable, "pieces")
    with caplog.at_level(logging.INFO):
        worker.start_task(RunTask("leak", 3, LEAKING, settings, settings), ears)
        ears.until("RUNNING")
        wait_until(lambda: "was the last of it" in caplog.text)
        worker.stop_tasks([TaskId("leak", 3)]).result(PATIENCE_S)
    assert f"{variable} was the last of it" in ears.lines()
    assert f"piece by piece {variable} and on" in ears.lines()
    assert variable in ears.lines(), "letter by letter"
    said = "\n".join(ears.lines())
    assert said.count(PASSWORD[4:]) == said.count(PASSWORD[:4]) == 0
    hush(all_of(ears, caplog))


@pytest.mark.parametrize(
    ("what", "where"), [("report", "validate"), ("report", "probe"), ("alter_offsets", "alter_offsets")]
)
def test_what_a_connector_raises_when_it_is_asked_in_passing(worker, variable, caplog, what, where):
    settings = {**given(variable, where), "name": "leak", "connector.class": "leaking:Leaking"}
    with caplog.at_level(logging.INFO):
        answer = worker.probe(RunProbe(what, LEAKING, settings, {"kind": "source", "offsets": []}, "leak"))
        error = answer.exception(PATIENCE_S)
        wait_until(lambda: "did not log in" in caplog.text)
    assert isinstance(error, RemoteError)
    assert f"cannot log in at db://ada:{variable}@host" in str(error)
    hush(f"{error}\n{error.trace}\n{caplog.text}")


def test_what_a_sink_reads_is_told_to_the_worker_alone_which_asks_for_it(worker, variable, caplog):
    """No class of a plugin is needed for it: that of the connector may be missing."""
    said = {"topics": "a,${file:/nowhere/at/all:topics}"}
    group = {"consumer.override.group.id": f"of {variable}"}
    told = worker.probe(RunProbe("reading", PluginTarget(""), {**group, "topics": "a,b"}, connector="s"))
    assert told.result(PATIENCE_S) == {"consumer.override.group.id": f"of {PASSWORD}", "topics": "a,b"}
    hush(caplog.text)
    with pytest.raises(RemoteError, match=r"cannot resolve \$\{file:/nowhere/at/all:…\}"):
        worker.probe(RunProbe("reading", PluginTarget(""), {**group, **said}, connector="s")).result(PATIENCE_S)
    hush(caplog.text)
