"""The herder of a worker that is alone: a cluster of one on its own log."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from millstream.broker.ports import Broker
from millstream.errors import MillstreamError, RefusedConnectorError
from millstream.herder import requests as ask
from millstream.herder.configuring import Configuring
from millstream.herder.crew import crew_of
from millstream.herder.fleet import Fleet
from millstream.herder.herder import Level, Snapshot, WorkerIdentity
from millstream.herder.leases import Leases
from millstream.herder.levels import Levels
from millstream.herder.moving import Moving
from millstream.herder.procedures import Procedure
from millstream.herder.readings import readings
from millstream.herder.restarting import Restarting
from millstream.herder.stages import AWAITING_STARTUP
from millstream.herder.stores import Stores, open_stores, open_stores_beside
from millstream.herder.tasks import Tasks
from millstream.herder.upkeep import Upkeep
from millstream.herder.validation import Validation
from millstream.inventory.inventory import Inventory
from millstream.lifecycle import Clock
from millstream.metrics.readings import Measuring
from millstream.settings.topic import OFFSETS
from millstream.storage.config_state import Event
from millstream.storage.kept_offsets import KeptOffsets
from millstream.worker.worker import ChildView, Worker

CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class StandaloneParts:
    """epoch: of this start on the log.   on_death: hears why the herder's thread ended before it was told to.

    offsets: of sources: in the topic of this name, as the children have it, or, on Kafka, kept in a file.
    """

    broker: Broker
    epoch: int
    worker: Worker
    inventory: Inventory
    identity: WorkerIdentity
    clock: Clock
    on_death: Callable[[BaseException | None], None]
    metrics_window_ms: int = 30_000
    metrics_samples: int = 2
    offsets: str | KeptOffsets = OFFSETS


class StandaloneHerder:
    """Implements `herder.Herder`."""

    def __init__(self, parts: StandaloneParts) -> None:
        self.identity = parts.identity
        self.inventory = parts.inventory
        self.ready = False
        self._parts = parts
        measuring = Measuring(parts.clock, parts.metrics_window_ms, parts.metrics_samples)
        stores = _stores(parts)
        self._crew = crew = crew_of(parts.worker, parts.inventory, stores, parts.identity.worker_id, measuring)
        self.stages = crew.stages
        self._starting = crew.stages.begin(AWAITING_STARTUP)
        self._levels = Levels(parts.worker, parts.clock)
        self._validation = Validation(crew)
        self._moving = Moving(crew)
        tasks = Tasks(crew)
        leases = Leases(crew, lambda name: self._restarting.restart(ask.RestartConnector(name)))
        fleet = Fleet(crew, tasks, leases)
        self._configuring = Configuring(crew, fleet, tasks, self._validation, self._moving)
        self._restarting = Restarting(crew, fleet, tasks)
        self._upkeep = Upkeep(parts.broker, crew)

    def start(self, given: Sequence[ask.CreateConnector] = ()) -> None:
        """Start what was configured before, then create the connectors given, one after the other.

        A connector that exists gets the new settings; its target state and offsets stay. Returns when all are created;
        raises the first refusal, which names the connector.
        """
        crew = self._crew
        state = crew.configs.snapshot()
        crew.states.adopt(state.connectors)
        crew.board.publish()
        crew.agenda.start("herder", self._parts.on_death)
        replaced = {each.name for each in given}
        for name in state.connectors:
            if name not in replaced:
                crew.agenda.post(lambda name=name: self._configuring.start_stored(name))  # type: ignore[misc]
        for each in given:
            try:
                crew.agenda.perform(self._configuring.create(each, replace=True)).result()
            except MillstreamError as error:
                raise RefusedConnectorError(each.name, error) from error
        self._upkeep.start()
        crew.stages.complete(self._starting)
        self.ready = True

    def snapshot(self) -> Snapshot:
        return self._crew.board.snapshot

    def levels(self) -> Mapping[str, Level]:
        return self._levels.all()

    def level_of(self, logger: str) -> Level | None:
        return self._levels.of(logger)

    def children(self) -> Sequence[ChildView]:
        return self._parts.worker.describe()

    def submit(self, request: ask.Request) -> "Future[Any]":
        return self._crew.agenda.perform(self._procedure(request))

    def stop(self) -> None:
        """Returns when everything is stopped, or was killed after the graceful time-out."""
        self._upkeep.stop()
        self._crew.agenda.close(CLOSE_S)
        self._parts.worker.close()
        self._crew.stores.close()

    def _procedure(self, request: ask.Request) -> Procedure:
        match request:
            case ask.CreateConnector():
                return self._configuring.create(request)
            case ask.PutConfig():
                return self._configuring.put_config(request)
            case ask.PatchConfig():
                return self._configuring.patch_config(request)
            case ask.DeleteConnector():
                return self._crew.turns.take(request.name, self._configuring.delete(request.name))
            case ask.SetTarget():
                return self._crew.turns.take(request.name, self._configuring.set_target(request))
            case ask.RestartConnector():
                return self._restarting.restart(request)
            case ask.RestartTask():
                return self._crew.turns.take(request.task.connector, self._restarting.restart_task(request.task))
            case ask.ConnectorOffsets():
                return self._moving.offsets_of(request.name)
            case ask.AlterOffsets():
                return self._crew.turns.take(request.name, self._moving.alter(request.name, request.offsets))
            case ask.ResetOffsets():
                return self._crew.turns.take(request.name, self._moving.reset(request.name))
            case ask.Validate():
                return self._validation.validate(request.config)
            case ask.PluginDefinitions():
                return self._validation.definitions(request.name, request.version)
        return self._answered(request)

    def _answered(self, request: ask.Request) -> Procedure:
        yield from ()  # nothing to wait for
        return self._at_once(request)

    def _at_once(self, request: ask.Request) -> Any:
        """What needs no child."""
        match request:
            case ask.Measure():
                return readings(self._crew.board.snapshot, self.children(), self._crew.metrics, self.inventory)
            case ask.ResetTopics():
                self._crew.states.forget_topics(request.name)
                self._crew.board.publish()
            case ask.SetLevel():
                return self._levels.set(request.namespace, request.level)
        return None


def _stores(parts: StandaloneParts) -> Stores:
    if isinstance(parts.offsets, str):
        return open_stores(parts.broker, parts.epoch, parts.clock, _already_known, parts.offsets)
    parts.worker.answer_with(parts.offsets.answer)
    return open_stores_beside(parts.broker, parts.offsets, parts.clock, _already_known)


def _already_known(event: Event) -> None:
    """The config topic is written by this herder alone: whatever it hears it did itself."""
