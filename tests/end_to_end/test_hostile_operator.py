"""Connectors created, paused, restarted, deleted and killed while their data flows; signals; the log that tells it."""

import contextlib
import fcntl
import http.client
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from crashing import has_open
from running import GRACEFUL, PATIENCE_S, SPARE, WorkerProcess, name_of, processes, until

LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
STEPS = int(os.environ.get("MILLSTREAM_HOSTILE_STEPS", "60"))
PAIRS = 3
#: for six connectors, and for what a worker lets go half a minute after it was needed last
LONG_S = 120
#: what a worker may hold more than when it was counted first. Who waits for one of the two locks of its log is watched
#: by a thread, which is there for half a minute after. As threads, tasks have such locks of their own, which need all
#: of LONG_S; a source has a thread that commits once there are rows.
ROOM = {"process": {"threads": 2}, "thread": {"threads": 8, "descriptors": 8}}


class Feed:
    """Files that grow while the worker is maltreated."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.files = [folder / f"in{number}" for number in range(PAIRS)]
        self.written = [0] * PAIRS
        self._dice = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        for file in self.files:
            file.touch()
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            number, count = self._dice.randrange(PAIRS), self._dice.choice((1, 10, 500))
            first = self.written[number]
            with self.files[number].open("a") as file:
                file.writelines(f"{number} {line:08d} {'y' * 60}\n" for line in range(first, first + count))
            self.written[number] += count

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def settings(worker: WorkerProcess, name: str) -> dict[str, str]:
    number = name[-1]
    if name.startswith("source"):
        file = str(worker.folder / f"in{number}")
        return {"connector.class": "FileStreamSource", "file": file, "topic": f"t{number}"}
    file = str(worker.folder / f"out{number}")
    return {"connector.class": "FileStreamSink", "file": file, "topics": f"t{number}", "tasks.max": "2"}


NAMES = [f"{kind}{number}" for number in range(PAIRS) for kind in ("source", "sink")]


def maltreat(worker: WorkerProcess, name: str, deed: str, dice: random.Random) -> None:
    """One deed; every answer is one that the REST API promises."""
    call, config = worker.call, settings(worker, name)
    if deed == "delete":
        assert call("DELETE", f"/connectors/{name}").status == 204
        assert call("POST", "/connectors", {"name": name, "config": config}).status == 201
    elif deed in ("pause", "resume", "stop"):
        assert call("PUT", f"/connectors/{name}/{deed}").status in (202, 204)
    elif deed == "restart":
        assert call("POST", f"/connectors/{name}/restart?includeTasks=true").status in (202, 204)
    elif deed == "restart task":
        assert call("POST", f"/connectors/{name}/tasks/0/restart").status in (204, 404)  # a stopped one has none
    elif deed == "reconfigure":
        assert call("PUT", f"/connectors/{name}/config", {**config, "x": str(dice.random())}).status == 200
    elif deed == "kill" and (victims := children(worker)):
        kill(dice.choice(victims), signal.SIGKILL)


DEEDS = ("delete", "pause", "resume", "stop", "restart", "restart task", "reconfigure", "kill", "kill")


def children(worker: WorkerProcess) -> list[int]:
    assert worker.process is not None
    running = processes(worker)
    templates = {pid for pid, (parent, _) in running.items() if parent == worker.process.pid}
    return [pid for pid, (parent, _) in running.items() if parent in templates]


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it went by itself meanwhile


def held(worker: WorkerProcess) -> dict[str, int]:
    """Descriptors, threads and processes of a worker; which template keeps a child ahead just now is chance."""
    assert worker.process is not None
    place = Path(f"/proc/{worker.process.pid}")
    return {
        "descriptors": len(list((place / "fd").iterdir())),
        "threads": len(list((place / "task").iterdir())),
        "processes": len([pid for pid in processes(worker) if name_of(pid) != SPARE]),
    }


def all_running(worker: WorkerProcess) -> bool:
    """Bring back what was paused, stopped or killed; true when nothing is left to do."""
    left = [name for name in NAMES if set(worker.states(name)) != {"RUNNING"} or len(worker.states(name)) < 2]
    for name in left:
        worker.call("PUT", f"/connectors/{name}/resume")
        worker.call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
    return not left


@LINUX
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("isolation", "seed"), [("process", 1), ("thread", 2)])
def test_nothing_is_lost_or_stuck_or_left_behind_after_much_maltreatment(
    worker: WorkerProcess, isolation: str, seed: int
) -> None:
    worker.properties |= {"task.isolation": isolation, "num.partitions": "3"}
    worker.start()
    dice = random.Random(seed)
    deeds = [deed for deed in DEEDS if isolation == "process" or deed != "kill"]
    feed = Feed(worker.folder, seed)
    try:
        for name in NAMES:
            worker.create(name, **settings(worker, name))
        until(lambda: all_running(worker), "all to run", LONG_S)
        before: dict[str, int] = {}
        for step in range(STEPS):
            if step == STEPS // 3:  # what is opened when it is first needed is open by now
                until(lambda: all_running(worker), "all to run", LONG_S)
                before = held(worker)
            maltreat(worker, dice.choice(NAMES), dice.choice(deeds), dice)
            time.sleep(dice.uniform(0, 0.1))
    finally:
        feed.end()
    until(lambda: all_running(worker), "all to run again", LONG_S)
    for number, file in enumerate(feed.files):
        wanted = file.read_text().splitlines()
        copy = worker.folder / f"out{number}"
        until(
            lambda copy=copy, wanted=wanted: set(copy.read_text().splitlines()) == set(wanted),  # type: ignore[misc]
            f"every line of {copy.name}",
            LONG_S,
        )
        assert len(worker.consume(f"t{number}")) == len(wanted), "the log has each line once"
    until(lambda: fits(held(worker), before, ROOM[isolation]), f"no more than {before} is held", LONG_S)
    assert worker.stop() == 0
    until(lambda: not processes(worker), "its processes to be gone")
    assert "Traceback" not in worker.log


def fits(now: dict[str, int], before: dict[str, int], room: dict[str, int]) -> bool:
    return all(now[what] <= before[what] + room.get(what, 0) for what in before)


#: a request that waits for a process that is stopped is answered after 90 s, or never
HINDERED_S = 45
LINES = 300_000
TEXT = "".join(f"{number:08d} {'z' * 90}\n" for number in range(LINES))


def load(worker: WorkerProcess, share: float) -> Path:
    """A source and a sink at work, and `share` of the lines in the sink's file."""
    copy = worker.folder / "out.txt"
    (worker.folder / "in.txt").write_text(TEXT)
    source = {"connector.class": "FileStreamSource", "file": str(worker.folder / "in.txt"), "topic": "t"}
    worker.create("source", **source)
    worker.create("sink", **{"connector.class": "FileStreamSink", "file": str(copy), "topics": "t"})
    until(lambda: copy.exists() and copy.stat().st_size > share * len(TEXT), "some lines", LONG_S)
    return copy


def whole(copy: Path) -> Callable[[], bool]:
    return lambda: copy.stat().st_size >= len(TEXT)


def all_committed(worker: WorkerProcess) -> bool:
    offsets = worker.offsets("sink")
    return bool(offsets) and offsets[0]["offset"]["kafka_offset"] == LINES


@pytest.mark.timeout(500)
@pytest.mark.parametrize(("number", "share"), [(signal.SIGTERM, 0.1), (signal.SIGHUP, 0.3), (signal.SIGINT, 0.5)])
def test_a_stop_in_the_middle_of_data_leaves_not_one_line_twice(
    worker: WorkerProcess, number: signal.Signals, share: float
) -> None:
    copy = load(worker.start(), share)
    assert worker.process is not None
    worker.process.send_signal(number)
    if number is signal.SIGINT:  # the second one of an impatient operator changes nothing
        worker.process.send_signal(number)
    assert worker.process.wait(LONG_S) == 0
    assert copy.stat().st_size < len(TEXT), "the stop came too late to show anything"
    until(lambda: not processes(worker), "its processes to be gone")
    assert "Traceback" not in worker.log
    worker.start()
    until(whole(copy), "the rest", LONG_S)
    until(lambda: all_committed(worker), "the last commit")
    assert copy.read_text() == TEXT


@LINUX
@pytest.mark.timeout(500)
def test_a_stopped_task_hinders_nobody_and_can_be_restarted(worker: WorkerProcess) -> None:
    worker.properties[GRACEFUL] = "5000"
    copy = load(worker.start(), 0.05)
    [pid] = [pid for pid in processes(worker) if has_open(pid, worker.folder / "in.txt")]
    kill(pid, signal.SIGSTOP)
    for path in ("/connectors/source/status", "/connectors/source/offsets", "/connectors/sink/offsets", "/metrics"):
        started = time.monotonic()
        assert worker.call("GET", path).status == 200
        assert time.monotonic() - started < HINDERED_S
    assert worker.call("POST", "/connectors/source/restart?includeTasks=true").status == 202
    until(lambda: pid not in processes(worker), "the end of the stopped task")
    until(whole(copy), "the rest", LONG_S)
    assert copy.read_text() == TEXT


@pytest.mark.timeout(500)
def test_a_lock_that_another_process_holds_is_told_and_does_not_keep_a_worker_from_ending(
    worker: WorkerProcess,
) -> None:
    worker.properties[GRACEFUL] = "5000"
    copy = load(worker.start(), 0.05)
    with (worker.folder / "log.db.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert worker.call("GET", "/connectors/sink/offsets").status == 200
        holder = f"another process holds {worker.folder / 'log.db.lock'}: pid {os.getpid()}; see what it does"
        until(lambda: holder in worker.log, "who holds the lock")
        assert worker.process is not None
        worker.process.terminate()
        assert worker.process.wait(LONG_S) == 0
        assert "this one goes without closing the log, which loses nothing" in worker.log
        until(lambda: not processes(worker), "its processes to be gone")
    worker.start()
    until(whole(copy), "the rest", LONG_S)
    until(lambda: all_committed(worker), "the last commit")
    assert set(copy.read_text().splitlines()) == set(TEXT.splitlines())


def test_a_sink_commits_its_offsets_about_every_second(worker: WorkerProcess) -> None:
    worker.start()
    source = {"connector.class": "FileStreamSource", "file": str(worker.folder / "in.txt"), "topic": "t"}
    worker.create("source", **source)
    worker.create("sink", **{"connector.class": "FileStreamSink", "file": str(worker.folder / "out"), "topics": "t"})
    #: each commit came after the one moment, at which it was asked for and not there, and before the other
    commits: list[tuple[float, float]] = []
    last, not_yet = None, time.monotonic()

    def five(file: IO[str]) -> bool:
        nonlocal last, not_yet
        file.write("a line\n")
        asked = time.monotonic()
        committed = [each["offset"]["kafka_offset"] for each in worker.offsets("sink")]
        if committed and committed != last:
            commits.append((not_yet, time.monotonic()))
            last = committed
        not_yet = asked
        return len(commits) == 5

    with (worker.folder / "in.txt").open("a", 1) as file:
        until(lambda: five(file), "five commits", LONG_S, 0.02)
    (after, before), (after_fifth, before_fifth) = commits[0], commits[-1]
    assert before_fifth - after > 2.5, "four seconds between five commits, and not every put"
    assert after_fifth - before < 30, "four seconds between five commits, more on a busy machine"


def test_a_worker_that_starts_and_idles_says_little_and_nothing_twice(worker: WorkerProcess) -> None:
    (worker.folder / "in.txt").write_text("a\nb\n")
    worker.start()
    source = {"connector.class": "FileStreamSource", "file": str(worker.folder / "in.txt"), "topic": "t"}
    worker.create("source", **source)
    worker.create("sink", **{"connector.class": "FileStreamSink", "file": str(worker.folder / "out"), "topics": "t"})
    until(lambda: worker.offsets("sink"), "the commit")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert worker.states("source") == worker.states("sink") == ["RUNNING", "RUNNING"]
        time.sleep(0.2)
    assert worker.stop() == 0
    lines = [line.partition("] ")[2] for line in worker.log.splitlines()]
    assert len(lines) < 20
    assert len(set(lines)) == len(lines), "nothing is said twice"
    assert not [line for line in lines if line.startswith(("WARNING", "ERROR"))]


DYING = """
import os, sys
from millstream.{module} import {owner}
from millstream.cli.main import main

lives = {owner}.{method}

def dies(self, *args):
    if os.path.exists("die"):
        raise RuntimeError("this machine is broken")
    return lives(self, *args)

{owner}.{method} = dies
sys.argv = sys.argv[1:]
main()
"""


@LINUX
@pytest.mark.parametrize(
    ("module", "owner", "method", "what"),
    [
        ("worker.loop", "Loop", "_sleep", "the thread that all its children hang on"),
        ("herder.procedures", "Agenda", "_do_due", "its herder"),
    ],
)
def test_a_worker_that_lost_a_thread_it_cannot_do_without_ends_and_says_why(
    worker: WorkerProcess, module: str, owner: str, method: str, what: str
) -> None:
    (worker.folder / "dying.py").write_text(DYING.format(module=module, owner=owner, method=method))
    worker.prefix = [sys.executable, "dying.py"]
    worker.properties[GRACEFUL] = "5000"
    worker.start()
    (worker.folder / "in0").touch()
    worker.create("source0", **settings(worker, "source0"))
    until(lambda: worker.states("source0") == ["RUNNING", "RUNNING"], "it to run")
    (worker.folder / "die").touch()
    with contextlib.suppress(OSError, http.client.HTTPException):
        worker.call("GET", "/connector-plugins/FileStreamSource/config")
    assert worker.process is not None
    assert worker.process.wait(PATIENCE_S) == 1
    said = f"CRITICAL the worker ends: {what} died of RuntimeError: this machine is broken (millstream.cli.run)"
    assert worker.log.count(said) == 1
    unable = "connectors and tasks cannot be asked to stop: the thread that they hang on has died"
    assert worker.log.count(unable) == (1 if owner == "Loop" else 0)
    until(lambda: not processes(worker), "its children to be gone")
