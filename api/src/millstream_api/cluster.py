"""What a REST extension can ask of the cluster it runs in."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

__all__ = ["Cluster", "ConnectorHealth", "PartHealth"]


class PartHealth(NamedTuple):
    """How a connector or task does.

    state:   as REST has it: `RUNNING`, `PAUSED`, `FAILED`, …
    worker:  `host:port` of the worker that runs it.
    trace:   what it failed of; of one that is about to start, what goes on with it; else empty.
    """

    state: str
    worker: str
    trace: str = ""


class ConnectorHealth(NamedTuple):
    """How a connector and its tasks do.

    kind:       of the connector.
    connector:  its own state; RUNNING says nothing of its tasks.
    tasks:      by number, from 0.
    """

    name: str
    kind: Literal["source", "sink"]
    connector: PartHealth
    tasks: Mapping[int, PartHealth]


class Cluster(Protocol):
    """The connectors of this worker's cluster, as it knows them now. Callable from any thread; never blocks.

    Source: ConnectClusterState.java.
    """

    @property
    def kafka_cluster_id(self) -> str:
        """Names the Kafka cluster, or the embedded log: 22 characters that stay the same."""

    def connectors(self) -> Sequence[str]:
        """Give the names of all connectors, in no order."""

    def health(self, connector: str) -> ConnectorHealth:
        """Give a connector's health. Raises KeyError for an unknown name."""

    def settings(self, connector: str) -> Mapping[str, str]:
        """Give a connector's settings, variables unresolved. Raises KeyError for an unknown name."""
