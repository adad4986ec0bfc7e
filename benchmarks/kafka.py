"""File → Kafka → file by the Java Connect worker and by ours, side by side in one run, each with default settings.

    python benchmarks/kafka.py [--records N] [--bytes 100 1000] [--converters json string] [--workers java ours]

A case is a converter and a length of line. For each case each worker is started anew, and copies a file into a topic
and that into a file, twice; the second time counts, when JIT, caches and connections are warm. Which worker is first
changes from case to case. The broker is the same for all, and warm before the first. The copy is compared.

Prints tables with the load beside each figure, and keeps them in benchmarks/results/kafka.json. Needs Java and Maven,
see CONTRIBUTING.md, and `pip install -r requirements/services.txt` beside Millstream with its file and JSON plugins.
"""

import argparse
import filecmp
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402 - the tests' own services
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from running import Rest, WorkerProcess  # noqa: E402
from services.form import AsProcess  # noqa: E402
from services.java_connect import AS_SHIPPED, JavaWorker  # noqa: E402
from services.kafka import Kafka  # noqa: E402
from services.usage import Usage, usage  # noqa: E402

BROKER = ("-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxDirectMemorySize=128m")
CONVERTERS = {
    "json": "org.apache.kafka.connect.json.JsonConverter",
    "string": "org.apache.kafka.connect.storage.StringConverter",
}
WARM_RECORDS = 500_000
#: of a file that grows, its last piece may wait in a buffer until the next flush
BUFFER = 64 * 1024
PATIENCE_S = 900.0
RETAINED = {"segment.bytes": str(256 << 20), "retention.ms": "-1"}


class Measured(Protocol):
    """A worker under measurement: whichever it is, it is driven by REST and counted by the kernel."""

    @property
    def rest(self) -> Rest: ...

    def start(self) -> None:
        """Until the REST API answers."""

    def usage(self) -> Usage: ...

    def stop(self) -> None: ...


class Java:
    """Kafka's own worker, standalone, with the flags of its start scripts."""

    def __init__(self, properties: dict[str, str], folder: Path) -> None:
        self.properties = properties

    def start(self) -> None:
        self.rest = JavaWorker.start(AsProcess(), self.properties, "standalone", AS_SHIPPED)

    def usage(self) -> Usage:
        return self.rest.usage()

    def stop(self) -> None:
        self.rest.stop()


class Ours:
    """Millstream on the same broker."""

    def __init__(self, properties: dict[str, str], folder: Path) -> None:
        own = {"listeners": "http://127.0.0.1:0", "offset.storage.file.filename": str(folder / "offsets.bin")}
        self.rest = WorkerProcess(folder, {**own, **properties})

    def start(self) -> None:
        self.rest.start()

    def usage(self) -> Usage:
        assert self.rest.process is not None
        return usage([self.rest.process.pid])

    def stop(self) -> None:
        self.rest.stop()


WORKERS: dict[str, Callable[[dict[str, str], Path], Measured]] = {"java": Java, "ours": Ours}


@dataclass(frozen=True)
class Case:
    converter: str
    line_bytes: int
    records: int


@dataclass(frozen=True)
class Start:
    """What an operator waits for, in seconds."""

    worker: str
    rest_s: float
    running_s: float
    first_record_s: float
    idle_rss: int
    idle_pss: int
    load: float


@dataclass(frozen=True)
class Rate:
    worker: str
    way: str
    converter: str
    line_bytes: int
    records_per_s: float
    cpu_us: float
    broker_cpu_us: float
    rss: int
    pss: int
    load_before: float
    load_after: float


@dataclass
class Bench:
    """One broker, and what is asked of it."""

    kafka: Kafka
    folder: Path

    def __post_init__(self) -> None:
        settings = self.kafka.client()
        self.admin = AdminClient({**settings})
        self.consumer = Consumer({**settings, "group.id": "watching", "enable.auto.commit": "false"})
        self._made = 0

    def topic(self) -> str:
        """A new one with one partition, as a line's place in the copy is to be its place in the file."""
        self._made += 1
        name = f"lines-{self._made}"
        self.admin.create_topics([NewTopic(name, 1, 1, config=RETAINED)])[name].result(30)
        return name

    def delete(self, topics: list[str]) -> None:
        for deleted in self.admin.delete_topics(topics).values():
            deleted.result(30)

    def end(self, topic: str) -> int:
        """How many records a topic has."""
        return int(self.consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1])

    def warm(self) -> None:
        """The broker's own JIT is to have compiled before the first worker comes."""
        topic, producer = self.topic(), Producer({**self.kafka.client(), "queue.buffering.max.messages": WARM_RECORDS})
        for number in range(WARM_RECORDS):
            producer.produce(topic, b"%0100d" % number)
        producer.flush(60)
        self.delete([topic])

    @contextmanager
    def file(self, case: Case) -> Iterator[Path]:
        path = self.folder / "lines.txt"
        filler = "abcdefghij" * (case.line_bytes // 10)
        with path.open("w") as file:
            file.writelines(f"{number:08d} {filler}"[: case.line_bytes - 1] + "\n" for number in range(case.records))
        yield path
        path.unlink()


def measure(bench: Bench, case: Case, name: str) -> tuple[Start, list[Rate]]:
    """Start a worker, and the two ways of a case."""
    converter = CONVERTERS[case.converter]
    properties = {"bootstrap.servers": bench.kafka.address(), "key.converter": converter, "value.converter": converter}
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        worker = WORKERS[name](properties, Path(folder) / "worker")
        began = time.monotonic()
        worker.start()
        rest_s = time.monotonic() - began
        try:
            started = begin(bench, worker, Path(folder), (name, rest_s))
            return started, copy(bench, case, worker, name)
        finally:
            worker.stop()


def begin(bench: Bench, worker: Measured, folder: Path, known: tuple[str, float]) -> Start:
    """From the request for a first connector to its state and its first record."""
    idle, load, topic, file = worker.usage(), os.getloadavg()[0], bench.topic(), folder / "one.txt"
    file.write_text("one line\n")
    asked = time.monotonic()
    worker.rest.create("first", **{"connector.class": "FileStreamSource", "file": str(file), "topic": topic})
    running = moment(lambda: worker.rest.states("first") == ["RUNNING", "RUNNING"], "the first connector to run")
    record = moment(lambda: bench.end(topic), "the first record")
    worker.rest.call("DELETE", "/connectors/first")
    name, rest_s = known
    return Start(name, rest_s, running - asked, record - asked, idle.rss, idle.pss, load)


def copy(bench: Bench, case: Case, worker: Measured, name: str) -> list[Rate]:
    """The file into a topic, and the topic into a file; twice, and the second time counts."""
    once(bench, replace(case, records=min(case.records, WARM_RECORDS)), worker)
    found = once(bench, case, worker)
    return [Rate(name, way, case.converter, case.line_bytes, **figures) for way, figures in found.items()]


def once(bench: Bench, case: Case, worker: Measured) -> dict[str, dict[str, Any]]:
    with bench.file(case) as original:
        topic, target, size = bench.topic(), bench.folder / "copy.txt", original.stat().st_size
        into = {"connector.class": "FileStreamSource", "file": str(original), "topic": topic}
        first = Work(case.records, f"{topic}-in", into, lambda: bench.end(topic))
        out = {"connector.class": "FileStreamSink", "file": str(target), "topics": topic}
        most = size - BUFFER
        second = Work(case.records, f"{topic}-out", out, lambda: int(case.records * written(target) / most))
        found = {"file to topic": timed(bench, worker, first), "topic to file": timed(bench, worker, second)}
        moment(lambda: written(target) >= size, "the last piece of the copy")
        if not filecmp.cmp(original, target, shallow=False):
            sys.exit("the copy is not identical")
        target.unlink()
        bench.delete([topic])
        return found


@dataclass(frozen=True)
class Work:
    """A connector, and how far it is."""

    records: int
    name: str
    config: dict[str, str]
    done: Callable[[], int]


def timed(bench: Bench, worker: Measured, work: Work) -> dict[str, Any]:
    """The time counts from the first records to the last, so that no start is in it; CPU time is of the whole."""
    load, before, broker = os.getloadavg()[0], worker.usage(), bench.kafka.instance.usage()
    worker.rest.create(work.name, **work.config)
    began = moment(work.done, "the first records")
    ahead, records = work.done(), work.records
    ended = moment(lambda: work.done() >= records, "the last record")
    after, loaded = worker.usage(), bench.kafka.instance.usage()
    worker.rest.call("DELETE", f"/connectors/{work.name}")
    return {
        "records_per_s": (records - ahead) / (ended - began),
        "cpu_us": (after.cpu_s - before.cpu_s) / records * 1e6,
        "broker_cpu_us": (loaded.cpu_s - broker.cpu_s) / records * 1e6,
        "rss": after.rss,
        "pss": after.pss,
        "load_before": load,
        "load_after": os.getloadavg()[0],
    }


def written(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def moment(condition: Callable[[], object], what: str) -> float:
    """When it became true, asked every 10 ms."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(0.01)
    return time.monotonic()


def report(rates: list[Rate], starts: list[Start]) -> None:
    mb = 1 << 20
    print(f"\n{'':34}{'records/s':>11}{'CPU us':>8}{'broker us':>11}{'RSS MB':>8}{'PSS MB':>8}{'load':>14}")
    for one in sorted(rates, key=lambda rate: (rate.converter, rate.line_bytes, rate.way, rate.worker)):
        what = f"{one.converter} {one.line_bytes} B, {one.way}"
        loads = f"{one.load_before:.1f} - {one.load_after:.1f}"
        print(
            f"{what:28}{one.worker:>6}{one.records_per_s:11,.0f}{one.cpu_us:8.2f}{one.broker_cpu_us:11.2f}"
            f"{one.rss / mb:8.0f}{one.pss / mb:8.0f}{loads:>14}"
        )
    print(
        f"\n{'median of the starts':28}{'':6}{'REST s':>9}{'RUNNING s':>11}{'record s':>10}{'RSS MB':>8}{'PSS MB':>8}"
    )
    for worker in WORKERS:
        own = [start for start in starts if start.worker == worker]
        if own:
            middle = {
                name: statistics.median(asdict(start)[name] for start in own) for name in list(asdict(own[0]))[1:]
            }
            print(
                f"{len(own)} starts, load {middle['load']:.1f}".ljust(28) + f"{worker:>6}{middle['rest_s']:9.2f}"
                f"{middle['running_s']:11.3f}{middle['first_record_s']:10.3f}"
                f"{middle['idle_rss'] / mb:8.0f}{middle['idle_pss'] / mb:8.0f}"
            )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=2_000_000)
    options.add_argument("--bytes", type=int, nargs="+", default=[100, 1000])
    options.add_argument("--converters", nargs="+", choices=CONVERTERS, default=list(CONVERTERS))
    options.add_argument("--workers", nargs="+", choices=WORKERS, default=list(WORKERS))
    asked = options.parse_args()
    cases = [Case(converter, size, asked.records) for converter in asked.converters for size in asked.bytes]
    rates: list[Rate] = []
    starts: list[Start] = []
    kafka = Kafka.start(AsProcess(), {"authorizer.class.name": ""}, BROKER)
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(kafka, Path(folder))
            bench.warm()
            for number, case in enumerate(cases):
                for name in asked.workers[:: -1 if number % 2 else 1]:
                    print(f"{name}: {case.records:,} records of {case.line_bytes} bytes, {case.converter}", flush=True)
                    start, found = measure(bench, case, name)
                    starts.append(start)
                    rates += found
            bench.consumer.close()
    finally:
        kafka.stop()
    report(rates, starts)
    kept = {"records": asked.records, "python": platform.python_version(), "cores": os.cpu_count()}
    result = {**kept, "rates": [asdict(rate) for rate in rates], "starts": [asdict(start) for start in starts]}
    path = HERE / "results" / "kafka.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
