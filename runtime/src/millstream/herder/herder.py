"""What REST, and whoever else asks, may want of a herder, and the immutable answers."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from millstream.herder.requests import Request
from millstream.herder.stages import Stages
from millstream.identity import Status, TargetState
from millstream.inventory.inventory import Inventory
from millstream.worker.worker import ChildView

Config = Mapping[str, str | None]
"""Settings as stored: text, `${provider:path:key}` unresolved."""

Kind = Literal["source", "sink", "unknown"]


@dataclass(frozen=True, slots=True)
class ConnectorView:
    """A connector as it is configured.

    kind:   `unknown` if its class cannot be found.
    tasks:  raw settings of each task, by task id from 0.
    target: what the operator wants it to do.
    """

    name: str
    config: Config
    kind: Kind
    tasks: tuple[Config, ...] = ()
    target: TargetState = TargetState.STARTED


@dataclass(frozen=True, slots=True)
class StateView:
    """A connector's state and its tasks', by task id."""

    connector: Status
    tasks: Mapping[int, Status] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that reads are answered from, as it was at one moment.

    states:  of connectors that have a status.
    topics:  active topics by connector.
    """

    connectors: Mapping[str, ConnectorView] = field(default_factory=dict)
    states: Mapping[str, StateView] = field(default_factory=dict)
    topics: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """version: of the Kafka Connect whose behaviour this worker has: tools branch on it.
    commit:     `millstream-` and our own version.
    worker_id:  host:port of the advertised URL.
    """

    version: str
    commit: str
    kafka_cluster_id: str
    worker_id: str


@dataclass(frozen=True, slots=True)
class Level:
    """level: TRACE to OFF.   changed: ms since 1970, None: not since the start."""

    level: str
    changed: int | None = None


class Herder(Protocol):
    """Decides what runs. Any thread may call anything here; nothing here waits."""

    @property
    def identity(self) -> WorkerIdentity: ...

    @property
    def inventory(self) -> Inventory: ...

    @property
    def stages(self) -> Stages:
        """What goes on now and ended last, for an answer that does not come in time."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the connectors given at the start have been created."""
        ...

    def snapshot(self) -> Snapshot:
        """Give what is known now; what it holds never changes."""
        ...

    def submit(self, request: Request) -> "Future[Any]":
        """Have it done, in the order of submission.

        Each request's docstring says what the future gives; its error is one of `millstream.errors`.
        """
        ...

    def levels(self) -> Mapping[str, Level]:
        """Give every logger that has a level of its own, and `root`, sorted by name."""
        ...

    def level_of(self, logger: str) -> Level | None:
        """Give the level in effect for a logger; None if there is no such logger."""
        ...

    def children(self) -> Sequence[ChildView]:
        """Give what runs, with its metrics."""
        ...

    def stop(self) -> None:
        """Stop every connector and task, and end; returns when all is done or given up after the graceful time-outs."""
        ...
