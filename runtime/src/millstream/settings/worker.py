"""Settings of the worker: those of Java's, and ours. Source: WorkerConfig.java, StandaloneConfig.java, Kafka 4.3."""

from collections.abc import Iterable

from millstream.settings.memory import FORMS, parse_size
from millstream.settings.rest import RestConfig
from millstream.settings.tls import HIGH, LOW, MEDIUM
from millstream_api.config import (
    Long,
    PluginClass,
    at_least,
    key,
    list_of,
    one_of,
    one_of_ignoring_case,
    satisfies,
)
from millstream_api.errors import Problem

JMX = "org.apache.kafka.common.metrics.JmxReporter"
OURS = "Millstream"


def _wrong_start(value: str | None) -> str | None:
    return None if value in (None, "template", "spawn") else "String must be one of: template, spawn"


def _wrong_limit(value: str | None) -> str | None:
    try:
        parse_size(value or "", 0)
    except ValueError as error:
        return str(error)
    return None


class WorkerConfig(RestConfig):
    """What every worker has."""

    bootstrap_servers: list[str] | None = key(
        None,
        importance=HIGH,
        valid=list_of(null=True),
        doc="Kafka brokers, host:port, comma separated; or sqlite:<path>, the embedded log. Unset: ./millstream-data/.",
    )
    client_dns_lookup: str = key(
        "use_all_dns_ips",
        importance=MEDIUM,
        valid=one_of("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
        doc="How the clients use the addresses that a broker's name resolves to.",
    )
    key_converter: PluginClass = key(importance=HIGH, doc="Converter of record keys for connectors that name none.")
    key_converter_plugin_version: str | None = key(
        None, importance=LOW, doc="Version of that converter: exact, a range such as [4.0,5.0), or latest."
    )
    value_converter: PluginClass = key(importance=HIGH, doc="Converter of record values for connectors that name none.")
    value_converter_plugin_version: str | None = key(
        None, importance=LOW, doc="Version of that converter: exact, a range such as [4.0,5.0), or latest."
    )
    task_shutdown_graceful_timeout_ms: Long = key(
        5000, importance=LOW, doc="How long all tasks together may take to stop before they are killed."
    )
    offset_flush_interval_ms: Long = key(
        60_000,
        importance=LOW,
        doc="How often tasks commit offsets; if it is not set, each second on the embedded log.",
    )
    offset_flush_timeout_ms: Long = key(5000, importance=LOW, doc="How long one commit of offsets may take.")
    plugin_path: list[str] | None = key(
        None,
        importance=LOW,
        valid=list_of(null=True),
        doc="Java's folders of plugins: accepted and not used, plugins are installed with pip.",
    )
    plugin_discovery: str = key(
        "hybrid_warn",
        importance=LOW,
        valid=one_of_ignoring_case("only_scan", "service_load", "hybrid_warn", "hybrid_fail"),
        doc="Java's way to find plugins: accepted and not used.",
    )
    metrics_sample_window_ms: Long = key(
        30_000, importance=LOW, valid=at_least(0), doc="Length of one window of rates, averages and maxima."
    )
    metrics_num_samples: int = key(
        2, importance=LOW, valid=at_least(1), doc="How many windows rates, averages and maxima are taken over."
    )
    metrics_recording_level: str = key(
        "INFO", importance=LOW, valid=one_of("INFO", "DEBUG"), doc="Which metrics are recorded."
    )
    metric_reporters: list[str] = key(
        [JMX], importance=LOW, valid=list_of(), doc="Java's metric reporters; metrics are at GET /metrics here."
    )
    header_converter: PluginClass = key(
        PluginClass("org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        importance=LOW,
        doc="Converter of record headers for connectors that name none.",
    )
    header_converter_plugin_version: str | None = key(
        None, importance=LOW, doc="Version of that converter: exact, a range such as [4.0,5.0), or latest."
    )
    config_providers: list[str] = key(
        [],
        importance=LOW,
        valid=list_of(),
        doc="Names of config providers; the class of each is in config.providers.<name>.class.",
    )
    connector_client_config_override_policy: str = key(
        "All",
        importance=MEDIUM,
        doc="Which client settings connectors may override: All, None, Principal, Allowlist or a class.",
    )
    topic_creation_enable: bool = key(
        True, importance=LOW, doc="Whether topic.creation.* of source connectors is followed."
    )
    topic_tracking_enable: bool = key(True, importance=LOW, doc="Whether the topics that connectors use are recorded.")
    topic_tracking_allow_reset: bool = key(
        True, importance=LOW, doc="Whether the record of used topics may be reset by REST."
    )
    connector_client_config_override_allowlist: list[str] = key(
        [], importance=LOW, valid=list_of(), doc="Client settings that the policy Allowlist lets connectors override."
    )
    task_isolation: str = key(
        "process",
        group=OURS,
        valid=one_of("process", "thread"),
        doc="Where plugins run: each task in a process of its own, or all in threads of the worker.",
    )
    task_start: str | None = key(
        None,
        group=OURS,
        importance=LOW,
        valid=satisfies(_wrong_start, "[template, spawn]"),
        doc="How processes come about: template (Linux: forked in milliseconds) or spawn; unset: what the system can.",
    )
    worker_memory_limit: str = key(
        "70%",
        group=OURS,
        valid=satisfies(_wrong_limit, FORMS),
        doc="What worker and tasks together may use: a share of the memory there is, or a size.",
    )
    task_memory_max_bytes: Long = key(
        0, group=OURS, importance=LOW, valid=at_least(0), doc="Memory limit of each task's process; 0: none."
    )
    connector_start_timeout_ms: Long = key(
        60_000, group=OURS, importance=LOW, valid=at_least(1), doc="How long a connector may take to start."
    )
    plugins_disabled: list[str] = key(
        [], group=OURS, importance=LOW, valid=list_of(), doc="Distributions or entry points whose plugins are not used."
    )
    log_sync: str = key(
        "normal",
        group=OURS,
        importance=LOW,
        valid=one_of("normal", "full"),
        doc="Embedded log: when commits reach the disk; normal: before the outside is told, full: each time.",
    )
    log_retention_ms: Long = key(
        604_800_000, group=OURS, valid=at_least(-1), doc="Embedded log: how long records are kept; -1: for ever."
    )
    log_retention_bytes: Long = key(
        -1, group=OURS, valid=at_least(-1), doc="Embedded log: how much is kept of each partition; -1: everything."
    )
    num_partitions: int = key(
        1, group=OURS, importance=LOW, valid=at_least(1), doc="Embedded log: partitions of a topic made on first use."
    )
    max_message_bytes: int = key(
        1_048_588, group=OURS, importance=LOW, valid=at_least(1), doc="Embedded log: largest record that is taken."
    )

    def problems(self) -> Iterable[Problem]:
        """What other settings would have to be, and what is not there."""
        reporters = [name for name in self.metric_reporters if name not in (JMX, "JmxReporter")]
        if reporters:
            yield Problem(
                "metric.reporters",
                f"{', '.join(reporters)}: Java's metric reporters cannot run here; remove the setting, metrics are at"
                " GET /metrics as Prometheus text",
            )
        if self.ssl_engine_factory_class:
            yield Problem(
                "ssl.engine.factory.class",
                f"{self.ssl_engine_factory_class!r} is a Java class and cannot run here; remove the setting and give"
                " certificates by ssl.keystore.* and ssl.truststore.*",
            )


class StandaloneConfig(WorkerConfig):
    """All settings of a worker in standalone mode."""

    offset_storage_file_filename: str | None = key(
        None,
        importance=HIGH,
        doc="File of source offsets on Kafka in standalone mode; the embedded log needs none.",
    )
