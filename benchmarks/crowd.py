"""One worker on a Kafka with many connectors, half of them sources and half sinks, and what the kernel says of it."""

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
import psutil  # noqa: E402 - of requirements/services.txt
import running  # noqa: E402 - the tests' own worker
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from running import Rest, WorkerProcess  # noqa: E402
from services.form import AsProcess  # noqa: E402
from services.kafka import Kafka  # noqa: E402

BROKER = ("-Xms512m", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxDirectMemorySize=256m")
STRINGS = "org.apache.kafka.connect.storage.StringConverter"
RETAINED = {"segment.bytes": str(16 << 20), "retention.bytes": str(32 << 20), "file.delete.delay.ms": "1000"}
MB = 1 << 20
PATIENCE_S, EVERY_S = 300.0, 0.05
running.ANSWER_S = 120.0  # of a request and a stop: a machine that does nothing else may be slow


@dataclass(frozen=True)
class Crowd:
    """How many there are: each source writes to a topic of its own, which one sink reads."""

    connectors: int = 50
    tasks: int = 200

    def names(self) -> list[str]:
        half = self.connectors // 2
        return [f"{kind}-{number}" for number in range(half) for kind in ("source", "sink")]

    def tasks_of(self, name: str) -> int:
        return share(self.tasks // 2, self.connectors // 2, number_of(name))

    def config(self, name: str, folder: Path) -> dict[str, str]:
        """folder: where its tasks find what they need."""
        kind = "Source" if name.startswith("source") else "Sink"
        return {"connector.class": f"millstream_many:Many{kind}", "control": str(folder), "called": name}

    def topic_settings(self) -> dict[str, str]:
        return RETAINED


def share(whole: int, among: int, number: int) -> int:
    """Of so many things the share of one of those that have them."""
    return whole // among + (number < whole % among)


def number_of(name: str) -> int:
    """Of a connector: a source and the sink of its rows have the same."""
    return int(name.rpartition("-")[2])


@dataclass
class Stage:
    """A broker, a worker on it with the plugin of this benchmark, and the folder that tells its tasks what to do."""

    folder: Path
    kafka: Kafka
    crowd: Crowd
    worker: WorkerProcess
    control: Path
    configs: dict[str, dict[str, str]] = field(default_factory=dict)

    def topics(self) -> None:
        """Each with as many partitions as it has readers."""
        admin = AdminClient(self.kafka.client())
        sinks = [name for name in self.crowd.names() if name.startswith("sink")]
        config = self.crowd.topic_settings()
        wanted = [NewTopic(topic_of(name), self.crowd.tasks_of(name), 1, config=config) for name in sinks]
        for made in admin.create_topics(wanted).values():
            made.result(60)

    def config(self, name: str, **more: str) -> dict[str, str]:
        return {
            "tasks.max": str(self.crowd.tasks_of(name)),
            "topic" if name.startswith("source") else "topics": topic_of(name),
            **self.crowd.config(name, self.control),
            **more,
        }

    def create(self, name: str, **more: str) -> None:
        self.configs[name] = self.config(name, **more)
        self.worker.create(name, **self.configs[name])

    def create_all(self, **more: str) -> None:
        with ThreadPoolExecutor(8) as hands:
            list(hands.map(lambda name: self.create(name, **more), self.crowd.names()))

    def states(self) -> dict[str, list[str]]:
        """By connector: its state, then its tasks'."""
        told = self.worker.call("GET", "/connectors?expand=status").json
        return {
            name: [one["status"]["connector"]["state"], *(task["state"] for task in one["status"]["tasks"])]
            for name, one in told.items()
        }

    def count(self, state: str) -> int:
        """Tasks in that state."""
        return sum(told[1:].count(state) for told in self.states().values())

    def tell(self, what: str, text: str | None) -> None:
        """Write a file for the tasks, or take it away."""
        if text is None:
            (self.control / what).unlink(missing_ok=True)
        else:
            (self.control / what).write_text(text)

    def written(self) -> int:
        """Rows that sources wrote, by their metrics."""
        return self._sum("kafka_connect_source_task_metrics_source_record_write_total")

    def read(self) -> int:
        """Rows that sinks were given, by their metrics."""
        return self._sum("kafka_connect_sink_task_metrics_sink_record_read_total")

    def _sum(self, metric: str) -> int:
        lines = self.worker.call("GET", "/metrics").text.splitlines()
        return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric + "{")))


def topic_of(name: str) -> str:
    return f"rows-{number_of(name)}"


@contextmanager
def staged(
    folder: Path, crowd: Crowd, prefix: Sequence[str] = (), listener: str = "PLAINTEXT", **properties: str
) -> Iterator[Stage]:
    """Everything that a crowd needs, with the worker started; gone at the end. prefix: of the worker's command."""
    plugin, control, temporary = folder / "plugin", folder / "control", folder / "tmp"
    for made in (control, temporary):
        made.mkdir(parents=True)
    installed(plugin)
    kafka = Kafka.start(AsProcess(), {"authorizer.class.name": "", "log.retention.check.interval.ms": "5000"}, BROKER)
    try:
        settings = {
            "listeners": "http://127.0.0.1:0",
            "bootstrap.servers": kafka.address(listener),
            "key.converter": STRINGS,
            "value.converter": STRINGS,
            "offset.storage.file.filename": "offsets.bin",
            **{name.replace("_", "."): text for name, text in properties.items()},
        }
        path = os.pathsep.join(filter(None, (str(plugin), os.environ.get("PYTHONPATH"))))
        environment = {"PYTHONPATH": path, "TMPDIR": str(temporary)}
        worker = WorkerProcess(folder / "worker", settings, environment=environment)
        worker.prefix = list(prefix)
        stage = Stage(folder, kafka, crowd, worker, control)
        stage.topics()
        worker.start()
        try:
            yield stage
        finally:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.terminate()
                with suppress(Exception):
                    worker.process.wait(60)
                if worker.process.poll() is None:
                    worker.process.kill()
                    worker.process.wait()
    finally:
        kafka.stop()


def installed(folder: Path) -> None:
    """The benchmark's plugin as a distribution in a folder of its own."""
    info = folder / "millstream_many-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: millstream-many\nVersion: 0.1\nRequires-Dist: millstream-api>=0.1,<1\n"
    )
    (info / "entry_points.txt").write_text("[millstream]\nmany = millstream_many\n")
    shutil.copy(HERE / "plugin" / "millstream_many.py", folder)


@dataclass(frozen=True)
class Census:
    """All of a worker's processes at one moment, memory in MB. fds: of the worker.   zombies: dead and not reaped."""

    tasks: int
    others: int
    zombies: int
    threads_worker: int
    threads_templates: int
    threads_tasks: int
    fds_worker: int
    fds_sockets: int
    fds_templates: int
    rss_templates: float
    rss_worker: float
    pss_worker: float
    pss_templates: float
    pss_tasks: float
    maps_worker: int
    cpu_s: float

    @property
    def pids(self) -> int:
        """What a pid limit counts."""
        return self.threads_worker + self.threads_templates + self.threads_tasks


def census(worker: WorkerProcess) -> Census:
    """Look at them, again when one goes meanwhile."""
    while True:
        try:
            return _census(worker)
        except psutil.NoSuchProcess:
            continue


def _census(worker: WorkerProcess) -> Census:
    """Templates are the worker's children, tasks, connectors and probes are the templates'."""
    assert worker.process is not None
    root = psutil.Process(worker.process.pid)
    templates = [child for child in root.children() if _status(child) not in (psutil.STATUS_ZOMBIE, "gone")]
    below = [child for template in templates for child in _children(template)]
    dead = [child for child in (*root.children(), *below) if _status(child) == psutil.STATUS_ZOMBIE]
    living = [child for child in below if _status(child) != psutil.STATUS_ZOMBIE]
    rollup = [_memory(child.pid) for child in living]
    own, above = _memory(root.pid), [_memory(each.pid) for each in templates]
    links = [_link(path) for path in Path(f"/proc/{root.pid}/fd").iterdir()]
    times = [_cpu(each) for each in (root, *templates, *living)]
    return Census(
        tasks=len(living),
        others=len(templates),
        zombies=len(dead),
        threads_worker=_threads(root.pid),
        threads_templates=sum(_threads(each.pid) for each in templates),
        threads_tasks=sum(_threads(each.pid) for each in living),
        fds_worker=len(links),
        fds_sockets=sum(link.startswith("socket:") for link in links),
        fds_templates=sum(_entries(f"/proc/{each.pid}/fd") for each in templates),
        rss_templates=sum(rss for rss, _ in above),
        rss_worker=own[0],
        pss_worker=own[1],
        pss_templates=sum(pss for _, pss in above),
        pss_tasks=sum(pss for _, pss in rollup),
        maps_worker=_lines(f"/proc/{root.pid}/maps"),
        cpu_s=sum(times),
    )


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def _status(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return process.status()
    return "gone"


def _memory(pid: int) -> tuple[float, float]:
    """RSS and PSS in MB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return found["Rss"] / 1024, found["Pss"] / 1024


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _threads(pid: int) -> int:
    return _entries(f"/proc/{pid}/task")


def _entries(path: str) -> int:
    with suppress(OSError):
        return len(os.listdir(path))
    return 0


def _lines(path: str) -> int:
    with suppress(OSError):
        return len(Path(path).read_text().splitlines())
    return 0


def _link(path: Path) -> str:
    with suppress(OSError):
        return os.readlink(path)
    return ""


def summary(times: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the largest."""
    if len(times) < 2:
        return {"requests": len(times), "max": max(times, default=0.0)}
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "max": round(max(times), 2), "requests": len(times)}


def asked(rest: Rest, name: str, config: dict[str, str], seconds: float, rate: float) -> dict[str, dict[str, float]]:
    """Milliseconds of each request from the moment at which it was due, by kind: 19 of 20 are GETs, one validates."""
    import http.client

    connection = http.client.HTTPConnection(rest.url.partition("//")[2].rstrip("/"), timeout=100)
    validate = f"/connector-plugins/{config['connector.class']}/config/validate"
    body = json.dumps({"name": name, **config})
    gets = ("/", "/connectors", f"/connectors/{name}/status", f"/connectors/{name}", "/connectors?expand=status")
    taken: dict[str, list[float]] = {"GET": [], "GET expand": [], "PUT validate": []}
    began = time.perf_counter()
    for number in range(int(seconds * rate)):
        due = began + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        if number % 20 == 19:
            kind = "PUT validate"
            connection.request("PUT", validate, body, {"Content-Type": "application/json"})
        else:
            path = gets[number % len(gets)]
            kind = "GET expand" if "expand" in path else "GET"
            connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, f"{kind}: {answer.status}"
        taken[kind].append((time.perf_counter() - due) * 1000)
    connection.close()
    return {kind: summary(times) for kind, times in taken.items()}
