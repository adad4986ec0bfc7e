"""Settings that every connector has. Source: ConnectorConfig, SourceConnectorConfig, SinkConnectorConfig, Kafka 4.3."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from millstream_api.config import (
    Config,
    ConfigType,
    Importance,
    Long,
    PluginClass,
    Short,
    Validator,
    Width,
    all_of,
    at_least,
    key,
    list_of,
    no_control_characters,
    non_empty,
    non_null,
    one_of,
    one_of_ignoring_case,
    parse_value,
    satisfies,
    valid_regex,
)
from millstream_api.errors import Problem

LOW, MEDIUM, HIGH = Importance.LOW, Importance.MEDIUM, Importance.HIGH

BOTH_TOPICS = "topics and topics.regex are mutually exclusive options, but both are set."
NO_TOPICS = "Must configure one of topics or topics.regex"
DEAD_LETTERS = "errors.deadletterqueue.topic.name"
NO_DEAD_LETTERS = (
    f"{DEAD_LETTERS} asks for a dead letter queue, which is not built yet: records would be lost; remove it, and let "
    "errors.log.enable=true and errors.log.include.messages=true tell the records that are left out"
)
VERSION = "org.apache.kafka.connect.runtime.ConnectorConfig$PluginVersionValidator"


def converter_text(interface: str) -> str:
    """Say what a converter's class must be, in Java's words."""
    return (
        f"A concrete subclass of org.apache.kafka.connect.storage.{interface},"
        " A class with a public, no-argument constructor"
    )


def _unique(what: str) -> Validator:
    def check(value: Sequence[str] | None) -> str | None:
        return "Duplicate alias provided." if value is not None and len(set(value)) != len(value) else None

    return all_of(non_null(), satisfies(check, f"unique {what}"))


def _anything(text: str) -> Validator:
    """Documents what only the installed plugins can tell; `framework.definitions` puts the judge here."""
    return satisfies(lambda _: None, text)


class ConnectorConfig(Config):
    """What sources and sinks have in common."""

    name: str = key(
        importance=HIGH,
        group="Common",
        order=1,
        width=Width.MEDIUM,
        display_name="Connector name",
        valid=no_control_characters(),
        doc="Unique name of the connector.",
    )
    connector_class: str = key(
        importance=HIGH,
        group="Common",
        order=2,
        width=Width.LONG,
        display_name="Connector class",
        doc="Class of the connector: its full name, module:Class, or a short name such as FileStreamSource.",
    )
    connector_plugin_version: str | None = key(
        None,
        group="Common",
        order=3,
        width=Width.MEDIUM,
        display_name="Connector version",
        valid=_anything(VERSION),
        doc="Version of the connector's class: exact, a range such as [4.0,5.0), or latest.",
    )
    tasks_max: int = key(
        1,
        importance=HIGH,
        group="Common",
        order=4,
        width=Width.SHORT,
        display_name="Tasks max",
        valid=at_least(1),
        doc="Most tasks that the connector may have.",
    )
    tasks_max_enforce: bool = key(
        True,
        importance=LOW,
        group="Common",
        order=5,
        width=Width.SHORT,
        display_name="Enforce tasks max",
        doc="Deprecated. Whether a connector that makes more tasks than tasks.max fails.",
    )
    key_converter: PluginClass | None = key(
        None,
        importance=LOW,
        group="Common",
        order=6,
        width=Width.SHORT,
        display_name="Key converter class",
        valid=_anything(converter_text("Converter")),
        doc="Converter of record keys; unset: the worker's.",
    )
    key_converter_plugin_version: str | None = key(
        None,
        importance=LOW,
        group="Common",
        order=7,
        width=Width.SHORT,
        display_name="Key converter version",
        valid=_anything(VERSION),
        doc="Version of the key converter: exact, a range or latest.",
    )
    value_converter: PluginClass | None = key(
        None,
        importance=LOW,
        group="Common",
        order=8,
        width=Width.SHORT,
        display_name="Value converter class",
        valid=_anything(converter_text("Converter")),
        doc="Converter of record values; unset: the worker's.",
    )
    value_converter_plugin_version: str | None = key(
        None,
        importance=LOW,
        group="Common",
        order=9,
        width=Width.SHORT,
        display_name="Value converter version",
        valid=_anything(VERSION),
        doc="Version of the value converter: exact, a range or latest.",
    )
    header_converter: PluginClass | None = key(
        None,
        importance=LOW,
        group="Common",
        order=10,
        width=Width.SHORT,
        display_name="Header converter class",
        valid=_anything(converter_text("HeaderConverter")),
        doc="Converter of record headers; unset: the worker's.",
    )
    header_converter_plugin_version: str | None = key(
        None,
        importance=LOW,
        group="Common",
        order=11,
        width=Width.SHORT,
        display_name="Header converter version",
        valid=_anything(VERSION),
        doc="Version of the header converter: exact, a range or latest.",
    )
    transforms: list[str] = key(
        [],
        importance=LOW,
        group="Transforms",
        order=12,
        width=Width.LONG,
        display_name="Transforms",
        valid=_unique("transformation aliases"),
        doc="Names of the transformations, in order; the class of each is in transforms.<name>.type.",
    )
    predicates: list[str] = key(
        [],
        importance=LOW,
        group="Predicates",
        order=13,
        width=Width.LONG,
        display_name="Predicates",
        valid=_unique("predicate aliases"),
        doc="Names of the predicates; the class of each is in predicates.<name>.type.",
    )
    config_action_reload: str = key(
        "restart",
        importance=LOW,
        group="Common",
        order=14,
        width=Width.MEDIUM,
        display_name="Reload Action",
        valid=one_of("none", "restart"),
        doc="What to do when a value from a config provider has expired.",
    )
    errors_retry_timeout: Long = key(
        0,
        group="Error Handling",
        order=1,
        width=Width.MEDIUM,
        display_name="Retry Timeout for Errors",
        doc="For how many milliseconds what failed is tried again; 0: not at all, -1: for ever.",
    )
    errors_retry_delay_max_ms: Long = key(
        60_000,
        group="Error Handling",
        order=2,
        width=Width.MEDIUM,
        display_name="Maximum Delay Between Retries for Errors",
        doc="Longest pause between two tries.",
    )
    errors_tolerance: str = key(
        "none",
        group="Error Handling",
        order=3,
        width=Width.SHORT,
        display_name="Error Tolerance",
        valid=one_of("none", "all"),
        doc="none: a record that cannot be processed fails the task; all: it is left out.",
    )
    errors_log_enable: bool = key(
        False,
        group="Error Handling",
        order=4,
        width=Width.SHORT,
        display_name="Log Errors",
        doc="Whether each error is logged.",
    )
    errors_log_include_messages: bool = key(
        False,
        group="Error Handling",
        order=5,
        width=Width.SHORT,
        display_name="Log Error Details",
        doc="Whether the log shows the record that failed.",
    )


class SourceConnectorConfig(ConnectorConfig):
    """What sources have."""

    topic_creation_groups: list[str] = key(
        [],
        importance=LOW,
        group="Topic Creation",
        order=1,
        width=Width.LONG,
        display_name="Topic Creation Groups",
        valid=_unique("topic creation groups"),
        doc="Names of groups of topics to make; what belongs to each is in topic.creation.<name>.*.",
    )
    exactly_once_support: str = key(
        "requested",
        group="Exactly Once Support",
        order=2,
        width=Width.SHORT,
        display_name="Exactly once support",
        valid=one_of_ignoring_case("required", "requested"),
        doc="required: refuse the connector when it cannot write exactly once.",
    )
    transaction_boundary: str = key(
        "poll",
        group="Exactly Once Support",
        order=3,
        width=Width.SHORT,
        display_name="Transaction Boundary",
        valid=one_of_ignoring_case("interval", "poll", "connector"),
        doc="When a transaction ends: with each poll, after an interval, or when the connector says so.",
    )
    transaction_boundary_interval_ms: Long | None = key(
        None,
        importance=LOW,
        group="Exactly Once Support",
        order=4,
        width=Width.SHORT,
        display_name="Transaction boundary interval",
        valid=satisfies(lambda v: None if v is None else at_least(0).reason(v), "[0,...]"),
        doc="Length of that interval; unset: the worker's offset.flush.interval.ms.",
    )
    offsets_storage_topic: str | None = key(
        None,
        importance=LOW,
        group="offsets.topic",
        order=1,
        width=Width.LONG,
        display_name="Offsets topic",
        valid=non_empty(),
        doc="Topic of this connector's offsets; unset: the worker's.",
    )


class SinkConnectorConfig(ConnectorConfig):
    """What sinks have."""

    topics: list[str] = key(
        [],
        importance=HIGH,
        group="Common",
        order=4,
        width=Width.LONG,
        display_name="Topics",
        valid=list_of(),
        doc="Topics to read, comma separated.",
    )
    topics_regex: str = key(
        "",
        importance=HIGH,
        group="Common",
        order=4,
        width=Width.LONG,
        display_name="Topics regex",
        valid=valid_regex(),
        doc="Regular expression; topics whose whole name matches are read.",
    )
    errors_deadletterqueue_topic_name: str = key(
        "",
        group="Error Handling",
        order=6,
        width=Width.MEDIUM,
        display_name="Dead Letter Queue Topic Name",
        doc="Topic that takes records which cannot be processed; empty: none.",
    )
    errors_deadletterqueue_topic_replication_factor: Short = key(
        3,
        group="Error Handling",
        order=7,
        width=Width.MEDIUM,
        display_name="Dead Letter Queue Topic Replication Factor",
        doc="Replicas of that topic when it is made.",
    )
    errors_deadletterqueue_context_headers_enable: bool = key(
        False,
        group="Error Handling",
        order=8,
        width=Width.MEDIUM,
        display_name="Enable Error Context Headers",
        doc="Whether headers of those records say what went wrong.",
    )

    def problems(self) -> Iterable[Problem]:
        return sink_problems(self.originals)


def sink_problems(settings: Mapping[str, str | None]) -> Iterable[Problem]:
    """Say what does not go together in a sink's settings, in the words of SinkConnectorConfig.validate."""
    topics = parse_value("topics", settings.get("topics") or "", ConfigType.LIST)
    regex = (settings.get("topics.regex") or "").strip()
    if topics and regex:
        yield Problem("topics", BOTH_TOPICS)
        yield Problem("topics.regex", BOTH_TOPICS)
    if not topics and not regex:
        yield Problem("topics", NO_TOPICS)
        yield Problem("topics.regex", NO_TOPICS)
    dead = (settings.get("errors.deadletterqueue.topic.name") or "").strip()
    if dead and dead in topics:
        yield Problem(
            "topics",
            f"The DLQ topic '{dead}' may not be included in the list of topics ('topics=[{', '.join(topics)}]')"
            " consumed by the connector",
        )
    if dead and regex and valid_regex().reason(regex) is None and re.fullmatch(regex, dead):
        yield Problem(
            "topics.regex",
            f"The DLQ topic '{dead}' may not be matched by the regex for the topics ('topics.regex={regex}') consumed"
            " by the connector",
        )


def config_of(kind: Literal["source", "sink"]) -> type[ConnectorConfig]:
    """Give the class of settings for a kind of connector."""
    return SourceConnectorConfig if kind == "source" else SinkConnectorConfig
