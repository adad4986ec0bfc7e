"""A file into a topic and that into a file, by one worker: how fast, and what it costs.

Two kinds. `copied`: one task each way, from the request for the connector on, as an operator meets it. `grown`: several
tasks, all of them there and paused before the work is, so that no start and no rebalance is in the figures.
"""

import filecmp
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker import WARM_RECORDS, Bench, moment, written
from workers import Measured, made

#: of a file that grows, its last piece may wait in a buffer until the next flush, one a task
BUFFER = 64 * 1024
INTO, OUT = "file to topic", "topic to file"


@dataclass(frozen=True)
class Case:
    converter: str
    line_bytes: int
    records: int


@dataclass(frozen=True)
class Rate:
    """records_per_s: of all tasks.   cpu_us, broker_cpu_us: processor time of a record, all processes and threads.
    rss, pss: bytes of all the worker's processes at the end of the way."""

    worker: str
    way: str
    converter: str
    line_bytes: int
    records: int
    tasks: int
    records_per_s: float
    cpu_us: float
    broker_cpu_us: float
    rss: int
    pss: int
    load_before: float
    load_after: float


@dataclass(frozen=True)
class Start:
    """What an operator waits for, in seconds: from the command to an answer of the REST API; from the request for a
    first connector to its state RUNNING, and to its first record in the topic."""

    worker: str
    rest_s: float
    running_s: float
    first_record_s: float
    idle_rss: int
    idle_pss: int
    load: float


@dataclass(frozen=True)
class Work:
    """What is begun, and how many records it has done."""

    records: int
    begin: Callable[[], object]
    done: Callable[[], int]


@dataclass
class Copying:
    """One started worker, copying."""

    bench: Bench
    worker: Measured
    name: str
    converter: str

    def copied(self, case: Case) -> list[Rate]:
        """Twice; the second time, when JIT, caches and connections are warm, counts."""
        self._once(case.line_bytes, min(case.records, WARM_RECORDS))
        return [self._rate(way, case, 1, found) for way, found in self._once(case.line_bytes, case.records).items()]

    def grown(self, case: Case, counts: list[int]) -> list[Rate]:
        """Each of these counts of tasks, after a copy that does not count."""
        self._once(case.line_bytes, min(case.records, WARM_RECORDS))
        return [
            self._rate(way, case, tasks, found) for tasks in counts for way, found in self._spread(case, tasks).items()
        ]

    def _rate(self, way: str, case: Case, tasks: int, found: dict[str, Any]) -> Rate:
        return Rate(self.name, way, self.converter, case.line_bytes, case.records, tasks, **found)

    def _once(self, line_bytes: int, records: int) -> dict[str, dict[str, Any]]:
        bench, create = self.bench, self.worker.rest.create
        original, target, topic = (
            bench.write("lines.txt", records, line_bytes),
            bench.folder / "copy.txt",
            bench.topic(),
        )
        size = original.stat().st_size
        into = {"connector.class": "FileStreamSource", "file": str(original), "topic": topic}
        out = {"connector.class": "FileStreamSink", "file": str(target), "topics": topic}
        source, sink = f"{topic}-in", f"{topic}-out"
        found = {INTO: self._timed(Work(records, lambda: create(source, **into), lambda: bench.end(topic)))}
        self._delete(source)
        lines = lambda: int(records * written(target) / max(size - BUFFER, 1))  # noqa: E731 - one word for it
        found[OUT] = self._timed(Work(records, lambda: create(sink, **out), lines))
        self._delete(sink)
        moment(lambda: written(target) >= size, "the last piece of the copy")
        if not filecmp.cmp(original, target, shallow=False):
            sys.exit("the copy is not identical")
        for path in (original, target):
            path.unlink()
        bench.delete(topic)
        return found

    def _spread(self, case: Case, tasks: int) -> dict[str, dict[str, Any]]:
        """As many file sources as tasks, and one sink with as many, all there before there is anything to read. Of the
        copy the size is compared: the tasks' lines lie among each other."""
        bench, records = self.bench, case.records // tasks * tasks
        topic, target = bench.topic(tasks), bench.folder / "copy.txt"
        sink, sources = f"{topic}-out", [f"{topic}-in-{number}" for number in range(tasks)]
        out = {"connector.class": "FileStreamSink", "file": str(target), "topics": topic, "tasks.max": str(tasks)}
        self.worker.rest.create(sink, **out)
        moment(lambda: bench.shared_out(f"connect-{sink}", tasks), "each task of the sink to have a partition")
        paths = [bench.folder / f"{source}.txt" for source in sources]
        for source, path in zip(sources, paths, strict=True):
            into = {"connector.class": "FileStreamSource", "file": str(path), "topic": topic}
            self.worker.rest.create(source, **into)
        for name in (sink, *sources):
            self._await(name, "RUNNING")
            self.worker.rest.call("PUT", f"/connectors/{name}/pause")
        for name in (sink, *sources):
            self._await(name, "PAUSED")
        for path in paths:
            bench.write(path.name, records // tasks, case.line_bytes)
        size = sum(path.stat().st_size for path in paths)
        found = {INTO: self._timed(Work(records, lambda: self._resume(*sources), lambda: bench.end(topic, tasks)))}
        self._delete(*sources)
        lines = lambda: int(records * written(target) / max(size - tasks * BUFFER, 1))  # noqa: E731 - one word for it
        found[OUT] = self._timed(Work(records, lambda: self._resume(sink), lines))
        self._delete(sink)
        moment(lambda: written(target) >= size, "the last piece of the copy")
        if written(target) != size:
            sys.exit("the copy is longer than what was copied")
        for path in (*paths, target):
            path.unlink()
        bench.delete(topic)
        return found

    def _timed(self, work: Work) -> dict[str, Any]:
        """The time counts from the first records to the last, so that no start is in it; CPU time is of the whole."""
        bench, records = self.bench, work.records
        bench.settle()
        load, before, broker = os.getloadavg()[0], self.worker.usage(), bench.kafka.instance.usage()
        work.begin()
        began = moment(work.done, "the first records")
        ahead = work.done()
        ended = moment(lambda: work.done() >= records, "the last record")
        after, loaded = self.worker.usage(), bench.kafka.instance.usage()
        return {
            "records_per_s": (records - ahead) / (ended - began),
            "cpu_us": (after.cpu_s - before.cpu_s) / records * 1e6,
            "broker_cpu_us": (loaded.cpu_s - broker.cpu_s) / records * 1e6,
            "rss": after.rss,
            "pss": after.pss,
            "load_before": load,
            "load_after": os.getloadavg()[0],
        }

    def _await(self, connector: str, state: str) -> None:
        states = self.worker.rest.states
        moment(lambda: len(states(connector)) > 1 and set(states(connector)) == {state}, f"{connector} to be {state}")

    def _resume(self, *connectors: str) -> None:
        for name in connectors:
            self.worker.rest.call("PUT", f"/connectors/{name}/resume")

    def _delete(self, *connectors: str) -> None:
        for name in connectors:
            self.worker.rest.call("DELETE", f"/connectors/{name}")


@contextmanager
def copying(bench: Bench, name: str, converter: str) -> Iterator[Copying]:
    """A worker with a folder of its own, started for this."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        worker = made(name, bench.kafka.address(), converter, Path(folder))
        worker.start()
        try:
            yield Copying(bench, worker, name, converter)
        finally:
            worker.stop()


def started(bench: Bench, name: str) -> Start:
    """Start one, and ask it for a first connector."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        worker = made(name, bench.kafka.address(), "json", Path(folder))
        topic, file, load = bench.topic(), Path(folder) / "one.txt", os.getloadavg()[0]
        file.write_text("one line\n")
        began = time.monotonic()
        worker.start()
        try:
            rest_s, idle, seen = time.monotonic() - began, worker.usage(), dict[str, float]()
            asked = time.monotonic()
            worker.rest.create("first", **{"connector.class": "FileStreamSource", "file": str(file), "topic": topic})

            def both() -> bool:
                """Each is looked for until it is there, neither behind the other."""
                if "running" not in seen and worker.rest.states("first") == ["RUNNING", "RUNNING"]:
                    seen["running"] = time.monotonic() - asked
                if "record" not in seen and bench.end(topic):
                    seen["record"] = time.monotonic() - asked
                return len(seen) == 2

            moment(both, "the first connector to run, and its record")
        finally:
            worker.stop()
        bench.delete(topic)
        return Start(name, rest_s, seen["running"], seen["record"], idle.rss, idle.pss, load)
