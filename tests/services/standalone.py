"""A standalone worker of ours on a broker of the tests."""

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from running import WorkerProcess, until

from services.kafka import Kafka

JSON = "org.apache.kafka.connect.json.JsonConverter"
SOURCE, SINK = "FileStreamSource", "FileStreamSink"


def worker_on(settings: Mapping[str, str], folder: Path, **more: str) -> WorkerProcess:
    """Not started yet. settings: a client's, in Java's names, given to the worker and to each of its clients."""
    secured = {name: text for name, text in settings.items() if name != "bootstrap.servers"}
    clients = {
        f"{prefix}{name}": text for prefix in ("", "producer.", "consumer.", "admin.") for name, text in secured.items()
    }
    properties = {
        "listeners": "http://127.0.0.1:0",
        "bootstrap.servers": settings["bootstrap.servers"],
        "key.converter": JSON,
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "offset.storage.file.filename": "offsets.bin",
        "offset.flush.interval.ms": "300",
        **clients,
        **{name.replace("_", "."): text for name, text in more.items()},
    }
    return WorkerProcess(folder, properties)


def trusted(kafka: Kafka, listener: str, mechanism: str = "PLAIN", user: str = "alice") -> dict[str, str]:
    """A client's settings, with the CA as PEM."""
    settings = kafka.java_client(listener, mechanism, user)
    stores = {name: text for name, text in settings.items() if not name.startswith("ssl.")}
    return stores if stores == settings else {**stores, "ssl.truststore.location": str(kafka.keys.ca)}


def named(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:8]}"


def lines(first: int, count: int) -> str:
    return "".join(f"line {number}\n" for number in range(first, first + count))


def copies(worker: WorkerProcess, topic: str, **sink: str) -> tuple[Path, Path]:
    """A source and a sink over a topic; gives the file read and the file written."""
    original, copy = worker.folder / f"{topic}.txt", worker.folder / f"{topic}.copy.txt"
    original.touch()
    worker.create(f"{topic}-source", **{"connector.class": SOURCE, "file": str(original), "topic": topic})
    worker.create(f"{topic}-sink", **{"connector.class": SINK, "file": str(copy), "topics": topic, **sink})
    return original, copy


def assigned(worker: WorkerProcess, connector: str) -> dict[str, str]:
    """What each task of a sink said last that it has been assigned, such as `topic-0, topic-1`."""
    said = rf"\[{re.escape(connector)}\|task-(\d+)\] Partitions assigned: (.*) \("
    last = dict(re.findall(said, worker.log))
    return {task: partitions for task, partitions in last.items() if partitions != "none"}


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def fails(worker: WorkerProcess, connector: str, patience: float = 60.0) -> str:
    """The trace of the task that fails."""
    until(lambda: "FAILED" in worker.states(connector)[1:], f"a task of {connector} to fail", patience, 0.05)
    status: Any = worker.call("GET", f"/connectors/{connector}/status").json
    return str(next(task["trace"] for task in status["tasks"] if task["state"] == "FAILED"))
