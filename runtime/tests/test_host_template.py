"""A template on a bad day: no descriptors, no processes, children that are stuck, daemons; it says so and goes on."""

import os
import resource
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.host.channel import RunConnector
from millstream.worker.worker import Worker, WorkerSetup

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))

from watching import (  # noqa: E402
    PATIENCE_S,
    Ears,
    children_of,
    connector,
    is_running,
    kill,
    parent_of,
    state_of,
    target,
    wait_until,
)


@pytest.fixture
def worker(tmp_path) -> Iterator[Worker]:
    running = Worker(WorkerSetup({"bootstrap.servers": f"sqlite:{tmp_path}/log.db"}, connector_start_ms=120_000))
    yield running
    running.close()


@pytest.fixture
def mood(tmp_path, monkeypatch):
    """Templates of `moody` are spoiled so, as long as the file is there that this gives."""

    def spoil(name: str) -> Path:
        monkeypatch.setenv("MOOD", name)
        monkeypatch.setenv("MOOD_WHILE", str(tmp_path / "mood"))
        (tmp_path / "mood").touch()
        return tmp_path / "mood"

    return spoil


def moody(worker: Worker, name: str) -> Ears:
    ears = Ears()
    worker.start_connector(RunConnector(name, target("moody:Staying", "moody")), ears)
    return ears


def bare(worker: Worker, name: str) -> Ears:
    """A connector of no distribution, which is forked from the bare template."""
    ears = Ears()
    worker.start_connector(RunConnector(name, target("Staying", "")), ears)
    return ears


def pid_of(worker: Worker, name: str, kind: str = "connector") -> int:
    return next((view.pid for view in worker.describe() if (view.kind, view.name) == (kind, name)), 0)


def limit(pid: int, more: int) -> tuple[int, int]:
    """Leave the process so many descriptors, once it has closed those of the request before; give its former limits."""
    wait_until(lambda: state_of(pid) == "S")  # it waits for the next
    former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
    free = [number for number in range(max(taken) + 1 + more) if number not in taken]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[more] if more < len(free) else len(taken) + more, former[1]))
    return former


def test_a_child_that_has_no_session_yet_is_killed_all_the_same(worker, mood):
    mood("stuck")
    worker.start()
    ears = moody(worker, "stuck")
    wait_until(lambda: pid_of(worker, "stuck") > 0)
    pid, template = pid_of(worker, "stuck"), pid_of(worker, "moody", "template")
    assert os.getsid(pid) == os.getsid(template) != pid
    worker.stop_connector("stuck", 0.1).result(PATIENCE_S)
    assert not is_running(pid)
    assert ears.states() == ["UNASSIGNED"]
    assert is_running(template)


def test_children_that_have_no_session_yet_go_with_their_template(worker, mood):
    mood("stuck")
    worker.start()
    moody(worker, "stuck")
    wait_until(lambda: pid_of(worker, "stuck") > 0)
    template = pid_of(worker, "moody", "template")
    wait_until(lambda: len(children_of(template)) == 2)  # the child, and the one ahead of the next
    stuck = children_of(template)
    worker.close()
    wait_until(lambda: not any(map(is_running, stuck)))


def test_a_fork_that_the_machine_refuses_fails_that_start_with_the_remedy_and_the_template_goes_on(worker, mood):
    refuses = mood("forkless")
    worker.start()
    trace = moody(worker, "refused").until("FAILED").trace
    assert "connector refused: no process can be made for it: Resource temporarily unavailable" in trace
    assert "the processes and threads of this user (`ulimit -u`)" in trace
    template = pid_of(worker, "moody", "template")
    refuses.unlink()
    moody(worker, "next").until("RUNNING")
    assert pid_of(worker, "moody", "template") == template


@pytest.mark.parametrize("left", [0, 1])
def test_a_request_that_a_template_has_no_descriptors_for_is_refused_with_the_remedy_and_it_goes_on(worker, left):
    """The bare one, which keeps no spare: a line to one takes a descriptor when it likes."""
    worker.start()
    bare(worker, "first").until("RUNNING")
    template = pid_of(worker, "", "template")
    former = limit(template, left)
    held = len(os.listdir(f"/proc/{template}/fd"))
    trace = bare(worker, "refused").until("FAILED").trace
    assert "connector refused: no process can be made for it: Too many open files; its template may have" in trace
    assert "those count that a plugin opens when it is imported: raise it" in trace
    wait_until(lambda: len(os.listdir(f"/proc/{template}/fd")) == held)
    resource.prlimit(template, resource.RLIMIT_NOFILE, former)
    bare(worker, "next").until("RUNNING")
    assert pid_of(worker, "", "template") == template


@pytest.mark.parametrize(
    ("left", "said"), [(1, "1 of its 2 descriptors could be received"), (2, "Too many open files")]
)
def test_a_bare_template_without_descriptors_says_so_and_the_other_is_an_interpreter(worker, left, said, caplog):
    caplog.set_level("INFO")
    worker.start()
    bare(worker, "bare").until("RUNNING")
    template = pid_of(worker, "", "template")
    former = limit(template, left)
    ears = Ears()
    worker.start_connector(connector("other"), ears)
    ears.until("RUNNING")
    resource.prlimit(template, resource.RLIMIT_NOFILE, former)
    wait_until(lambda: f"[template bare] no template can be forked here: [Errno 24] {said}" in caplog.text)
    assert "template hosted could not be forked; it becomes an interpreter of its own" in caplog.text
    assert pid_of(worker, "", "template") == template


@pytest.mark.parametrize(
    ("times", "has_one", "said"),
    [
        (1, True, "the template for moody was killed before it was ready; it is made once more"),
        (2, False, "no template for moody: importing it was ended from outside twice; its children start without one"),
    ],
)
def test_a_template_that_is_killed_while_it_imports_is_made_once_more(worker, mood, caplog, times, has_one, said):
    mood("killed").write_text(str(times))
    worker.start()
    moody(worker, "waits").until("RUNNING")
    assert said in caplog.text
    assert bool(pid_of(worker, "moody", "template")) is has_one


def test_what_fails_in_a_spare_is_in_the_log_even_if_it_is_a_broken_pipe(worker, mood, caplog):
    mood("broken")
    caplog.set_level("INFO")
    worker.start()
    moody(worker, "first").until("RUNNING")
    wait_until(lambda: "BrokenPipeError: [Errno 32] the pipe of a rehearsal" in caplog.text)
    assert "[template moody]" in caplog.text
    moody(worker, "next").until("RUNNING")


DAEMON = textwrap.dedent("""
    import os, sys, time
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    with open(sys.argv[1] + ".new", "w") as out:
        out.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    deadline = time.monotonic() + 60
    while os.path.exists(sys.argv[1]) and time.monotonic() < deadline:
        time.sleep(0.01)
""")


def test_a_daemon_that_a_plugin_starts_while_a_template_is_awaited_is_not_the_workers_to_reap(worker, tmp_path):
    worker.start()
    script, path = tmp_path / "daemon.py", tmp_path / "pid"
    script.write_text(DAEMON)
    ears, waits = Ears(), Ears()
    worker.start_connector(connector("first"), ears)
    ears.until("RUNNING")
    template = pid_of(worker, "", "template")
    kill(template, signal.SIGSTOP)
    try:
        worker.start_connector(RunConnector("waits", target("Staying", "another")), waits)
        ears = Ears()
        worker.start_connector(connector("daemonic", deed="run", path=f"{script} {path}"), ears)
        ears.until("RUNNING")
        wait_until(path.exists)
        daemon = int(path.read_text())
        wait_until(lambda: parent_of(daemon) == pid_of(worker, "hosted", "template"))
        path.unlink()
        wait_until(lambda: not Path(f"/proc/{daemon}").exists())
    finally:
        kill(template, signal.SIGCONT)
    waits.until("RUNNING")
    assert parent_of(pid_of(worker, "another", "template")) == os.getpid()
    assert parent_of(pid_of(worker, "hosted", "template")) == os.getpid()


def test_a_bare_template_adopts_again_once_it_has_forked_another(worker, tmp_path):
    worker.start()
    script, path = tmp_path / "daemon.py", tmp_path / "pid"
    script.write_text(DAEMON)
    ears = Ears()
    worker.start_connector(connector("first"), ears)
    ears.until("RUNNING")
    ears = Ears()
    settings = {"deed": "run", "path": f"{script} {path}"}
    worker.start_connector(RunConnector("daemonic", target("Staying", ""), settings), ears)
    ears.until("RUNNING")
    wait_until(path.exists)
    daemon = int(path.read_text())
    wait_until(lambda: parent_of(daemon) == pid_of(worker, "", "template"))
    path.unlink()
    wait_until(lambda: not Path(f"/proc/{daemon}").exists())
