"""Real templates: how they begin, whose children they are, and what becomes of theirs when they die."""

import ctypes
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from millstream.host.channel import RunConnector
from millstream.worker import interpreter, standstill, templates
from millstream.worker.interpreter import begin_early, begin_interpreter
from millstream.worker.templates import Preload
from millstream.worker.worker import Worker

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))

from watching import (  # noqa: E402
    PATIENCE_S,
    Ears,
    Timed,
    is_running,
    kill,
    parent_of,
    pid_of,
    probe,
    setup,
    started,
    state_of,
    target,
    template_of,
    wait_until,
)

PR_GET_CHILD_SUBREAPER = 37


def test_where_a_template_is_comes_through_its_own_output(shared, caplog):
    caplog.set_level(logging.INFO)
    started(shared, "asked").until("RUNNING")
    kill(template_of(shared, "hosted"), signal.SIGUSR1)
    wait_until(lambda: "[template hosted] Current thread 0x" in caplog.text)
    shared.stop_connector("asked").result(PATIENCE_S)


def test_a_plugin_whose_module_ends_the_process_on_import_is_failed_and_others_go_on(shared, tmp_path):
    ears = Ears()
    shared.start_connector(RunConnector("leaving", target("leaving:Connector", "leaving")), ears)
    trace = ears.until("FAILED").trace
    assert "its module ended the process on import: SystemExit('I am leaving')" in trace


@pytest.mark.parametrize(("number", "how"), [(signal.SIGKILL, "signal 9"), (signal.SIGTERM, "exit code 0")])
def test_a_template_that_dies_takes_its_children_which_have_failed_from_outside(tmp_path, number, how):
    worker = Worker(setup(tmp_path))
    worker.start()
    try:
        ears = started(worker, "orphan")
        ears.until("RUNNING")
        child = pid_of(worker, "orphan")
        template = next(v.pid for v in worker.describe() if v.kind == "template" and v.name == "hosted")
        kill(template, number)
        failed = ears.until("FAILED")
        assert f"its template process {template} died ({how})" in failed.trace
        assert failed.from_outside
        wait_until(lambda: not is_running(child))
        assert started(worker, "next").until("RUNNING")
    finally:
        worker.close()


def test_on_a_machine_too_busy_for_templates_children_come_to_life_all_the_same(tmp_path, monkeypatch, caplog):
    """What they imported is told before the loop has come to kill them: nobody is given to what is being killed."""
    monkeypatch.setattr("millstream.worker.templates.READY_SECONDS", 0.0)
    worker = Worker(setup(tmp_path))
    worker.start()
    try:
        ears = started(worker, "late")
        ears.until("RUNNING")
    finally:
        worker.close()
    assert "importing it took more than 0 s; its children start without one" in caplog.text


def test_a_worker_that_holds_more_than_a_thousand_descriptors_is_told_of_its_templates_end(tmp_path):
    worker = Worker(setup(tmp_path))
    worker.start()
    held = [os.dup(0) for _ in range(1_100)]
    try:
        ears = started(worker, "orphan")
        ears.until("RUNNING")
        template, child = template_of(worker, "hosted"), pid_of(worker, "orphan")
        kill(template)
        assert f"its template process {template} died (signal 9)" in ears.until("FAILED").trace
        wait_until(lambda: not is_running(child))
        assert started(worker, "next").until("RUNNING")
        kill(template_of(worker, ""))
        wait_until(lambda: template_of(worker, "") == 0)
        kill(template_of(worker, "hosted"))
        wait_until(lambda: template_of(worker, "hosted") == 0)
        assert started(worker, "last").until("RUNNING")  # by a bare template whose control socket has a high number
    finally:
        worker.close()
        for descriptor in held:
            os.close(descriptor)


def test_a_template_that_was_begun_early_may_open_as_many_files_as_the_worker():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        begun = begin_interpreter(())
        try:
            assert resource.prlimit(begun.process.pid, resource.RLIMIT_NOFILE)[0] == hard
        finally:
            begun.end()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_template_imports_nothing_from_the_working_folder(tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    (tmp_path / "colorsys.py").write_text(f"open({str(trace)!r}, 'w').close()")
    monkeypatch.chdir(tmp_path)
    begun = begin_interpreter(("colorsys",))
    try:
        begun.line.control.send(json.dumps(Preload(()).packet((), spares=False)).encode())
        begun.line.control.settimeout(PATIENCE_S)
        assert json.loads(begun.line.control.recv(1 << 17))["ready"] == {}
        assert not trace.exists(), "it imported the file that lies beside it"
    finally:
        begun.end()


def test_templates_are_the_workers_children_and_it_adopts_nobody_else(shared):
    started(shared, "adopted").until("RUNNING")
    templates = {view.name: view.pid for view in shared.describe() if view.kind == "template"}
    assert {parent_of(pid) for pid in templates.values()} == {os.getpid()}
    assert "hosted" in templates
    held = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(held), 0, 0, 0)
    assert held.value == 0
    shared.stop_connector("adopted").result(PATIENCE_S)


def test_children_and_templates_go_with_the_thread_that_watches_them(tmp_path):
    program = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(PLUGINS)!r})
        from watching import Ears, connector
        from millstream.worker.interpreter import begin_early
        from millstream.worker.worker import Worker, WorkerSetup
        worker = Worker(WorkerSetup({{}}), begin_early({{}}))
        worker.start(lambda _: None)
        ears = Ears()
        worker.start_connector(connector("left"), ears)
        ears.until("RUNNING")
        print(*[view.pid for view in worker.describe()], flush=True)
        sys.stdin.readline()
        worker._loop.post(sys.exit)
        time.sleep(600)
    """)
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], **piped) as worker:
        pids = [int(pid) for pid in worker.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_running, pids))
        worker.stdin.write("\n")
        worker.stdin.flush()
        wait_until(lambda: not any(map(is_running, pids)))
        assert worker.poll() is None
        worker.kill()


def test_the_bare_template_dies_and_those_that_were_forked_from_it_go_on(tmp_path):
    worker = Worker(setup(tmp_path))
    worker.start()
    try:
        started(worker, "first").until("RUNNING")
        kill(template_of(worker, ""))
        wait_until(lambda: not template_of(worker, ""))
        assert started(worker, "second").until("RUNNING")
        ears = Ears()
        worker.start_connector(RunConnector("other", target("Staying", "of another distribution")), ears)
        assert ears.until("RUNNING")
        assert {view.state for view in worker.describe() if view.kind == "connector"} == {"RUNNING"}
    finally:
        worker.close()


def test_a_template_that_cannot_be_forked_is_an_interpreter_of_its_own(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    worker = Worker(setup(tmp_path))
    worker.start()
    try:
        started(worker, "first").until("RUNNING")
        bare = template_of(worker, "")
        kill(bare, signal.SIGSTOP)
        ears = Ears()
        worker.start_connector(RunConnector("other", target("Staying", "another")), ears)
        worker.stop_tasks([]).result(PATIENCE_S)  # it has been asked to fork
        kill(bare)
        assert ears.until("RUNNING")
        assert "template another could not be forked; it becomes an interpreter of its own" in caplog.text
    finally:
        worker.close()


@pytest.fixture
def attentive(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(standstill, "LOOK_SECONDS", 0.3)
    worker = Worker(setup(tmp_path, graceful_ms=300))
    worker.start()
    started(worker, "first").until("RUNNING")
    yield worker
    worker.close()


def test_a_template_that_is_stopped_is_said_with_what_waits_for_it_and_when_it_goes_on(attentive, caplog):
    template = template_of(attentive, "hosted")
    kill(template, signal.SIGSTOP)
    said = f"[template hosted] does nothing: its process {template} was stopped by a signal (SIGSTOP)"
    wait_until(lambda: said in caplog.text)
    assert "for it wait" not in caplog.text
    waits = started(attentive, "second")
    remedy = f"`kill -CONT {template}` lets it go on; for it wait: the start of second|worker"
    wait_until(lambda: remedy in caplog.text)
    kill(pid_of(attentive, "first"), signal.SIGSTOP)  # it does not hear that it is to end
    stopped = attentive.stop_connector("first", 0.1)
    wait_until(lambda: f"{remedy}, the end of first|worker" in caplog.text)
    assert (waits.states(), stopped.done()) == ([], False)
    kill(template, signal.SIGCONT)
    waits.until("RUNNING")
    stopped.result(PATIENCE_S)
    wait_until(lambda: "[template hosted] its process goes on" in caplog.text)
    assert caplog.text.count(said) == 3


def test_a_connector_that_gets_no_process_in_time_has_failed_from_outside_and_says_so(tmp_path):
    worker = Timed(setup(tmp_path))
    worker.start()
    try:
        started(worker, "first").until("RUNNING")
        template = template_of(worker, "hosted")
        kill(template, signal.SIGSTOP)
        waits = started(worker, "second")
        worker.pass_time(120.0)
        failed = waits.until("FAILED")
        assert "second did not return from start within connector.start.timeout.ms=120000" in failed.trace
        assert "it had no process by then, as its template had made none" in failed.trace
        assert failed.from_outside
        kill(template, signal.SIGCONT)
        third = started(worker, "third")
        third.until("RUNNING")
        wait_until(lambda: pid_of(worker, "second") == 0)
    finally:
        worker.close()


def test_a_probe_that_waited_for_a_template_which_is_killed_is_asked_of_another(attentive):
    for _ in range(2):
        template = template_of(attentive, "hosted")
        kill(template, signal.SIGSTOP)
        answer = attentive.probe(probe("report", topic="haunted"))
        wait_until(lambda: any(view.kind == "probe" for view in attentive.describe()))
        kill(template)
        assert answer.result(PATIENCE_S)["error_count"] >= 1
    wait_until(lambda: not any(view.kind == "probe" for view in attentive.describe()))


def test_starts_that_wait_for_a_template_which_the_stopped_bare_one_is_to_fork_are_said(attentive, caplog):
    bare = template_of(attentive, "")
    kill(bare, signal.SIGSTOP)
    ears = Ears()
    attentive.start_connector(RunConnector("other", target("Staying", "another")), ears)
    remedy = f"`kill -CONT {bare}` lets it go on; for it wait: the start of other|worker"
    wait_until(lambda: remedy in caplog.text)
    assert "[template bare] does nothing" in caplog.text
    kill(bare, signal.SIGCONT)
    ears.until("RUNNING")


def test_a_template_that_is_stopped_while_it_imports_is_not_said_to_import_for_too_long(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(templates, "READY_SECONDS", 0.2)
    monkeypatch.setattr(standstill, "LOOK_SECONDS", 0.3)
    begin = templates.begin_interpreter

    def stopped(modules):
        begun = begin(modules)
        kill(begun.process.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(begun.process.pid) == "T")
        return begun

    monkeypatch.setattr(templates, "begin_interpreter", stopped)
    worker = Worker(setup(tmp_path))
    worker.start()
    try:
        ears = started(worker, "waits")
        said = "[template bare] does nothing: its process "
        wait_until(lambda: said in caplog.text and "the start of waits|worker" in caplog.text)
        assert "is not ready after" not in caplog.text
        kill(template_of(worker, ""), signal.SIGCONT)
        ears.until("RUNNING")
    finally:
        worker.close()


def test_a_template_that_was_begun_early_is_the_bare_one_and_ends_where_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "REAP_SECONDS", PATIENCE_S)  # by itself
    begun = begin_early({"bootstrap.servers": f"sqlite:{tmp_path}/log.db"})
    if begun is None:
        assert len(os.sched_getaffinity(0)) < 2
        return
    worker = Worker(setup(tmp_path), begun)
    worker.start()
    try:
        started(worker, "first").until("RUNNING")
        assert template_of(worker, "") == begun.process.pid
    finally:
        worker.close()
    assert begun.process.wait(PATIENCE_S) == 0
    unused = begin_early({})
    assert unused is not None
    Worker(setup(tmp_path, start="spawn"), unused)
    assert unused.process.wait(PATIENCE_S) == -signal.SIGKILL


@pytest.mark.parametrize(
    "settings",
    [
        {"task.isolation": "thread"},
        {"task.start": "spawn"},
        {"task.isolation": "${env:HOW}"},
        {"bootstrap.servers": "${file:where:servers}"},
        {"bootstrap.servers": "sqlite::memory:"},
    ],
)
def test_no_template_is_begun_early_where_it_might_not_be_needed(settings):
    assert begin_early(settings) is None
