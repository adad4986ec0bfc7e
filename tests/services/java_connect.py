"""The Java Connect worker: what ours is compared with."""

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running import PATIENCE_S, Answer, Rest

from services import folders
from services.form import Form
from services.instance import Instance, Program, until
from services.kafka import LOG_CONFIGURATION, java, lines
from services.maven import KAFKA
from services.ports import HOST, free
from services.session import Session
from services.usage import Usage

MAIN = {
    "standalone": "org.apache.kafka.connect.cli.ConnectStandalone",
    "distributed": "org.apache.kafka.connect.cli.ConnectDistributed",
}
SMALL = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
#: what Kafka's own start scripts say: connect-standalone.sh, and kafka-run-class.sh
AS_SHIPPED = (
    "-Xms256M",
    "-Xmx2G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
)
#: so that tests need not wait for a minute, nor for five
SOON = {"offset.flush.interval.ms": "1000", "scheduled.rebalance.max.delay.ms": "1000"}
CONVERTERS = {
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
}


@dataclass
class JavaWorker(Rest):
    """A running worker. In a container it sees the files in its `folder`, and no others of the tests."""

    instance: Instance
    properties: Mapping[str, str]
    undo: ExitStack
    url: str

    @classmethod
    def of_session(cls, session: Session) -> "JavaWorker":
        kafka = session.get("kafka")
        return cls.start(session.form, {**kafka.java_client(), **SOON})

    @classmethod
    def start(
        cls, form: Form, properties: Mapping[str, str], mode: str = "distributed", flags: Sequence[str] = SMALL
    ) -> "JavaWorker":
        """A worker whose REST API answers. `properties` has `bootstrap.servers`; one `group.id`, one cluster."""
        worker = cls.launch(form, properties, mode, flags)
        try:
            worker.ready()
        except BaseException:
            worker.stop()
            raise
        return worker

    @classmethod
    def launch(
        cls, form: Form, properties: Mapping[str, str], mode: str = "distributed", flags: Sequence[str] = SMALL
    ) -> "JavaWorker":
        """A worker that may not be ready yet."""
        installation = form.kafka()
        (port,) = free(1)
        settings = {
            **CONVERTERS,
            "listeners": f"http://{HOST}:{port}",
            "rest.advertised.host.name": HOST,
            "rest.advertised.port": str(port),
            "plugin.path": str(installation.jars / f"connect-file-{KAFKA}.jar"),
        }
        with ExitStack() as undo:
            folder = folders.made(f"java-connect-{mode}")
            undo.callback(folders.removed, folder)
            settings |= _storage(mode, folder, properties) | dict(properties)
            (folder / "worker.properties").write_text(lines(settings))
            command = [*java(installation), *flags, MAIN[mode], str(folder / "worker.properties")]
            program = Program(f"java-connect-{mode}", command, folder, [LOG_CONFIGURATION.parent, folders.running()])
            instance = form.instance(program, installation)
            undo.callback(instance.remove)
            instance.start()
            return cls(instance, settings, undo.pop_all(), f"http://{HOST}:{port}")

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Asked again while it answers that it cannot "momentarily": its cluster is about to rebalance."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = super().call(method, path, body, headers)
            if answer.status != 409 or "momentarily" not in answer.text or time.monotonic() > deadline:
                return answer
            time.sleep(0.05)

    def ready(self) -> None:
        until(self.answers, self.instance, "the REST API")

    def answers(self) -> bool:
        """Whether it takes requests: before that it refuses connections, then knows no path."""
        try:
            return self.call("GET", "/connectors").status == 200
        except OSError:
            return False

    def restart(self) -> None:
        self.instance.stop()
        self.instance.start()
        self.ready()

    @property
    def folder(self) -> Path:
        return self.instance.program.folder

    @property
    def logs(self) -> Mapping[str, Path]:
        return {self.folder.name: self.instance.program.log}

    def usage(self) -> Usage:
        return self.instance.usage()

    def stop(self) -> None:
        """The end of it: nothing stays."""
        self.undo.close()


def for_each_client(settings: Mapping[str, str]) -> dict[str, str]:
    """A client's settings as a worker takes them: for itself, and once more for the clients of its tasks."""
    prefixes = ("", "producer.", "consumer.", "admin.")
    secured = {name: value for name, value in settings.items() if name != "bootstrap.servers"}
    told = {f"{prefix}{name}": value for prefix in prefixes for name, value in secured.items()}
    return {"bootstrap.servers": settings["bootstrap.servers"], **told}


def _storage(mode: str, folder: Path, properties: Mapping[str, str]) -> dict[str, str]:
    if mode == "standalone":
        return {"offset.storage.file.filename": str(folder / "offsets.bin")}
    group = properties.get("group.id") or f"connect-{uuid.uuid4().hex[:8]}"
    topics = {f"{what}.storage.topic": f"{group}-{what}" for what in ("config", "offset", "status")}
    factors = {f"{what}.storage.replication.factor": "1" for what in ("config", "offset", "status")}
    return {"group.id": group, **topics, **factors}
