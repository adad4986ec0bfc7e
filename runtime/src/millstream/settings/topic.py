"""What a topic can be given, and the names of a worker's own. Source: LogConfig.java, Kafka 4.3."""

from collections.abc import Mapping
from difflib import get_close_matches
from math import inf

from millstream.errors import ConfigError
from millstream_api.config import ConfigType, parse_value

BOOLEAN, DOUBLE, INT, LONG = ConfigType.BOOLEAN, ConfigType.DOUBLE, ConfigType.INT, ConfigType.LONG

PARSED: Mapping[str, tuple[ConfigType, float, float]] = {
    "compression.lz4.level": (INT, 1, 17),
    "compression.zstd.level": (INT, -131_072, 22),
    "delete.retention.ms": (LONG, 0, inf),
    "file.delete.delay.ms": (LONG, 0, inf),
    "flush.messages": (LONG, 1, inf),
    "flush.ms": (LONG, 0, inf),
    "index.interval.bytes": (INT, 0, inf),
    "local.retention.bytes": (LONG, -2, inf),
    "local.retention.ms": (LONG, -2, inf),
    "max.compaction.lag.ms": (LONG, 1, inf),
    "max.message.bytes": (INT, 0, inf),
    "message.timestamp.after.max.ms": (LONG, 0, inf),
    "message.timestamp.before.max.ms": (LONG, 0, inf),
    "min.cleanable.dirty.ratio": (DOUBLE, 0, 1),
    "min.compaction.lag.ms": (LONG, 0, inf),
    "min.insync.replicas": (INT, 1, inf),
    "preallocate": (BOOLEAN, 0, 1),
    "remote.log.copy.disable": (BOOLEAN, 0, 1),
    "remote.log.delete.on.disable": (BOOLEAN, 0, 1),
    "remote.storage.enable": (BOOLEAN, 0, 1),
    "retention.bytes": (LONG, -inf, inf),
    "retention.ms": (LONG, -1, inf),
    "segment.bytes": (INT, 1 << 20, inf),
    "segment.index.bytes": (INT, 4, inf),
    "segment.jitter.ms": (LONG, 0, inf),
    "segment.ms": (LONG, 1, inf),
    "unclean.leader.election.enable": (BOOLEAN, 0, 1),
}
"""With the least and the most that brokers take."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "compression.gzip.level": ("-1", *"123456789"),
    "compression.type": ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
    "message.timestamp.type": ("CreateTime", "LogAppendTime"),
}
OTHERS = (
    *("cleanup.policy", "follower.replication.throttled.replicas", "leader.replication.throttled.replicas"),
    *("message.downconversion.enable", "message.format.version", "message.timestamp.difference.max.ms"),  # before 4.0
)

OFFSETS_SETTING, OFFSETS = "offset.storage.topic", "connect-offsets"
CONFIGS, STATUSES = "connect-configs", "connect-status"
"""Where a standalone worker on the embedded log keeps connectors and their states."""


def offset_topic(worker: Mapping[str, str | None]) -> str:
    """The topic that a worker with these settings keeps source offsets in; standalone workers need not name one."""
    return (worker.get(OFFSETS_SETTING) or "").strip() or OFFSETS


def wrong_config(config: Mapping[str, str]) -> dict[str, str]:
    """What brokers refuse of a topic's settings, by name; names that nobody knows are not among it."""
    return {name: problem for name, text in config.items() if (problem := _wrong(name, text))}


def unknown_config(config: Mapping[str, str]) -> dict[str, str]:
    """The settings that no topic of Kafka has, which are those of another vendor, or misspelt: the nearest, or ""."""
    known = (*PARSED, *WORDS, *OTHERS)
    return {name: "".join(get_close_matches(name, known, 1, 0.75)) for name in config if name not in known}


def _wrong(name: str, text: str) -> str:
    if name in WORDS and text.strip() not in WORDS[name]:
        return f"{name} is {text!r}; expected one of {', '.join(WORDS[name])}"
    if name not in PARSED:
        return ""
    kind, least, most = PARSED[name]
    try:
        value = parse_value(name, text, kind)
    except ConfigError as error:
        return str(error)
    if least <= value <= most:
        return ""
    return f"{name} is {text}; expected {f'at least {least}' if value < least else f'at most {most}'}"
