"""What a topic can be given, and the name of the one for source offsets. Source: LogConfig.java, Kafka 4.3."""

from collections.abc import Mapping
from difflib import get_close_matches

from millstream.errors import ConfigError
from millstream_api.config import ConfigType, parse_value

BOOLEAN, DOUBLE, INT, LONG = ConfigType.BOOLEAN, ConfigType.DOUBLE, ConfigType.INT, ConfigType.LONG

PARSED: Mapping[str, tuple[ConfigType, int | None]] = {
    "delete.retention.ms": (LONG, 0),
    "file.delete.delay.ms": (LONG, 0),
    "flush.messages": (LONG, 1),
    "flush.ms": (LONG, 0),
    "index.interval.bytes": (INT, 0),
    "local.retention.bytes": (LONG, -2),
    "local.retention.ms": (LONG, -2),
    "max.compaction.lag.ms": (LONG, 1),
    "max.message.bytes": (INT, 0),
    "message.timestamp.after.max.ms": (LONG, 0),
    "message.timestamp.before.max.ms": (LONG, 0),
    "min.cleanable.dirty.ratio": (DOUBLE, 0),
    "min.compaction.lag.ms": (LONG, 0),
    "min.insync.replicas": (INT, 1),
    "preallocate": (BOOLEAN, None),
    "remote.log.copy.disable": (BOOLEAN, None),
    "remote.log.delete.on.disable": (BOOLEAN, None),
    "remote.storage.enable": (BOOLEAN, None),
    "retention.bytes": (LONG, None),
    "retention.ms": (LONG, -1),
    "segment.index.bytes": (INT, 4),
    "segment.jitter.ms": (LONG, 0),
    "segment.ms": (LONG, 1),
    "unclean.leader.election.enable": (BOOLEAN, None),
}
"""With what brokers refuse to be below; None: they look at nothing."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "compression.type": ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
    "message.timestamp.type": ("CreateTime", "LogAppendTime"),
}
OTHERS = (
    *("cleanup.policy", "compression.gzip.level", "compression.lz4.level", "compression.zstd.level", "segment.bytes"),
    *("follower.replication.throttled.replicas", "leader.replication.throttled.replicas"),
    *("message.downconversion.enable", "message.format.version", "message.timestamp.difference.max.ms"),  # before 4.0
)

OFFSETS_SETTING, OFFSETS = "offset.storage.topic", "connect-offsets"


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
    kind, least = PARSED[name]
    try:
        value = parse_value(name, text, kind)
    except ConfigError as error:
        return str(error)
    return f"{name} is {text}; expected at least {least}" if least is not None and value < least else ""
