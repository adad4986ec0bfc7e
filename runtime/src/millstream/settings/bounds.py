"""Numbers that Java takes and librdkafka does not: the nearest one that it takes is used, and that is said.

Sources: ConfigDef validators of Kafka 4.3; ranges in CONFIGURATION.md of librdkafka 2.16, and what its
rd_kafka_conf_finalize wants of two numbers together.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from millstream.errors import ConfigError

INT_MAX = 2_147_483_647
SESSION_MS, POLL_MS, HEARTBEAT_MS = 45_000, 300_000, 3_000
LEAST_SESSION_MS = 6_000  # group.min.session.timeout.ms of brokers where it is not set


class Bounds(NamedTuple):
    """least: what Java refuses to be below, None where it looks at nothing.   low, high: what librdkafka takes."""

    least: int | None
    low: int
    high: int


BOUNDS: Mapping[str, Bounds] = {
    "metadata.max.age.ms": Bounds(0, 0, 3_600_000),
    "reconnect.backoff.ms": Bounds(0, 0, 3_600_000),
    "reconnect.backoff.max.ms": Bounds(0, 0, 3_600_000),
    "retry.backoff.ms": Bounds(0, 1, 300_000),
    "retry.backoff.max.ms": Bounds(0, 1, 300_000),
    "request.timeout.ms": Bounds(0, 10, 300_000),
    "socket.connection.setup.timeout.ms": Bounds(None, 1_000, INT_MAX),
    "connections.max.idle.ms": Bounds(None, 0, INT_MAX),
    "metadata.recovery.rebootstrap.trigger.ms": Bounds(0, 0, INT_MAX),
    "send.buffer.bytes": Bounds(-1, -1, 100_000_000),
    "receive.buffer.bytes": Bounds(-1, -1, 100_000_000),
    "linger.ms": Bounds(0, 0, 900_000),
    "batch.size": Bounds(0, 1, INT_MAX),
    "retries": Bounds(0, 0, INT_MAX),
    "max.request.size": Bounds(0, 1_000, 1_000_000_000),
    "max.in.flight.requests.per.connection": Bounds(1, 1, 1_000_000),
    "transaction.timeout.ms": Bounds(None, 1_000, INT_MAX),
    "compression.gzip.level": Bounds(-1, -1, 9),
    "compression.lz4.level": Bounds(1, 1, 12),
    "compression.zstd.level": Bounds(None, 1, 12),
    "session.timeout.ms": Bounds(1, 1, 3_600_000),
    "heartbeat.interval.ms": Bounds(1, 1, 3_600_000),
    "max.poll.interval.ms": Bounds(1, 1, 86_400_000),
    "fetch.min.bytes": Bounds(0, 1, 100_000_000),
    "fetch.max.bytes": Bounds(0, 1_000, 2_147_483_135),
    "fetch.max.wait.ms": Bounds(0, 0, 300_000),
    "max.partition.fetch.bytes": Bounds(0, 1, 1_000_000_000),
}

LEAST: Mapping[str, int] = {
    "buffer.memory": 0,
    "max.block.ms": 0,
    "default.api.timeout.ms": 0,
    "max.poll.records": 1,
}
"""What Java refuses to be below, of numbers that librdkafka does not see."""


def bounded(java: dict[str, str], given: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Put numbers into `java` that librdkafka takes. Gives what is to be said of those in `given`, by name.

    java: Java's settings of one client, with defaults.   given: those among them that somebody has set.
    known: the client's own.   Raises ConfigError for a number that Java refuses, too.
    """
    notes: dict[str, str] = {}
    level = f"compression.{java.get('compression.type', 'none').lower()}.level"
    for name in LEAST.keys() & given.keys() & set(known):
        _at_least(name, int(given[name]), LEAST[name])
    for name in BOUNDS.keys() & java.keys() & set(known):
        number = int(java[name])
        least, low, high = BOUNDS[name]
        if name.startswith("compression.") and name != level:
            continue
        _at_least(name, number, least)
        taken = min(max(number, low), high)
        if taken != number:
            java[name] = str(taken)
            if name != "connections.max.idle.ms" or number > 0:  # else never, for both
                notes[name] = f"librdkafka takes {low} to {high}; {taken} is used"
    wait, longest = "reconnect.backoff.ms", "reconnect.backoff.max.ms"
    if int(java[longest]) < int(java[wait]):  # as Java does it: what was set counts, and the longest above all
        meant, other = (longest, wait) if longest in given else (wait, longest)
        java[other] = java[meant]
    return notes


def _at_least(name: str, number: int, least: int | None) -> None:
    if least is not None and number < least:
        raise ConfigError({name: f"{name} is {number}; expected at least {least}"})


def of_a_member(java: dict[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Times of a member of a group, as `bounded`: librdkafka wants no session longer than max.poll.interval.ms."""
    heartbeat = int(given.get("heartbeat.interval.ms", HEARTBEAT_MS))
    session = int(given.get("session.timeout.ms", SESSION_MS))
    if heartbeat >= session:
        problem = f"heartbeat.interval.ms is {heartbeat}; expected less than session.timeout.ms, which is {session}"
        if "heartbeat.interval.ms" in given:
            raise ConfigError({"heartbeat.interval.ms": problem})
        problem = f"session.timeout.ms is {session}; expected more than heartbeat.interval.ms, which is {heartbeat}"
        raise ConfigError({"session.timeout.ms": problem})
    session = int(java.get("session.timeout.ms", SESSION_MS))
    poll = int(java.get("max.poll.interval.ms", POLL_MS))
    if poll >= session:
        return {}
    shorter = min(session, max(poll, LEAST_SESSION_MS))
    longer = max(poll, shorter)
    java["session.timeout.ms"], java["max.poll.interval.ms"] = str(shorter), str(longer)
    often = min(heartbeat, max(shorter // 3, 1))
    java["heartbeat.interval.ms"] = str(often)
    notes = {}
    if "heartbeat.interval.ms" in given and often != heartbeat:
        notes["heartbeat.interval.ms"] = f"a session of {shorter} has to have three; {often} is used"
    name = "max.poll.interval.ms" if "max.poll.interval.ms" in given else "session.timeout.ms"
    said = f"librdkafka wants session.timeout.ms no longer than it; {shorter} and {longer} are used"
    if name == "session.timeout.ms":
        said = f"librdkafka wants it no longer than max.poll.interval.ms; {shorter} is used"
    return {**notes, name: said}
