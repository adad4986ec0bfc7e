"""Java's settings of Kafka clients, into librdkafka's: one table, in which each of Java's keys has a row.

A key is the same, has another name, is the worker's own business, or has no equal; of the last kind, and of keys that
neither knows, it is said what happens instead. Nothing is dropped in silence: `tests` walk all of Java's keys.
Sources: ProducerConfig, ConsumerConfig, AdminClientConfig of Kafka 4.3; CONFIGURATION.md of librdkafka 2.16.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from millstream.errors import ConfigError
from millstream.settings.bounds import INT_MAX, bounded, of_a_member
from millstream.settings.certificates import tls_settings
from millstream.settings.client import WORDS, Client, client_definitions, offset_reset
from millstream.settings.jaas import login_settings
from millstream_api.config import ConfigType, parse_value

#: librdkafka's own; Java's 16,384 costs it a third of its throughput, and linger.ms bounds the wait either way
BATCH_SIZE = 1_000_000

SAME = frozenset(
    {
        *("bootstrap.servers", "client.id", "client.dns.lookup", "reconnect.backoff.ms", "reconnect.backoff.max.ms"),
        *("retry.backoff.ms", "retry.backoff.max.ms", "connections.max.idle.ms", "socket.connection.setup.timeout.ms"),
        *("metadata.recovery.strategy", "metadata.recovery.rebootstrap.trigger.ms", "enable.metrics.push"),
        *("security.protocol", "acks", "retries", "linger.ms", "batch.size", "enable.idempotence"),
        *("transaction.timeout.ms", "max.in.flight.requests.per.connection", "group.id", "group.instance.id"),
        *("group.protocol", "group.remote.assignor", "session.timeout.ms", "heartbeat.interval.ms", "client.rack"),
        *("max.partition.fetch.bytes", "fetch.min.bytes", "fetch.max.bytes", "check.crcs", "max.poll.interval.ms"),
        *("isolation.level", "allow.auto.create.topics"),
    }
)
RENAMED: Mapping[str, str] = {
    "max.request.size": "message.max.bytes",
    "compression.type": "compression.codec",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "send.buffer.bytes": "socket.send.buffer.bytes",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "metadata.max.age.ms": "topic.metadata.refresh.interval.ms",
    "request.timeout.ms": "socket.timeout.ms",
    "delivery.timeout.ms": "message.timeout.ms",
    "auto.offset.reset": "auto.offset.reset",
    "partition.assignment.strategy": "partition.assignment.strategy",
}
"""Another name, or values of another form."""
OWN: Mapping[str, str] = {
    "buffer.memory": "how much is out at most",
    "max.poll.records": "rows a put at most",
    "default.api.timeout.ms": "how long a first connection or a question to the brokers may take",
    "partitioner.ignore.keys": "whether keys choose partitions",
    "exclude.internal.topics": "whether topics.regex sees internal topics",
    "transactional.id": "made by the worker",
    "max.block.ms": "how long a topic that is not there is waited for; brokers that are away are waited for for ever",
}
"""Read or given by the worker itself."""
TLS = frozenset(
    {
        *("ssl.truststore.location", "ssl.truststore.type", "ssl.truststore.certificates", "ssl.keystore.location"),
        *("ssl.keystore.type", "ssl.keystore.password", "ssl.keystore.key", "ssl.keystore.certificate.chain"),
        *("ssl.key.password", "ssl.endpoint.identification.algorithm", "ssl.cipher.suites", "ssl.truststore.password"),
    }
)
TOKEN: Mapping[str, str] = {
    "sasl.oauthbearer.token.endpoint.url": "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.scope": "sasl.oauthbearer.scope",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.algorithm": "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud": "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds": "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss": "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include": "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds": "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub": "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file": "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.private.key.file": "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase": "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.template.file": "sasl.oauthbearer.assertion.jwt.template.file",
}
LOGIN = frozenset(
    {
        "sasl.mechanism",
        "sasl.jaas.config",
        "sasl.kerberos.service.name",
        "sasl.kerberos.min.time.before.relogin",
        *TOKEN,
    }
)
JVM = "it is for a JVM, and changes nothing here"
METRICS = "metrics are at GET /metrics of the worker"
TOKENS = "librdkafka renews tokens and tickets in its own time"
BYTES = "keys and values are bytes; key.converter and value.converter say what they mean"
UNUSED: Mapping[str, str] = {
    "socket.connection.setup.timeout.max.ms": "socket.connection.setup.timeout.ms is the limit of every attempt",
    "metadata.max.idle.ms": "what is known of a topic is kept for three times metadata.max.age.ms",
    "metric.reporters": METRICS,
    "metrics.num.samples": METRICS,
    "metrics.recording.level": METRICS,
    "metrics.sample.window.ms": METRICS,
    "security.providers": JVM,
    "config.providers": "variables are replaced by the worker's config.providers",
    "interceptor.classes": "Java's interceptors cannot run here; records go by without them",
    "key.serializer": BYTES,
    "value.serializer": BYTES,
    "key.deserializer": BYTES,
    "value.deserializer": BYTES,
    "partitioner.class": "keys choose partitions by Java's default hash, rows without keys go batch by batch",
    "partitioner.adaptive.partitioning.enable": "batches without keys take the partitions in turn",
    "partitioner.availability.timeout.ms": "batches without keys take the partitions in turn",
    "transaction.two.phase.commit.enable": "transactions are committed in one phase",
    "enable.auto.commit": "the worker commits what a task has taken in, never before",
    "auto.commit.interval.ms": "the worker's offset.flush.interval.ms says how often",
    "internal.throw.on.fetch.stable.offset.unsupported": JVM,
    "share.acknowledgement.mode": "share groups are not used",
    "share.acquire.mode": "share groups are not used",
    "bootstrap.controllers": "bootstrap.servers is asked",
    "ssl.protocol": "OpenSSL takes the highest TLS version that both sides have",
    "ssl.enabled.protocols": "OpenSSL takes the highest TLS version that both sides have",
    "ssl.provider": JVM,
    "ssl.keymanager.algorithm": JVM,
    "ssl.trustmanager.algorithm": JVM,
    "ssl.secure.random.implementation": JVM,
    "ssl.engine.factory.class": "a Java class cannot run here; ssl.keystore.* and ssl.truststore.* are used",
    "sasl.client.callback.handler.class": "a Java class cannot run here; sasl.jaas.config is used",
    "sasl.login.callback.handler.class": "a Java class cannot run here; sasl.jaas.config is used",
    "sasl.login.class": "a Java class cannot run here; sasl.jaas.config is used",
    "sasl.kerberos.kinit.cmd": "kinit is looked for in PATH",
    "sasl.kerberos.ticket.renew.jitter": TOKENS,
    "sasl.kerberos.ticket.renew.window.factor": TOKENS,
    "sasl.login.connect.timeout.ms": TOKENS,
    "sasl.login.read.timeout.ms": TOKENS,
    "sasl.login.refresh.buffer.seconds": TOKENS,
    "sasl.login.refresh.min.period.seconds": TOKENS,
    "sasl.login.refresh.window.factor": TOKENS,
    "sasl.login.refresh.window.jitter": TOKENS,
    "sasl.login.retry.backoff.max.ms": TOKENS,
    "sasl.login.retry.backoff.ms": TOKENS,
    "sasl.oauthbearer.jwt.retriever.class": "librdkafka gets the token from sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.jwt.validator.class": "the broker checks the token",
    "sasl.oauthbearer.scope.claim.name": "the broker checks the token",
    "sasl.oauthbearer.sub.claim.name": "the broker checks the token",
    "sasl.oauthbearer.jwks.endpoint.url": "the broker checks the token",
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": "the broker checks the token",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": "the broker checks the token",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": "the broker checks the token",
    "sasl.oauthbearer.clock.skew.seconds": "the broker checks the token",
    "sasl.oauthbearer.expected.audience": "the broker checks the token",
    "sasl.oauthbearer.expected.issuer": "the broker checks the token",
    "sasl.oauthbearer.header.urlencode": "id and secret are sent as they are",
}
"""No equal, and what happens instead."""
BY_CODEC: Mapping[str, str] = {f"compression.{codec}.level": codec for codec in ("gzip", "lz4", "zstd")}
STRATEGIES = {
    "RangeAssignor": "range",
    "RoundRobinAssignor": "roundrobin",
    "CooperativeStickyAssignor": "cooperative-sticky",
}

EVERY: Mapping[str, str] = {
    "metadata.max.age.ms": "300000",
    "reconnect.backoff.ms": "50",
    "reconnect.backoff.max.ms": "1000",
    "retry.backoff.ms": "100",
    "retry.backoff.max.ms": "1000",
    "request.timeout.ms": "30000",
    "connections.max.idle.ms": "540000",
    "socket.connection.setup.timeout.ms": "10000",
}
DEFAULTS: Mapping[Client, Mapping[str, str]] = {
    "producer": {
        **EVERY,
        "acks": "all",
        "linger.ms": "5",
        "max.request.size": "1048576",
        "delivery.timeout.ms": str(INT_MAX),  # Connect's
    },
    "consumer": {
        **EVERY,
        "auto.offset.reset": "earliest",  # Connect's
        "isolation.level": "read_uncommitted",
        "check.crcs": "true",
        "allow.auto.create.topics": "true",
        "partition.assignment.strategy": "RangeAssignor",
    },
    "admin": {**EVERY, "connections.max.idle.ms": "300000", "enable.metrics.push": "false"},
}
"""Java's defaults, and Connect's, where librdkafka's are others."""


@dataclass(slots=True)
class Translation:
    """settings: librdkafka's.   notes: Java's keys that are not followed, and what happens instead."""

    settings: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def translate(client: Client, given: Mapping[str, str]) -> Translation:
    """Give librdkafka's settings for a client with Java's settings `given`, and what is to be said of them.

    Raises ConfigError with what cannot be meant, under Java's names.
    """
    given = trimmed(given)
    java, notes = sound(client, given)
    found = Translation(notes=notes)
    protocol = java.get("security.protocol", "PLAINTEXT").upper()
    for name, text in java.items():
        if name in SAME:
            found.settings[name] = text
        elif name in RENAMED:
            _rename(client, name, text, found)
        elif name in BY_CODEC:
            _level(name, text, java, found)
        elif name in UNUSED:
            found.notes[name] = UNUSED[name]
        elif is_unknown(name):
            found.notes[name] = f"Kafka's {client} has no such setting; it is not used{meant(client, name)}"
    _secure(protocol, java, found)
    if client == "producer":
        _promise(given, found)
    elif client == "consumer":
        _fetching(found.settings)
    return found


def trimmed(given: Mapping[str, str]) -> dict[str, str]:
    """Settings without blanks around them, as Java reads them."""
    return {name: text.strip() if name != "sasl.jaas.config" else text for name, text in given.items()}


def sound(client: Client, given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Give a client's settings with the defaults, numbers as librdkafka takes them, and what is to be said of those.

    given: trimmed.   Raises ConfigError for what Kafka's clients refuse, but for stores and logins, under Java's names.
    """
    types = {one.name: one.type for one in client_definitions(client)}
    for name, text in given.items():
        if types.get(name, ConfigType.STRING) in (ConfigType.INT, ConfigType.LONG, ConfigType.BOOLEAN):
            parse_value(name, text, types[name])
        if name in types and name in WORDS and text.lower() not in map(str.lower, WORDS[name]):
            *words, last = WORDS[name]
            raise ConfigError({name: f"{name} is {text!r}; expected {', '.join(words)} or {last}"})
    java = {**DEFAULTS[client], **given}
    notes = bounded(java, given, types.keys())
    if client == "consumer" and java.get("group.protocol", "classic").lower() == "classic":
        notes.update(of_a_member(java, given))
    if client == "consumer":
        offset_reset(java["auto.offset.reset"])
    elif client == "producer":
        _in_time(java)
        _is_idempotent(given)
    return java, notes


def is_unknown(name: str) -> bool:
    """Whether no client of Kafka has such a setting."""
    return not any(name in known for known in (SAME, RENAMED, BY_CODEC, UNUSED, OWN, TLS, LOGIN))


def meant(client: str, name: str) -> str:
    """`producer.override.acks` is of a connector; the worker's own is `producer.acks`."""
    own = name.removeprefix("override.")
    return "" if own == name else f" (in a worker's file it is {client}.{own})"


def _rename(client: Client, name: str, text: str, found: Translation) -> None:
    settings = found.settings
    match name:
        case "delivery.timeout.ms":
            settings[RENAMED[name]] = "0" if int(text) == INT_MAX else text
        case "metadata.max.age.ms":
            settings[RENAMED[name]] = text
            settings[name] = str(min(3 * max(int(text), 1), 86_400_000))
        case "request.timeout.ms":
            settings[RENAMED[name]] = text
            if client == "producer":
                settings[name] = text
        case "send.buffer.bytes" | "receive.buffer.bytes":
            settings[RENAMED[name]] = "0" if text == "-1" else text
        case "auto.offset.reset":
            reset = offset_reset(text)
            settings[name] = "error" if reset == "none" else reset
        case "partition.assignment.strategy":
            settings[name] = _strategies(text, found)
        case _:
            settings[RENAMED[name]] = text


def _strategies(text: str, found: Translation) -> str:
    """Eager and cooperative ones cannot be mixed; of a mixed list Java's classic protocol takes the eager ones, too."""
    names = [part.strip().removeprefix("class ").rpartition(".")[2] for part in text.split(",") if part.strip()]
    known = [STRATEGIES[name] for name in names if name in STRATEGIES]
    eager = [name for name in known if name != "cooperative-sticky"]
    strange = [name for name in names if name not in STRATEGIES]
    if strange:
        instead = ",".join(eager or known) or "range"
        found.notes["partition.assignment.strategy"] = f"{', '.join(strange)} is not there; partitions go by {instead}"
    return ",".join(eager or known) or "range"


def _level(name: str, text: str, java: Mapping[str, str], found: Translation) -> None:
    if java.get("compression.type", "none").lower() == BY_CODEC[name]:
        found.settings["compression.level"] = text


def _secure(protocol: str, java: Mapping[str, str], found: Translation) -> None:
    found.settings["security.protocol"] = protocol
    if protocol.endswith("SSL"):
        found.settings.update(tls_settings(java))
    if not protocol.startswith("SASL"):
        return
    mechanism = java.get("sasl.mechanism", "GSSAPI").upper()
    found.settings["sasl.mechanism"] = mechanism
    if mechanism == "OAUTHBEARER":
        found.settings["sasl.oauthbearer.method"] = "oidc"
        if "sasl.oauthbearer.assertion.private.key.file" in java or "sasl.oauthbearer.assertion.file" in java:
            found.settings["sasl.oauthbearer.grant.type"] = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        found.settings.update({TOKEN[name]: text for name, text in java.items() if name in TOKEN})
        if not java.get("sasl.jaas.config"):
            return
    if mechanism == "GSSAPI":
        for name in ("sasl.kerberos.service.name", "sasl.kerberos.min.time.before.relogin"):
            if name in java:
                found.settings[name] = java[name]
    found.settings.update(login_settings(java.get("sasl.jaas.config")))


def _in_time(java: Mapping[str, str]) -> None:
    delivery, linger = int(java["delivery.timeout.ms"]), int(java["linger.ms"])
    if delivery <= linger:
        problem = f"delivery.timeout.ms is {delivery}; expected more than linger.ms, which is {linger}"
        raise ConfigError({"delivery.timeout.ms": problem})


def _promise(given: Mapping[str, str], found: Translation) -> None:
    """Idempotent unless the settings forbid it; then Connect's one request in flight."""
    settings = found.settings
    wanted = _is_idempotent(given)
    settings["enable.idempotence"] = str(wanted).lower()
    settings.setdefault(IN_FLIGHT, "5" if wanted else "1")
    settings.setdefault("batch.size", str(BATCH_SIZE))
    settings["partitioner"] = "murmur2_random"
    settings["queue.buffering.max.messages"] = "0"  # `buffer.memory` is kept by the producer itself
    settings["queue.buffering.max.kbytes"] = str(INT_MAX)


def _is_idempotent(given: Mapping[str, str]) -> bool:
    """As Java decides it. Raises ConfigError for what is asked for and forbidden."""
    against = _against_idempotence(given)
    wanted = given.get("enable.idempotence", str(not against)).lower() == "true"
    if wanted and against:
        raise ConfigError(against)
    return wanted


IN_FLIGHT = "max.in.flight.requests.per.connection"


def _against_idempotence(given: Mapping[str, str]) -> dict[str, str]:
    """What forbids it, by name, in Java's words. Source: ProducerConfig.postProcessAndValidateIdempotenceConfigs."""
    found = {}
    if int(given.get("retries", INT_MAX)) == 0:
        found["retries"] = "Must set retries to non-zero when using the idempotent producer."
    if given.get("acks", "all").lower() not in ("all", "-1"):
        why = "in order to use the idempotent producer. Otherwise we cannot guarantee idempotence."
        found["acks"] = f"Must set acks to all {why}"
    if int(given.get(IN_FLIGHT, 5)) > 5:
        most = f"must be set to at most 5. Current value is {given[IN_FLIGHT]}."
        found[IN_FLIGHT] = f"To use the idempotent producer, {IN_FLIGHT} {most}"
    return found


def _fetching(settings: dict[str, str]) -> None:
    # librdkafka's default leaves a partition alone for a second once its queue is full: 140,000 rows a second at most
    settings["fetch.queue.backoff.ms"] = "10"
    settings["queued.min.messages"] = "10000"
    settings["enable.auto.commit"] = settings["enable.auto.offset.store"] = "false"
    largest = int(settings.get("fetch.max.bytes", 52_428_800))
    settings["message.max.bytes"] = str(min(largest, 1_000_000))  # no more than fetch.max.bytes; of a producer alone
    settings["receive.message.max.bytes"] = str(min(max(100_000_000, largest + 512), INT_MAX))
    if settings.get("group.protocol", "classic").lower() == "consumer":
        for name in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
            settings.pop(name, None)  # the broker's business in that protocol
