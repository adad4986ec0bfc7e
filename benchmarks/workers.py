"""The two workers that are measured against each other: started, driven by REST, counted by the kernel."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from running import Rest, WorkerProcess
from services.form import AsProcess
from services.java_connect import AS_SHIPPED, JavaWorker
from services.usage import Usage, usage

CONVERTERS = {
    "json": "org.apache.kafka.connect.json.JsonConverter",
    "string": "org.apache.kafka.connect.storage.StringConverter",
}
#: how ours knows what became of a record; Java's worker gets a report for each
VARIANT = "idempotent, acks=all, reports of refused records alone with the count of held ones: no failure goes unseen"


class Measured(Protocol):
    """A worker under measurement."""

    @property
    def rest(self) -> Rest: ...

    def start(self) -> None:
        """Until the REST API answers."""

    def usage(self) -> Usage:
        """Of all its processes."""

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


def made(name: str, bootstrap: str, converter: str, folder: Path) -> Measured:
    """One that is not started yet. All it is told beside where things are is the converter."""
    class_name = CONVERTERS[converter]
    properties = {"bootstrap.servers": bootstrap, "key.converter": class_name, "value.converter": class_name}
    return WORKERS[name](properties, folder / "worker")
