"""Plugins that do what no plugin should, many side by side in one worker, beside a pipeline that must not notice."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import pytest
from running import PROPERTIES, WorkerProcess, processes, until

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux"),
]

START_S = 4
STOP_S = 1
SOURCE, SINK = "millstream_hostile.connectors:HostileSource", "millstream_hostile.connectors:HostileSink"
#: connectors of one worker wait for one another's turn, never for one another's code: far below the sum of what hangs
DELETE_S = 15.0
ANSWER_S = 2.0
MEMORY_MB = 60
PATIENCE_S = 45.0
UNSPEAKABLE = "Unspeakable: <the text of this error cannot be had: its __str__ raised ValueError>"


@dataclass(frozen=True)
class Case:
    """One hostile connector and what must become of it.

    state:  of the connector if the deed is done there, else of its task;  told: what its trace says.
    """

    deed: str
    place: str
    state: str
    told: str = ""
    offset: str = "clean"

    @property
    def name(self) -> str:
        return f"{self.deed}.{self.place}".replace("_", "-") if self.offset == "clean" else f"offset-{self.offset}"

    @property
    def at_connector(self) -> bool:
        return self.place.startswith("connector.")

    @property
    def config(self) -> dict[str, str]:
        own = {"deed": self.deed, "place": self.place, "offset": self.offset, "after": "2"}
        if self.place in ("task.put", "task.pre_commit"):
            return {"connector.class": SINK, "topics": "lines", **own}
        return {"connector.class": SOURCE, "topic": self.name, **own}


ENDS = {
    "exit_at_once": "the process ended itself with exit code 3",
    "segfault": "the process was ended by signal 11 (SIGSEGV)",
    "abort": "the process was ended by signal 6 (SIGABRT)",
    "system_exit": "SystemExit: 5",
    "keyboard_interrupt": "KeyboardInterrupt",
    "raise_unpicklable": "Unpicklable: this cannot be pickled",
    "raise_unspeakable": UNSPEAKABLE,
}
PLACES = ("connector.start", "connector.task_configs", "task.start", "task.poll", "task.put")
HANGS = ("sleep", "spin", "hold_the_gil")
#: task configs that cannot be had now are asked for again, as Java's herder does
ASKED_AGAIN = [Case(deed, "connector.task_configs", "RUNNING") for deed in ("raise_unpicklable", "raise_unspeakable")]
CRASHES = [
    Case(deed, place, "FAILED", told)
    for deed, told in ENDS.items()
    for place in PLACES
    if place != "connector.task_configs" or not deed.startswith("raise_")
]
TOO_MUCH = [
    Case("greed", "task.poll", "FAILED", "MemoryError"),
    Case("greed", "connector.start", "FAILED", "MemoryError"),
]
BAD_OFFSETS = [
    Case("sleep", "none", "FAILED", told, offset) for offset, told in {"set": "set", "object": "object"}.items()
]
STARTS_THAT_HANG = [
    Case(deed, place, "FAILED", told)
    for deed in HANGS
    for place, told in {
        "connector.start": f"did not return from start within connector.start.timeout.ms={START_S}000",
        "connector.task_configs": f"did not answer task_configs within {START_S} s",
    }.items()
]
#: the monitor's thread keeps its process from saying that it has started
MONITOR = Case("hold_the_gil", "connector.monitor", "FAILED", "did not return from start within")
ENDED = [MONITOR, *CRASHES, *TOO_MUCH, *BAD_OFFSETS, *STARTS_THAT_HANG]
HARMLESS = [
    Case("flood", "task.poll", "RUNNING"),
    *(
        Case(deed, place, "RUNNING")
        for deed in ("stray_thread", "close_stdout", "change_folder", "other_signals")
        for place in ("connector.start", "task.poll")
    ),
]
GO_ON = [
    *HARMLESS,
    *ASKED_AGAIN,
    *(Case("sleep", "none", "RUNNING", offset=kind) for kind in ("nan", "bytes")),  # Java stores them as texts
    *(Case(deed, "connector.monitor", "RUNNING") for deed in ("sleep", "spin")),
    *(Case(deed, "connector.stop", "RUNNING") for deed in HANGS),
    *(Case(deed, place, "RUNNING") for deed in HANGS for place in ("task.poll", "task.put", "task.stop")),
    *(Case(deed, "task.stop", "RUNNING") for deed in ENDS),
]
NEVER_STARTED = [Case(deed, "task.start", "RUNNING") for deed in HANGS]
CASES = [*ENDED, *GO_ON, *NEVER_STARTED]


def memory_mb(pid: int, what: str) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) / 1024


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


@dataclass
class Arena:
    """A worker with a good pipeline, watched all along: lines are written, GET / is asked."""

    worker: WorkerProcess
    answers: list[float] = field(default_factory=list)
    lines: int = 0
    over: Event = field(default_factory=Event)
    watchers: list[Thread] = field(default_factory=list)
    first_memory: float = 0.0
    first_threads: int = 0

    @property
    def original(self) -> Path:
        return self.worker.folder / "in.txt"

    @property
    def copy(self) -> Path:
        return self.worker.folder / "out.txt"

    @property
    def pid(self) -> int:
        assert self.worker.process is not None
        return self.worker.process.pid

    def begin(self) -> None:
        self.original.touch()
        self.worker.start()
        self.worker.create("load", **{"connector.class": "FileStreamSource", "file": "in.txt", "topic": "lines"})
        self.worker.create("dump", **{"connector.class": "FileStreamSink", "file": "out.txt", "topics": "lines"})
        self.watchers = [Thread(target=self._write), Thread(target=self._ask)]
        for watcher in self.watchers:
            watcher.start()
        self.arrives()
        self.first_memory, self.first_threads = memory_mb(self.pid, "VmRSS"), threads(self.pid)

    def end(self) -> None:
        self.over.set()
        for watcher in self.watchers:
            watcher.join()

    def arrives(self) -> None:
        """A line that is written now comes out at the other end."""
        written = self.lines + 2
        until(lambda: self.copied() >= written, f"line {written} at the other end of the good pipeline", PATIENCE_S)

    def copied(self) -> int:
        return self.copy.read_bytes().count(b"\n") if self.copy.exists() else 0

    def _write(self) -> None:
        while not self.over.wait(0.05):
            with self.original.open("a") as file:
                file.write(f"line {self.lines}\n")
            self.lines += 1

    def _ask(self) -> None:
        while not self.over.wait(0.02):
            asked = time.monotonic()
            assert self.worker.call("GET", "/").status == 200
            self.answers.append(time.monotonic() - asked)

    def state(self, case: Case) -> str:
        states = self.worker.states(case.name)
        return states[0] if case.at_connector and states else states[1] if len(states) > 1 else ""

    def trace(self, case: Case) -> str:
        status = self.worker.call("GET", f"/connectors/{case.name}/status").json
        return str((status["connector"] if case.at_connector else status["tasks"][0]).get("trace", ""))


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    properties = {
        **PROPERTIES,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "connector.start.timeout.ms": str(START_S * 1000),
        "task.shutdown.graceful.timeout.ms": str(STOP_S * 1000),
        "task.memory.max.bytes": "500000000",
    }
    made = Arena(WorkerProcess(tmp_path_factory.mktemp("arena"), properties))
    try:
        made.begin()
        yield made
    finally:
        made.end()
        if made.worker.process is not None and made.worker.process.poll() is None:
            made.worker.kill()


@pytest.fixture(scope="module")
def hostile(arena: Arena) -> Iterator[Arena]:
    """The arena with every hostile connector in it, and a probe that hangs in every way."""
    with ThreadPoolExecutor(len(HANGS)) as asking:
        asked = [asking.submit(arena.worker.call, "PUT", *probe(deed)) for deed in HANGS]
        with ThreadPoolExecutor(16) as creating:  # an answer comes once the connector is started, or has failed to
            for made in [creating.submit(arena.worker.create, case.name, **case.config) for case in CASES]:
                made.result()
        assert not any(future.done() for future in asked), "a probe that hangs has answered"
        yield arena
        for future in asked:
            future.exception()  # the client gives up before the worker does


def probe(deed: str) -> tuple[str, dict[str, str]]:
    config = {"name": "asked", "connector.class": SOURCE, "deed": deed, "place": "connector.probe"}
    return f"/connector-plugins/{SOURCE}/config/validate", config


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_it_is_failed_and_its_trace_says_what_happened(hostile: Arena, case: Case) -> None:
    until(lambda: hostile.state(case) == case.state, f"{case.name} to be {case.state}", PATIENCE_S)
    assert case.told in hostile.trace(case)


@pytest.mark.parametrize("case", GO_ON, ids=lambda case: case.name)
def test_it_goes_on_as_if_nothing_were(hostile: Arena, case: Case) -> None:
    until(lambda: hostile.state(case) == case.state, f"{case.name} to be {case.state}", PATIENCE_S)


@pytest.mark.parametrize("case", NEVER_STARTED, ids=lambda case: case.name)
def test_a_task_whose_start_does_not_return_is_not_said_to_run(hostile: Arena, case: Case) -> None:
    tasks = f"/connectors/{case.name}/tasks"
    until(lambda: len(hostile.worker.call("GET", tasks).json) == 1, f"{case.name} to have its task", PATIENCE_S)
    assert hostile.worker.states(case.name) in (["RUNNING"], ["RUNNING", "UNASSIGNED"])


def test_a_module_that_ends_its_process_on_import_is_refused_or_failed(hostile: Arena) -> None:
    config = {"connector.class": "millstream_hostile.exits_at_import:ExitsAtImport", "topic": "none"}
    answer = hostile.worker.call("POST", "/connectors", {"name": "exits-at-import", "config": config})
    assert answer.status >= 400
    assert "its module ended the process on import: SystemExit(7)" in answer.text


def test_all_the_while_lines_arrive_and_the_worker_answers(hostile: Arena) -> None:
    hostile.arrives()
    assert len(hostile.answers) > 100
    slow = sorted(hostile.answers)[-3:]
    assert max(hostile.answers) < ANSWER_S, f"GET / took {slow} s"
    assert median(hostile.answers) < 0.1


def test_a_flood_of_prints_is_not_kept_in_memory(hostile: Arena) -> None:
    until(lambda: "of its output were cut" in hostile.worker.log, "the flood to be cut with a count", PATIENCE_S)
    assert memory_mb(hostile.pid, "VmHWM") - hostile.first_memory < MEMORY_MB


@pytest.fixture(scope="module")
def aftermath(hostile: Arena) -> list[tuple[str, int, float]]:
    """Every hostile connector deleted: name, answer, seconds it took."""

    def delete(case: Case) -> tuple[str, int, float]:
        asked = time.monotonic()
        answer = hostile.worker.call("DELETE", f"/connectors/{case.name}")
        return case.name, answer.status, time.monotonic() - asked

    with ThreadPoolExecutor(8) as deleting:
        done: list[Future[Any]] = [deleting.submit(delete, case) for case in CASES]
    return [future.result() for future in done]


def test_each_can_be_deleted_in_bounded_time(aftermath: list[tuple[str, int, float]]) -> None:
    assert [each for each in aftermath if each[1] != 204] == []
    assert [each for each in aftermath if each[2] > DELETE_S] == []


def test_of_none_a_process_or_a_thread_is_left(hostile: Arena, aftermath: object) -> None:
    assert hostile.worker.call("GET", "/connectors").json in (["dump", "load"], ["load", "dump"])
    until(lambda: len(tasks_running(hostile)) <= 2 + len(HANGS), "only the good tasks and the probes to be left")
    until(lambda: threads(hostile.pid) <= hostile.first_threads + len(HANGS), "the worker's threads to be gone")
    hostile.arrives()


def tasks_running(arena: Arena) -> set[int]:
    running = processes(arena.worker)
    templates = {pid for pid, (parent, _) in running.items() if parent == arena.pid}
    return {pid for pid, (parent, _) in running.items() if parent in templates}


def test_the_worker_ends_in_order_and_takes_everything_with_it(hostile: Arena, aftermath: object) -> None:
    hostile.end()
    until(lambda: hostile.copy.read_bytes() == hostile.original.read_bytes(), "the copy to be identical")
    assert hostile.worker.stop() == 0
    until(lambda: not processes(hostile.worker), "every process of the worker to be gone")
