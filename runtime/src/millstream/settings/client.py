"""What connectors may say to the Kafka clients that are made for them. Source: ProducerConfig and others, Kafka 4.3.

Definitions only: how they reach a client is the broker's business. Validation shows them, and refuses what is no
number where a number is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from millstream.errors import ConfigError
from millstream.settings.framework import Settings
from millstream.settings.login import LoginConfig
from millstream.settings.tls import TlsConfig
from millstream_api.config import ConfigType, Definition, Importance, parse_value

Client = Literal["producer", "consumer", "admin"]

BOOLEAN, STRING, LIST = ConfigType.BOOLEAN, ConfigType.STRING, ConfigType.LIST
INT, LONG, CLASS = ConfigType.INT, ConfigType.LONG, ConfigType.CLASS
LEVELS = {"H": Importance.HIGH, "M": Importance.MEDIUM, "L": Importance.LOW}

Row = tuple[str, ConfigType, object, str]

EVERY: tuple[Row, ...] = (
    ("bootstrap.servers", LIST, [], "H"),
    ("client.dns.lookup", STRING, "use_all_dns_ips", "M"),
    ("client.id", STRING, "", "M"),
    ("metadata.max.age.ms", LONG, 300_000, "L"),
    ("send.buffer.bytes", INT, 131_072, "M"),
    ("receive.buffer.bytes", INT, 65_536, "M"),
    ("reconnect.backoff.ms", LONG, 50, "L"),
    ("reconnect.backoff.max.ms", LONG, 1_000, "L"),
    ("retry.backoff.ms", LONG, 100, "L"),
    ("retry.backoff.max.ms", LONG, 1_000, "L"),
    ("request.timeout.ms", INT, 30_000, "M"),
    ("socket.connection.setup.timeout.ms", LONG, 10_000, "M"),
    ("socket.connection.setup.timeout.max.ms", LONG, 30_000, "M"),
    ("connections.max.idle.ms", LONG, 540_000, "M"),
    ("metrics.sample.window.ms", LONG, 30_000, "L"),
    ("metrics.num.samples", INT, 2, "L"),
    ("metrics.recording.level", STRING, "INFO", "L"),
    ("metric.reporters", LIST, ["org.apache.kafka.common.metrics.JmxReporter"], "L"),
    ("enable.metrics.push", BOOLEAN, True, "L"),
    ("metadata.recovery.strategy", STRING, "rebootstrap", "L"),
    ("metadata.recovery.rebootstrap.trigger.ms", LONG, 300_000, "L"),
    ("security.providers", STRING, None, "L"),
)
PRODUCER: tuple[Row, ...] = (
    ("buffer.memory", LONG, 33_554_432, "H"),
    ("retries", INT, 2_147_483_647, "H"),
    ("acks", STRING, "all", "L"),
    ("compression.type", STRING, "none", "H"),
    ("compression.gzip.level", INT, -1, "M"),
    ("compression.lz4.level", INT, 9, "M"),
    ("compression.zstd.level", INT, 3, "M"),
    ("batch.size", INT, 16_384, "M"),
    ("partitioner.adaptive.partitioning.enable", BOOLEAN, True, "L"),
    ("partitioner.availability.timeout.ms", LONG, 0, "L"),
    ("partitioner.ignore.keys", BOOLEAN, False, "M"),
    ("partitioner.class", CLASS, None, "M"),
    ("linger.ms", LONG, 5, "M"),
    ("delivery.timeout.ms", INT, 120_000, "M"),
    ("max.request.size", INT, 1_048_576, "M"),
    ("max.block.ms", LONG, 60_000, "M"),
    ("max.in.flight.requests.per.connection", INT, 5, "L"),
    ("metadata.max.idle.ms", LONG, 300_000, "L"),
    ("enable.idempotence", BOOLEAN, True, "L"),
    ("transaction.timeout.ms", INT, 60_000, "L"),
    ("transactional.id", STRING, None, "L"),
    ("interceptor.classes", LIST, [], "L"),
)
CONSUMER: tuple[Row, ...] = (
    ("group.id", STRING, None, "H"),
    ("group.instance.id", STRING, None, "M"),
    ("group.protocol", STRING, "classic", "H"),
    ("session.timeout.ms", INT, 45_000, "H"),
    ("heartbeat.interval.ms", INT, 3_000, "H"),
    ("partition.assignment.strategy", LIST, ["org.apache.kafka.clients.consumer.RangeAssignor"], "M"),
    ("enable.auto.commit", BOOLEAN, True, "M"),
    ("auto.commit.interval.ms", INT, 5_000, "L"),
    ("client.rack", STRING, "", "L"),
    ("max.partition.fetch.bytes", INT, 1_048_576, "H"),
    ("fetch.min.bytes", INT, 1, "H"),
    ("fetch.max.bytes", INT, 52_428_800, "M"),
    ("fetch.max.wait.ms", INT, 500, "L"),
    ("auto.offset.reset", STRING, "latest", "M"),
    ("check.crcs", BOOLEAN, True, "L"),
    ("default.api.timeout.ms", INT, 60_000, "M"),
    ("max.poll.records", INT, 500, "M"),
    ("max.poll.interval.ms", INT, 300_000, "M"),
    ("exclude.internal.topics", BOOLEAN, True, "M"),
    ("isolation.level", STRING, "read_uncommitted", "M"),
    ("allow.auto.create.topics", BOOLEAN, True, "M"),
    ("interceptor.classes", LIST, [], "L"),
)
ADMIN: tuple[Row, ...] = (
    ("bootstrap.controllers", LIST, [], "H"),
    ("default.api.timeout.ms", INT, 60_000, "M"),
    ("retries", INT, 2_147_483_647, "L"),
)
WORDS: Mapping[str, tuple[str, ...]] = {
    "acks": ("all", "-1", "0", "1"),
    "compression.type": ("none", "gzip", "snappy", "lz4", "zstd"),
    "group.protocol": ("classic", "consumer"),
    "isolation.level": ("read_committed", "read_uncommitted"),
    "metadata.recovery.strategy": ("none", "rebootstrap"),
    "security.protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
}
"""Settings that are one of few words, in any case."""
OWN: Mapping[Client, tuple[Row, ...]] = {"producer": PRODUCER, "consumer": CONSUMER, "admin": ADMIN}


def client_definitions(client: Client) -> Sequence[Definition]:
    """Give the settings of one client, without prefix: its own, those of every client, TLS and login."""
    rows = {row[0]: row for row in (*EVERY, *OWN[client])}
    own = [
        Definition(
            name=name,
            type=kind,
            default=default,
            importance=LEVELS[level],
            documentation=f"Setting {name} of Kafka's {client}.",
        )
        for name, kind, default, level in rows.values()
    ]
    return (*own, *LoginConfig.definitions(), *TlsConfig.definitions())


def of_worker(client: Client, worker: Settings) -> dict[str, str]:
    """Give what a worker's own settings say for one client, without prefix. `admin.listeners` is of the REST API."""
    prefix = f"{client}."
    return {
        name.removeprefix(prefix): text
        for name, text in worker.items()
        if text is not None and name.startswith(prefix) and not name.startswith("admin.listeners")
    }


def overrides(client: Client, settings: Settings) -> dict[str, str]:
    """Give what a connector overrides for one client, without prefix; null values are left out."""
    prefix = f"{client}.override."
    return {
        name.removeprefix(prefix): text
        for name, text in settings.items()
        if text is not None and name.startswith(prefix) and name != prefix
    }


def offset_reset(text: str) -> Literal["earliest", "latest", "none"]:
    """What `auto.offset.reset` says. Raises ConfigError for what neither librdkafka nor the embedded log has."""
    match text.strip().lower():
        case "earliest" | "latest" | "none" as known:
            return known
    instead = ", as there is no by_duration here" if text.lower().startswith("by_duration") else ""
    problem = f"auto.offset.reset is {text!r}; expected earliest, latest or none{instead}"
    raise ConfigError({"auto.offset.reset": problem})


NOWHERE = (
    "auto.offset.reset is none, so that nothing is passed over or read twice in silence: set "
    "consumer.override.auto.offset.reset to earliest or latest, or move the connector's position "
    "(PATCH /connectors/NAME/offsets)"
)
"""What there is to do where a position is missing, or outside the log, and nothing says where to go on."""


def group_of(name: str, connector: Settings, worker: Settings) -> str:
    """The group of a sink: its own choice, else the worker's, else `connect-<name>`, which is Connect's."""
    chosen = connector.get("consumer.override.group.id", worker.get("consumer.group.id"))
    return (chosen or "").strip() or f"connect-{name}"


def check_types(client: Client, settings: Settings) -> None:
    """Raise ConfigError for the first override whose text is not of its type, in Java's words."""
    types = {one.name: one.type for one in client_definitions(client)}
    for name, text in overrides(client, settings).items():
        if name in types:
            parse_value(name, text, types[name])


def validated_clients(kind: Literal["source", "sink"], settings: Settings, own_offsets: bool) -> list[Client]:
    """Say for which clients overrides are validated: those that the connector's tasks will have.

    own_offsets: whether a source's tasks read offsets with a consumer: exactly-once is on, or, in distributed mode,
                 `offsets.storage.topic` is given.
    """
    if kind == "sink":
        dead = bool((settings.get("errors.deadletterqueue.topic.name") or "").strip())
        return ["producer", "consumer", "admin"] if dead else ["consumer"]
    creates = any(name.startswith("topic.creation.") for name in settings)
    found: list[Client] = ["producer"]
    if own_offsets:
        found.append("consumer")
    if own_offsets or creates:
        found.append("admin")
    return found
