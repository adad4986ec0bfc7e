"""Where a record's microseconds go on Kafka: by stage on the task's thread, and by thread.

    python benchmarks/kafka_profile.py [--records 1000000] [--bytes 100] [--converters json string]

One file source and one file sink a converter, each task alone in a process of its own, made of what the worker makes it
of, with the worker's default settings and the largest queue that it gives a task; offsets are committed every second,
so that they are seen. A stage is measured with the thread's own processor clock around the calls that are its door,
less the stages inside it; the clock itself costs about 0.01 us a record. Threads are counted by the kernel, and faults
of pages. The first fifth does not count.

    source  read        the plugin's poll: a block of the file, its lines
            slices      cutting them into at most 500 rows or 256 KiB
            chain       transformations (there are none)
            conversion  the converter: text to bytes
            hand-over   librdkafka's produce, a call a record
            reports     serving librdkafka's callbacks, counting what it still holds
            offsets     what is acknowledged, and so may be committed; its rows are let go
    sink    consume     librdkafka's consume, which makes an object a record
            columns     those objects as columns
            decode      the converter: bytes to text
            grouping    the rows of a put, their origins
            put         the plugin's: joined, and written to the file
            commit      the plugin's pre_commit (fsync), and the group's positions
    both    loop        what is left of the task's thread: letting rows go, clocks, metrics
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

from broker import Bench
from machine import keep, machine, said

from millstream.broker.kafka.broker import KafkaBroker
from millstream.broker.ports import AdminSettings, ConsumerSettings, ProducerSettings
from millstream.builtin.converters import StringConverter, StringConverterConfig
from millstream.host.child import YOUNG_OBJECTS
from millstream.identity import TaskId
from millstream.lifecycle import SystemClock
from millstream.pipeline.chain import Chain
from millstream.pipeline.conversion import Converters
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.pipeline.reporting import Reporting
from millstream.pipeline.tolerance import Handling, Tolerance
from millstream.task.control import Control
from millstream.task.sink import SinkParts, SinkSettings, SinkTaskLoop
from millstream.task.source import SourceParts, SourceSettings, SourceTaskLoop
from millstream.worker.budget import LARGEST_QUEUE
from millstream.worker.environment import child_environment
from millstream_file.config import FileSinkConfig, FileSourceConfig
from millstream_file.sink import FileStreamSinkTask
from millstream_file.source import FileStreamSourceTask
from millstream_json.converter import JsonConverter, JsonConverterConfig

RECORDS = 1_000_000
LINE_BYTES = 100
INTERVAL_MS = 1_000
STAGES = {
    "source": ("read", "slices", "chain", "conversion", "hand-over", "reports", "offsets", "loop"),
    "sink": ("consume", "columns", "chain", "decode", "grouping", "put", "commit", "loop"),
}


@dataclass(frozen=True)
class Profile:
    """us: processor time of a record, by stage of the task's thread.   threads: by thread, the task's first.
    faults: pages a record."""

    way: str
    converter: str
    line_bytes: int
    records: int
    records_per_s: float
    us: dict[str, float]
    threads: dict[str, float]
    faults: float
    load: float


class Clocked:
    """The thread's processor time by stage."""

    def __init__(self) -> None:
        self.ns: dict[str, int] = {}
        self._inside: list[int] = []  # of each open stage, what went to stages within

    def watch(self, owner: Any, door: str, stage: str) -> None:
        """Count what a method of this object takes, less the stages within."""
        method = getattr(owner, door)
        setattr(owner, door, lambda *args, **named: self._run(stage, lambda: method(*args, **named)))

    def watch_each(self, owner: Any, door: str, stage: str) -> None:
        """The same of a method that gives one thing after the other."""
        method = getattr(owner, door)

        def each(*args: Any) -> Iterator[Any]:
            things = iter(method(*args))
            while (thing := self._run(stage, lambda: next(things, None))) is not None:
                yield thing

        setattr(owner, door, each)

    def _run(self, stage: str, step: Callable[[], Any]) -> Any:
        began = time.thread_time_ns()
        self._inside.append(0)
        try:
            return step()
        finally:
            whole = time.thread_time_ns() - began
            self.ns[stage] = self.ns.get(stage, 0) + whole - self._inside.pop()
            if self._inside:
                self._inside[-1] += whole


@dataclass(frozen=True)
class Reading:
    """All clocks at one moment."""

    rows: int
    at: float
    stages: dict[str, int]
    threads: dict[str, int]
    faults: int

    @classmethod
    def now(cls, rows: int, clocked: Clocked) -> "Reading":
        return cls(rows, time.monotonic(), dict(clocked.ns), threads(), getrusage(RUSAGE_SELF).ru_minflt)


def threads() -> dict[str, int]:
    """Nanoseconds of processor time of this process's threads, by name; the first thread is the task's."""
    found: dict[str, int] = {}
    for number in os.listdir("/proc/self/task"):
        task = Path("/proc/self/task") / number
        name = "task" if int(number) == os.getpid() else (task / "comm").read_text().strip()
        found[name] = found.get(name, 0) + int((task / "schedstat").read_text().split()[0])
    return found


class Counting:
    """Counts rows as they pass, takes the readings, ends the task after the last."""

    def __init__(self, clocked: Clocked, control: Control, records: int) -> None:
        self._clocked = clocked
        self._control = control
        self._records = records
        self._rows = 0
        self.readings: list[Reading] = []

    def passed(self, rows: int) -> None:
        self._rows += rows
        wanted = self._records if self.readings else self._records // 5
        if len(self.readings) < 2 and self._rows >= wanted:
            self.readings.append(Reading.now(self._rows, self._clocked))
        if len(self.readings) == 2:
            self._control.stop()


class Kept:
    """Source offsets as the worker would store them."""

    def offsets(self, partitions: Sequence[Any]) -> Sequence[None]:
        return [None] * len(partitions)

    def write(self, offsets: Any, done: Callable[[Exception | None], None]) -> None:
        done(None)


@dataclass
class Alone:
    """One task in this process, watched."""

    converter: str
    line_bytes: int
    address: str
    topic: str
    file: str
    records: int

    def __post_init__(self) -> None:
        self.clock, self.control, self.clocked = SystemClock(), Control(), Clocked()
        self.counting = Counting(self.clocked, self.control, self.records)
        self.broker = KafkaBroker(self.address, {})
        settings = {"converter.type": "value"}
        one: Any = StringConverter(StringConverterConfig.parse(settings))
        if self.converter == "json":
            one = JsonConverter(JsonConverterConfig.parse(settings))
        handling = Handling(Tolerance(), self.clock, self.control.wait)
        self._stages = (Chain(()), Converters(one, one, one), handling, Reporting())

    def source(self) -> None:
        pipeline = SourcePipeline(*self._stages)
        producer = self.broker.producer(ProducerSettings("profiled", queue_bytes=LARGEST_QUEUE))
        self.clocked.watch(pipeline._chain, "run", "chain")
        self.clocked.watch(pipeline._conversion, "run", "conversion")
        self.clocked.watch_each(pipeline, "slices", "slices")
        self.clocked.watch(producer, "send", "hand-over")
        self.clocked.watch(producer, "poll", "reports")

        def plugin(context: Any) -> FileStreamSourceTask:
            task = FileStreamSourceTask(FileSourceConfig.parse({"file": self.file, "topic": self.topic}), context)
            self.clocked.watch(task, "poll", "read")
            read = task.poll

            def counted() -> Any:
                polled = read()
                self.counting.passed(sum(map(len, polled)))
                return polled

            task.poll = counted  # type: ignore[method-assign]  # to see where it is
            return task

        admin, kept, settings = self.broker.admin(AdminSettings("profiled")), Kept(), SourceSettings(INTERVAL_MS)
        loop = SourceTaskLoop(
            SourceParts(
                *(TaskId("profiled", 0), plugin, pipeline, producer, admin, kept, self.control),
                *(lambda event: None, self.clock),
                writer=kept,
                settings=settings,
            )
        )
        begin = loop.begin

        def begun() -> None:
            begin()
            self.clocked.watch(loop._delivery, "_land", "offsets")

        loop.begin = begun  # type: ignore[method-assign]  # its delivery is there then
        self._run(loop)

    def sink(self) -> None:
        pipeline = SinkPipeline(*self._stages)
        consumer = self.broker.consumer(
            ConsumerSettings("profiled", f"profiled-{time.time_ns()}", queue_bytes=LARGEST_QUEUE)
        )
        self.clocked.watch(consumer, "_read", "consume")
        self.clocked.watch(consumer, "_taken", "columns")
        self.clocked.watch(consumer, "commit", "commit")
        self.clocked.watch(pipeline._chain, "run", "chain")
        self.clocked.watch(pipeline._conversion, "run", "decode")
        self.clocked.watch(pipeline, "batch", "grouping")

        def plugin(context: Any) -> FileStreamSinkTask:
            task = FileStreamSinkTask(FileSinkConfig.parse({"file": self.file}), context)
            self.clocked.watch(task, "put", "put")
            self.clocked.watch(task, "pre_commit", "commit")
            put = task.put

            def counted(batch: Any) -> None:
                put(batch)
                self.counting.passed(len(batch))

            task.put = counted  # type: ignore[method-assign]  # to see where it is
            return task

        settings = SinkSettings([self.topic], offset_flush_interval_ms=INTERVAL_MS)
        parts = (TaskId("profiled", 0), plugin, pipeline, consumer, self.control, lambda event: None, self.clock)
        self._run(SinkTaskLoop(SinkParts(*parts, settings)))

    def _run(self, loop: SourceTaskLoop | SinkTaskLoop) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)  # as in a child of the worker
        loop.run()

    def profile(self, way: str, load: float) -> Profile:
        if len(self.counting.readings) != 2:
            sys.exit(f"the {way} ended before it had done {self.records:,} records")
        first, last = self.counting.readings
        rows = last.rows - first.rows
        us = {name: (ns - first.stages.get(name, 0)) / rows / 1000 for name, ns in last.stages.items()}
        threads = {name: (ns - first.threads.get(name, 0)) / rows / 1000 for name, ns in last.threads.items()}
        us["loop"] = threads["task"] - sum(us.values())
        faults = (last.faults - first.faults) / rows
        rate = rows / (last.at - first.at)
        return Profile(way, self.converter, self.line_bytes, rows, rate, us, threads, faults, load)


def profiled(bench: Bench, converters: Sequence[str], records: int, line_bytes: int = LINE_BYTES) -> list[Profile]:
    """A source and a sink for each converter, one after the other, each in a new process."""
    found = []
    original, target = bench.write("profiled.txt", records, line_bytes), bench.folder / "profiled-copy.txt"
    for converter in converters:
        topic = bench.topic()
        for way, file in (("source", original), ("sink", target)):
            print(f"profile of a {way}, {converter}", flush=True)
            bench.settle()
            what = (way, converter, str(line_bytes), bench.kafka.address(), topic, str(file), str(records))
            done = subprocess.run(
                [sys.executable, __file__, "--alone", *what],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
                env=child_environment(),
            )
            found.append(Profile(**json.loads(done.stdout)))
        target.unlink()
        bench.delete(topic)
    original.unlink()
    return found


def alone(arguments: Sequence[str]) -> None:
    way, converter, line_bytes, address, topic, file, records = arguments
    load, task = os.getloadavg()[0], Alone(converter, int(line_bytes), address, topic, file, int(records))
    if way == "source":
        task.source()
    else:
        task.sink()
    print(json.dumps(asdict(task.profile(way, load))))


def show(profiles: Sequence[Profile]) -> None:
    """A column each."""
    for way, stages in STAGES.items():
        own = [profile for profile in profiles if profile.way == way]
        if not own:
            continue
        heading = f"{way}, {own[0].line_bytes} B: us a record"
        print(f"\n{heading:34}" + "".join(f"{profile.converter:>12}" for profile in own))
        for stage in stages:
            if any(stage in profile.us for profile in own):
                print(f"  {stage:32}" + "".join(f"{profile.us.get(stage, 0.0):12.3f}" for profile in own))
        names = sorted({name for profile in own for name in profile.threads}, key=lambda name: (name != "task", name))
        for name in names:
            said_as = "the task's thread" if name == "task" else f"thread {name}"
            print(f"  {said_as:32}" + "".join(f"{profile.threads.get(name, 0.0):12.3f}" for profile in own))
        print(f"  {'all threads':32}" + "".join(f"{sum(profile.threads.values()):12.3f}" for profile in own))
        print(f"  {'faults of pages a record':32}" + "".join(f"{profile.faults:12.3f}" for profile in own))
        print(f"  {'records/s':32}" + "".join(f"{profile.records_per_s:12,.0f}" for profile in own))
        print(f"  {'load':32}" + "".join(f"{profile.load:12.1f}" for profile in own))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=RECORDS)
    options.add_argument("--bytes", type=int, default=LINE_BYTES, help="length of a line")
    options.add_argument("--converters", nargs="+", choices=["json", "string"], default=["json", "string"])
    options.add_argument("--alone", nargs=7, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.alone:
        alone(asked.alone)
        return
    around = machine()
    with tempfile.TemporaryDirectory() as folder, Bench.started(Path(folder)) as bench:
        found = profiled(bench, asked.converters, asked.records, asked.bytes)
    print(f"\n{said(around)}")
    show(found)
    keep("kafka_profile", around, profiles=[asdict(profile) for profile in found])


if __name__ == "__main__":
    main()
