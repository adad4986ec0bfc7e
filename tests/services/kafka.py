"""Apache Kafka: one broker in KRaft mode, with a listener for each way to get in.

Every listener is on the loopback. `PROXIED` is like `PLAINTEXT`, and whoever comes through it goes on coming through
the proxy, as the broker gives its clients the proxy's address.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services import folders, keys
from services.cache import built
from services.form import Form, Installation
from services.instance import Instance, Program, until
from services.keys import Keys
from services.maven import pom
from services.ports import HOST, accepts, free
from services.proxy import Proxy
from services.session import Session

LISTENERS = {
    "PLAINTEXT": "PLAINTEXT",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "SASL_SSL": "SASL_SSL",
    "SSL": "SSL",
    "PROXIED": "PLAINTEXT",
    "CONTROLLER": "PLAINTEXT",
}
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS = ("PLAIN", *SCRAM)
#: alice may do everything, eve nothing
USERS = {"alice": "alice-secret", "eve": "eve-secret"}
CLUSTER = "AAAAAAAAAAAAAAAAAAAAAQ"
#: for a start that costs little: half the CPU time of what the JVM would choose
SMALL = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:MaxDirectMemorySize=64m")
LOG_CONFIGURATION = Path(__file__).parent / "java" / "log4j2.properties"
SECURITY = "org.apache.kafka.common.security"

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in LISTENERS.items()),
    "sasl.enabled.mechanisms": ",".join(MECHANISMS),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS;User:alice;User:CN=client",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "listener.name.ssl.ssl.client.auth": "requested",
    "num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # members of the new protocol hear of partitions with their heartbeats, by default every 5 s
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
}
STRICT = {"auto.create.topics.enable": "false", "listener.name.ssl.ssl.client.auth": "required"}


@dataclass
class Kafka:
    """A running broker."""

    instance: Instance
    ports: Mapping[str, int]
    keys: Keys
    proxy: Proxy
    undo: ExitStack
    #: what `client` adds to every client
    defaults: Mapping[str, str] = field(default_factory=lambda: {"log_level": "0"})

    @classmethod
    def of_session(cls, session: Session) -> "Kafka":
        return cls.start(session.form)

    @classmethod
    def start(
        cls,
        form: Form,
        properties: Mapping[str, str] | None = None,
        flags: Sequence[str] = SMALL,
        disk_mb: int | None = None,
    ) -> "Kafka":
        """A new broker, ready.

        properties: further lines of its server.properties, which win.
        flags:      Java's.
        disk_mb:    how much its logs may take before its disk is full; None: what this machine has.
        """
        installation = form.kafka()
        with ExitStack() as undo:
            folder = folders.made("kafka")
            undo.callback(folders.removed, folder)
            ports = dict(zip(LISTENERS, free(len(LISTENERS)), strict=True))
            proxy = Proxy(ports["PROXIED"])
            undo.callback(proxy.close)
            pems = keys.made(folder)
            settings = {**PROPERTIES, **_addresses(ports, proxy), **_security(pems), "log.dirs": str(folder / "data")}
            (folder / "server.properties").write_text(lines(settings | dict(properties or {})))
            if disk_mb is not None:
                folders.limited(folder / "data", disk_mb)
            shutil.copytree(_formatted(form, installation), folder / "data", dirs_exist_ok=True)
            command = [*java(installation), *flags, "kafka.Kafka", str(folder / "server.properties")]
            program = Program("kafka", command, folder, [LOG_CONFIGURATION.parent])
            instance = form.instance(program, installation)
            undo.callback(instance.remove)
            instance.start()
            kafka = cls(instance, ports, pems, proxy, undo.pop_all())
        try:
            kafka.ready()
        except BaseException:
            kafka.stop()
            raise
        return kafka

    def ready(self) -> None:
        """Every listener accepts, and the broker knows itself."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        def listening() -> bool:
            return all(map(accepts, self.ports.values()))

        until(listening, self.instance, "all listeners to accept")

        def known() -> bool:
            try:
                return bool(admin.list_topics(timeout=5).brokers)
            except KafkaException:
                return False

        admin = AdminClient(self.client())
        until(known, self.instance, "the first metadata")

    def restart(self) -> None:
        """With the same data and the same addresses; after `instance.kill` too."""
        self.instance.stop()
        self.instance.start()
        self.ready()

    def address(self, listener: str = "PLAINTEXT") -> str:
        """What `bootstrap.servers` is."""
        return f"{HOST}:{self.proxy.port if listener == 'PROXIED' else self.ports[listener]}"

    def client(self, listener: str = "PLAINTEXT", mechanism: str = "PLAIN", user: str = "alice") -> dict[str, Any]:
        """Settings of a librdkafka client; mechanism and user matter to the SASL listeners alone."""
        protocol = LISTENERS[listener]
        settings: dict[str, Any] = {
            **self.defaults,
            "bootstrap.servers": self.address(listener),
            "security.protocol": protocol,
        }
        if protocol.startswith("SASL"):
            settings |= {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": USERS[user]}
        if protocol.endswith("SSL"):
            settings |= {"ssl.ca.location": str(self.keys.ca)}
        return settings

    def certificate(self, name: str = "client") -> dict[str, Any]:
        """What a client adds to be `User:CN=client` to the listener SSL, or "stranger", who may do nothing."""
        files = {"certificate": self.keys.certificate(name), "key": self.keys.key(name)}
        return {f"ssl.{what}.location": str(file) for what, file in files.items()}

    def java_client(self, listener: str = "PLAINTEXT", mechanism: str = "PLAIN", user: str = "alice") -> dict[str, str]:
        """The same in the names of Java's clients."""
        protocol = LISTENERS[listener]
        settings = {"bootstrap.servers": self.address(listener), "security.protocol": protocol}
        if protocol.startswith("SASL"):
            credentials = f'username="{user}" password="{USERS[user]}"'
            settings |= {"sasl.mechanism": mechanism, "sasl.jaas.config": f"{_module(mechanism)} {credentials};"}
        if protocol.endswith("SSL"):
            trust = {"location": self.keys.trust_store, "type": "PKCS12", "password": keys.PASSWORD}
            settings |= {f"ssl.truststore.{name}": str(value) for name, value in trust.items()}
        return settings

    @property
    def logs(self) -> Mapping[str, Path]:
        return {self.instance.program.folder.name: self.instance.program.log}

    def stop(self) -> None:
        """The end of it: nothing stays."""
        self.undo.close()


class StrictKafka(Kafka):
    """A broker that makes no topic by itself, and lets nobody in by SSL without a certificate."""

    @classmethod
    def of_session(cls, session: Session) -> "Kafka":
        return cls.start(session.form, STRICT)


def java(installation: Installation, level: str = "WARN") -> list[str]:
    """The start of a Java command line."""
    logging = [f"-Dlog4j2.configurationFile={LOG_CONFIGURATION}", f"-Dmillstream.level={level}"]
    return [installation.java, "-cp", f"{installation.jars}/*", *logging]


def lines(settings: Mapping[str, str]) -> str:
    """A properties file. The values here have no backslash and no leading blank."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _addresses(ports: Mapping[str, int], proxy: Proxy) -> dict[str, str]:
    told = {**ports, "PROXIED": proxy.port}
    return {
        "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items()),
        "advertised.listeners": ",".join(f"{n}://{HOST}:{port}" for n, port in told.items() if n != "CONTROLLER"),
        "controller.quorum.voters": f"1@{HOST}:{ports['CONTROLLER']}",
    }


def _security(pems: Keys) -> dict[str, str]:
    settings = {"ssl.keystore.location": str(pems.pem_store("server")), "ssl.truststore.location": str(pems.ca)}
    known = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    for listener in ("sasl_plaintext", "sasl_ssl"):
        for mechanism in MECHANISMS:
            users = f" {known}" if mechanism == "PLAIN" else ""
            name = f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"
            settings[name] = f"{_module(mechanism)}{users};"
    return settings


def _module(mechanism: str) -> str:
    login = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    return f"{SECURITY}.{login} required"


def _formatted(form: Form, installation: Installation) -> Path:
    """A data folder with the SCRAM users in it: made once, and copied, as it costs the start of a JVM."""
    users = [f"{mechanism}=[name={u},password={p}]" for mechanism in SCRAM for u, p in USERS.items()]
    tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER]
    added = [part for user in users for part in ("--add-scram", user)]

    def build(folder: Path) -> None:
        ports = dict.fromkeys(LISTENERS, 1)
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@{HOST}:{ports['CONTROLLER']}",
            "listeners": f"PLAINTEXT://{HOST}:1,CONTROLLER://{HOST}:2",
            "log.dirs": str(folder / "data"),
        }
        (folder / "format.properties").write_text(lines(settings))
        command = [*java(installation), *tool, "-c", str(folder / "format.properties"), *added]
        formatting = form.instance(Program("format", command, folder, [LOG_CONFIGURATION.parent]), installation)
        formatting.start()
        formatting.wait()

    return built("kafka-formatted", [pom("kafka").read_text(), *tool, *added], build) / "data"
