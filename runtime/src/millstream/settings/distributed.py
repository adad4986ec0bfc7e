"""Settings of a worker in a group of workers. Source: DistributedConfig.java, Kafka 4.3."""

from collections.abc import Sequence

from millstream.settings.login import LoginConfig
from millstream.settings.tls import HIGH, LOW, MEDIUM
from millstream.settings.worker import WorkerConfig
from millstream_api.config import (
    Config,
    Long,
    Short,
    at_least,
    between,
    key,
    one_of_ignoring_case,
    satisfies,
)


def _positive_or_default(value: int | None) -> str | None:
    return None if value == -1 or (value is not None and value > 0) else "Value must be positive, or -1"


def _some_algorithms(value: Sequence[str] | None) -> str | None:
    return None if value else "At least one signature algorithm is needed"


POSITIVE = satisfies(_positive_or_default, "Positive number, or -1 to use the broker's default")
REPLICAS = satisfies(
    _positive_or_default,
    "Positive number not larger than the number of brokers in the Kafka cluster, or -1 to use the broker's default",
)
KEY_ALGORITHM = satisfies(lambda _: None, "Any KeyGenerator algorithm supported by the worker JVM")
MAC_ALGORITHM = satisfies(lambda _: None, "Any MAC algorithm supported by the worker JVM")
PROTOCOL = satisfies(one_of_ignoring_case("eager", "compatible", "sessioned").reason, "[eager, compatible, sessioned]")
MAC_LIST = satisfies(_some_algorithms, "A list of one or more MAC algorithms, each supported by the worker JVM")


class GroupConfig(Config):
    """What only a worker in a group has."""

    group_id: str = key(importance=HIGH, doc="Name of the group of workers; a file with it means distributed mode.")
    session_timeout_ms: int = key(
        10_000, importance=HIGH, doc="After how long without a heartbeat a worker is thought dead."
    )
    rebalance_timeout_ms: int = key(60_000, importance=HIGH, doc="How long workers may take to join a rebalance.")
    heartbeat_interval_ms: int = key(3000, importance=HIGH, doc="Time between heartbeats; below session.timeout.ms.")
    exactly_once_source_support: str = key(
        "disabled",
        importance=HIGH,
        valid=one_of_ignoring_case("disabled", "enabled", "preparing"),
        doc="Whether sources may write exactly once: disabled, preparing, enabled.",
    )
    metadata_max_age_ms: Long = key(
        300_000, importance=LOW, valid=at_least(0), doc="After how long metadata is renewed."
    )
    client_id: str = key("", importance=LOW, doc="Name of the worker's own clients.")
    send_buffer_bytes: int = key(
        131_072, importance=MEDIUM, valid=at_least(-1), doc="Size of the send buffer; -1: the system's."
    )
    receive_buffer_bytes: int = key(
        32_768, importance=MEDIUM, valid=at_least(-1), doc="Size of the receive buffer; -1: the system's."
    )
    reconnect_backoff_ms: Long = key(
        50, importance=LOW, valid=at_least(0), doc="Least time before a broker is connected to again."
    )
    reconnect_backoff_max_ms: Long = key(
        1000, importance=LOW, valid=at_least(0), doc="Most time before a broker is connected to again."
    )
    socket_connection_setup_timeout_ms: Long = key(
        10_000, importance=LOW, valid=at_least(0), doc="First limit for making a connection."
    )
    socket_connection_setup_timeout_max_ms: Long = key(
        30_000, importance=LOW, valid=at_least(0), doc="Highest limit for making a connection."
    )
    retry_backoff_ms: Long = key(
        100, importance=LOW, valid=at_least(0), doc="Least time before a request is made again."
    )
    retry_backoff_max_ms: Long = key(
        1000, importance=LOW, valid=at_least(0), doc="Most time before a request is made again."
    )
    request_timeout_ms: int = key(40_000, importance=MEDIUM, valid=at_least(0), doc="How long an answer is waited for.")
    connections_max_idle_ms: Long = key(540_000, importance=MEDIUM, doc="After how long an idle connection is closed.")
    worker_sync_timeout_ms: int = key(
        3000, importance=MEDIUM, doc="How long a worker may take to read the config topic before it leaves the group."
    )
    worker_unsync_backoff_ms: int = key(300_000, importance=MEDIUM, doc="How long it then stays away.")
    offset_storage_topic: str = key(importance=HIGH, doc="Topic of source offsets.")
    offset_storage_partitions: int = key(
        25, importance=LOW, valid=POSITIVE, doc="Partitions of that topic when it is made; -1: the broker's default."
    )
    offset_storage_replication_factor: Short = key(
        3, importance=LOW, valid=REPLICAS, doc="Replicas of that topic when it is made; -1: the broker's default."
    )
    config_storage_topic: str = key(importance=HIGH, doc="Topic of connector and task configurations.")
    config_storage_replication_factor: Short = key(
        3, importance=LOW, valid=REPLICAS, doc="Replicas of that topic when it is made; -1: the broker's default."
    )
    status_storage_topic: str = key(importance=HIGH, doc="Topic of states of connectors and tasks.")
    status_storage_partitions: int = key(
        5, importance=LOW, valid=POSITIVE, doc="Partitions of that topic when it is made; -1: the broker's default."
    )
    status_storage_replication_factor: Short = key(
        3, importance=LOW, valid=REPLICAS, doc="Replicas of that topic when it is made; -1: the broker's default."
    )
    connect_protocol: str = key(
        "sessioned",
        importance=LOW,
        valid=PROTOCOL,
        doc="How workers share work: sessioned, compatible, eager.",
    )
    scheduled_rebalance_max_delay_ms: int = key(
        300_000,
        importance=LOW,
        valid=between(0, 2147483647),
        doc="How long the work of a worker that left is held back for it.",
    )
    inter_worker_key_ttl_ms: int = key(
        3_600_000,
        importance=LOW,
        valid=between(0, 2147483647),
        doc="After how long the key that signs requests between workers is renewed.",
    )
    inter_worker_key_generation_algorithm: str = key(
        "HmacSHA256", importance=LOW, valid=KEY_ALGORITHM, doc="How that key is made."
    )
    inter_worker_key_size: int | None = key(
        None, importance=LOW, doc="Size of that key in bits; unset: the algorithm's default."
    )
    inter_worker_signature_algorithm: str = key(
        "HmacSHA256", importance=LOW, valid=MAC_ALGORITHM, doc="How requests between workers are signed."
    )
    inter_worker_verification_algorithms: list[str] = key(
        ["HmacSHA256"], importance=LOW, valid=MAC_LIST, doc="Signatures that are accepted."
    )
    metadata_recovery_strategy: str = key(
        "rebootstrap",
        importance=LOW,
        valid=one_of_ignoring_case("rebootstrap", "none"),
        doc="What to do when no known broker answers.",
    )
    metadata_recovery_rebootstrap_trigger_ms: Long = key(
        300_000,
        importance=LOW,
        valid=at_least(0),
        doc="After how long without metadata to start again from bootstrap.servers.",
    )


class DistributedConfig(WorkerConfig, LoginConfig, GroupConfig):
    """All settings of a worker in distributed mode."""
