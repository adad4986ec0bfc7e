"""What a REST extension can ask of the cluster it runs in."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

__all__ = ["Cluster", "ConnectorHealth", "PartHealth"]


class PartHealth(NamedTuple):
    """How a connector or task does.

    state:   as REST has it: `RUNNING`, `PAUSED`, `FAILED`, …
    worker:  `host:port` of the worker that runs it.
    trace:   what it failed of; of one that is about to start, what goes on with it; else empty.

    Source: ConnectorState.java, TaskState.java.
    """

    state: str
    worker: str
    trace: str = ""


class ConnectorHealth(NamedTuple):
    """How a connector and its tasks do.

    name, kind:  of the connector.
    connector:   its own state; RUNNING says nothing of its tasks.
    tasks:       by number, from 0.

    Source: ConnectorHealth.java.
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
        """Names the Kafka cluster, or the embedded log: 22 characters that stay the same.

        Source: ConnectClusterDetails.kafkaClusterId.
        """

    def connectors(self) -> Sequence[str]:
        """Give the names of all connectors, stopped and failed ones too, in no order.

        Source: ConnectClusterState.connectors.
        """

    def health(self, connector: str) -> ConnectorHealth:
        """Give the health of a connector and of its tasks. Raises KeyError for an unknown name.

        Source: ConnectClusterState.connectorHealth.
        """

    def settings(self, connector: str) -> Mapping[str, str]:
        """Give a connector's settings as they are stored, by dotted name: variables unresolved, nulls left out.

        Raises KeyError for an unknown name. Source: ConnectClusterState.connectorConfig.
        """
