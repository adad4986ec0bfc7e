"""A worker with a good pipeline, watched all along, beside which hostile connectors do their deeds."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from running import PROPERTIES, WorkerProcess, until

SOURCE, SINK = "millstream_hostile.connectors:HostileSource", "millstream_hostile.connectors:HostileSink"
CHANGES_BATCH = "millstream_hostile.connectors:ChangesItsBatch"
SINK_PLACES = ("task.put", "task.pre_commit")
PATIENCE_S = 120.0
STRINGS = "org.apache.kafka.connect.storage.StringConverter"


@dataclass(frozen=True)
class Case:
    """One hostile connector and what must become of it.

    state:  of the connector if the deed is done there, else of its task;  told: what its trace says.
    sink:   whether it is a sink, where the place leaves it open;  more: settings beside the deed.
    """

    deed: str
    place: str
    state: str
    told: str = ""
    offset: str = "clean"
    sink: bool = False
    more: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        if self.offset != "clean":
            return f"offset-{self.offset}"
        side = "sink." if self.sink else ""
        return f"{self.deed}.{side}{self.place}".replace("_", "-")

    @property
    def at_connector(self) -> bool:
        return self.place.startswith("connector.")

    @property
    def config(self) -> dict[str, str]:
        own = {"deed": self.deed, "place": self.place, "offset": self.offset, "after": "2", **dict(self.more)}
        if self.sink or self.place in SINK_PLACES:
            return {"connector.class": SINK, "topics": "lines", **own}
        return {"connector.class": SOURCE, "topic": self.name, **own}


def memory_mb(pid: int, what: str) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) / 1024


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


@dataclass
class Arena:
    """The worker and who watches it: lines are written, `GET /` is asked."""

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

    def create(self, cases: Sequence[Case]) -> None:
        """All at once: an answer comes once the connector is started, or has failed to."""
        with ThreadPoolExecutor(16) as creating:
            for made in [creating.submit(self.worker.create, case.name, **case.config) for case in cases]:
                made.result()

    def delete(self, cases: Sequence[Case]) -> list[tuple[str, int, float]]:
        """Delete them all; give name, status of the answer, seconds it took."""

        def delete(case: Case) -> tuple[str, int, float]:
            asked = time.monotonic()
            answer = self.worker.call("DELETE", f"/connectors/{case.name}")
            return case.name, answer.status, time.monotonic() - asked

        with ThreadPoolExecutor(8) as deleting:
            return list(deleting.map(delete, cases))

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

    def reaches(self, case: Case) -> None:
        """The case gets into its state, and its trace says what happened."""
        until(lambda: self.state(case) == case.state, f"{case.name} to be {case.state}", PATIENCE_S)
        if case.told:
            assert case.told in self.trace(case)

    def state(self, case: Case) -> str:
        states = self.worker.states(case.name)
        return states[0] if case.at_connector and states else states[1] if len(states) > 1 else ""

    def trace(self, case: Case) -> str:
        status = self.worker.call("GET", f"/connectors/{case.name}/status").json
        return str((status["connector"] if case.at_connector else status["tasks"][0]).get("trace", ""))


@contextmanager
def arena_in(folder: Path, **properties: str) -> Iterator[Arena]:
    """A running arena; whatever happens, its worker is gone in the end."""
    given = {**PROPERTIES, "key.converter": STRINGS, "value.converter": STRINGS, **properties}
    made = Arena(WorkerProcess(folder, given))
    try:
        made.begin()
        yield made
    finally:
        made.end()
        if made.worker.process is not None and made.worker.process.poll() is None:
            made.worker.kill()
