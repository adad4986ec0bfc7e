"""What can be asked of a herder: one frozen dataclass a request. What its future gives stands in each docstring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millstream.identity import TargetState, TaskId

Config = Mapping[str, str | None]
Place = Mapping[str, Any]
Offsets = Sequence[tuple[Place | None, Place | None]]
"""Pairs of partition and offset; an offset of None is forgotten."""

INITIAL_STATES = {"RUNNING": TargetState.STARTED, "PAUSED": TargetState.PAUSED, "STOPPED": TargetState.STOPPED}
"""What a creation may ask for (KIP-980)."""


@dataclass(frozen=True, slots=True)
class Ping:
    """None, once the herder's thread has come round."""


@dataclass(frozen=True, slots=True)
class CreateConnector:
    """ConnectorView of the new connector, with the tasks already made. ConflictError if it exists, ConfigError if its
    settings are wrong.

    initial_offsets: set before it starts, as AlterOffsets does (KIP-995).
    """

    name: str
    config: Config
    initial_state: TargetState | None = None
    initial_offsets: Offsets | None = None


@dataclass(frozen=True, slots=True)
class PutConfig:
    """(created, ConnectorView)."""

    name: str
    config: Config


@dataclass(frozen=True, slots=True)
class PatchConfig:
    """ConnectorView. A key with None is removed. NotFoundError."""

    name: str
    patch: Config


@dataclass(frozen=True, slots=True)
class DeleteConnector:
    """None. Offsets stay. NotFoundError."""

    name: str


@dataclass(frozen=True, slots=True)
class SetTarget:
    """None; for STOPPED once the tasks are gone. NotFoundError."""

    name: str
    target: TargetState


@dataclass(frozen=True, slots=True)
class RestartConnector:
    """None once the connector instance alone has been started again; with a flag, StateView in which everything that
    will be restarted is RESTARTING, at once. NotFoundError."""

    name: str
    include_tasks: bool = False
    only_failed: bool = False
    planned: bool = False


@dataclass(frozen=True, slots=True)
class RestartTask:
    """None once it was asked to start. NotFoundError."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class ConnectorOffsets:
    """List of (partition, offset) pairs as plain dicts. NotFoundError."""

    name: str


@dataclass(frozen=True, slots=True)
class AlterOffsets:
    """The sentence that says what was done. OffsetsError for a body that cannot be meant, StoppedNeededError."""

    name: str
    offsets: Offsets


@dataclass(frozen=True, slots=True)
class ResetOffsets:
    """As AlterOffsets, for all there are."""

    name: str


@dataclass(frozen=True, slots=True)
class ResetTopics:
    """None."""

    name: str


@dataclass(frozen=True, slots=True)
class Validate:
    """What REST answers (ConfigInfos), JSON-clean.

    ConfigError without `connector.class`, PluginError for an unknown one.
    """

    config: Config


@dataclass(frozen=True, slots=True)
class PluginDefinitions:
    """The plugin's settings as REST answers them (a list of ConfigKeyInfo), JSON-clean; framework keys follow a
    connector's own. NotFoundError; KindError for a plugin of a kind that has none.

    name:    full name or alias.
    version: as `?version=`; None: the one installed.
    """

    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """All metrics as Readings: the worker's, its connectors' and its tasks'."""


@dataclass(frozen=True, slots=True)
class SetLevel:
    """The names of the loggers whose level is another now, sorted. NotFoundError for an unknown level."""

    namespace: str
    level: str


def connector_of(request: "Request") -> str | None:
    """The connector that a request is about, if there is one."""
    match request:
        case RestartTask():
            return request.task.connector
        case Validate():
            return request.config.get("name")
        case Ping() | Measure() | PluginDefinitions() | SetLevel():
            return None
    return request.name


Request = (
    Ping
    | CreateConnector
    | PutConfig
    | PatchConfig
    | DeleteConnector
    | SetTarget
    | RestartConnector
    | RestartTask
    | ConnectorOffsets
    | AlterOffsets
    | ResetOffsets
    | ResetTopics
    | Validate
    | PluginDefinitions
    | SetLevel
    | Measure
)
