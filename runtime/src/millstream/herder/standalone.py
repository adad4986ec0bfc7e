"""The herder of a worker that is alone: a cluster of one on its own log."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from millstream.broker.ports import Broker
from millstream.errors import ConfigError, ConflictError, MillstreamError, NotFoundError, WorkerError
from millstream.herder import requests as ask
from millstream.herder.fleet import Crew, Fleet
from millstream.herder.groups import group_of
from millstream.herder.herder import Config, ConnectorView, Level, Snapshot, StateView, WorkerIdentity
from millstream.herder.levels import Levels
from millstream.herder.moving import Moving
from millstream.herder.procedures import Agenda, Procedure
from millstream.herder.readings import readings
from millstream.herder.restart import announced, plan
from millstream.herder.stages import AWAITING_STARTUP, Stages
from millstream.herder.states import States
from millstream.herder.stores import Stores, open_stores
from millstream.herder.validation import Validation, refuse_invalid
from millstream.identity import State, TargetState, TaskId
from millstream.inventory.inventory import Inventory
from millstream.lifecycle import Clock, StopToken, spawn
from millstream.metrics.readings import Measuring, WorkerMetrics
from millstream.storage.config_state import Event
from millstream.storage.java_json import hash_map_order
from millstream.storage.statuses import Subject
from millstream.worker.worker import ChildView, Worker

log = logging.getLogger(__name__)

RETRY_S = 1.0
RETENTION_S = 30.0
CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class StandaloneParts:
    """epoch: of this start on the log.   on_death: hears why the herder's thread ended before it was told to."""

    broker: Broker
    epoch: int
    worker: Worker
    inventory: Inventory
    identity: WorkerIdentity
    clock: Clock
    on_death: Callable[[BaseException | None], None]
    metrics_window_ms: int = 30_000
    metrics_samples: int = 2


class StandaloneHerder:
    """Implements `herder.Herder`. Everything private runs on the herder's thread, save what is said otherwise."""

    def __init__(self, parts: StandaloneParts) -> None:
        self.identity = parts.identity
        self.inventory = parts.inventory
        self.ready = False
        self._parts = parts
        self._stages = Stages(parts.clock)
        self._stages.begin(AWAITING_STARTUP)
        self._agenda = Agenda(parts.clock)
        self._levels = Levels(parts.worker, parts.clock)
        self._validation = Validation(parts.worker, parts.inventory, self._stages)
        self._stores: Stores = open_stores(parts.broker, parts.epoch, parts.clock, self._heard)
        self._states = States(self._stores.statuses, parts.identity.worker_id, parts.clock)
        self._metrics = WorkerMetrics(Measuring(parts.clock, parts.metrics_window_ms, parts.metrics_samples))
        self._fleet = Fleet(
            Crew(
                parts.worker,
                parts.inventory,
                self._stores.configs,
                self._states,
                self._agenda,
                self._stages,
                self._metrics,
                self._publish,
            )
        )
        self._moving = Moving(self._stores, parts.worker, parts.inventory, self._stages)
        self._snapshot = Snapshot()
        self._turns: dict[str, Future[None]] = {}
        self._retaining = StopToken()

    def start(self, given: Sequence[ask.CreateConnector] = ()) -> None:
        """Start what was configured before, then create the connectors given, one after the other.

        A connector that exists gets the new settings; its target state and offsets stay. Returns when all are created;
        raises the first refusal, which names the connector.
        """
        state = self._stores.configs.snapshot()
        self._states.adopt(state.connectors)
        self._publish()
        self._agenda.start("herder", self._parts.on_death)
        replaced = {each.name for each in given}
        for name in state.connectors:
            if name not in replaced:
                self._agenda.post(lambda name=name: self._start_stored(name))  # type: ignore[misc]
        for each in given:
            self._agenda.perform(self._create(each, replace=True)).result()
        self._agenda.post(self._retry, RETRY_S)
        spawn("retention", self._retain, stop=self._retaining)
        self.ready = True

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def stage(self) -> str | None:
        return self._stages.summary()

    def levels(self) -> Mapping[str, Level]:
        return self._levels.all()

    def level_of(self, logger: str) -> Level | None:
        return self._levels.of(logger)

    def children(self) -> Sequence[ChildView]:
        return self._parts.worker.describe()

    def submit(self, request: ask.Request) -> "Future[Any]":
        return self._agenda.perform(self._procedure(request))

    def stop(self) -> None:
        """Returns when everything is stopped, or was killed after the graceful time-out."""
        self._retaining.set()
        self._agenda.close(CLOSE_S)
        self._parts.worker.close()
        self._stores.close()

    def _procedure(self, request: ask.Request) -> Procedure:
        match request:
            case ask.CreateConnector():
                return self._create(request)
            case ask.PutConfig():
                return self._put_config(request)
            case ask.PatchConfig():
                return self._patch_config(request)
            case ask.DeleteConnector():
                return self._in_turn(request.name, self._delete(request.name))
            case ask.SetTarget():
                return self._in_turn(request.name, self._set_target(request))
            case ask.RestartConnector():
                return self._restart(request)
            case ask.RestartTask():
                return self._in_turn(request.task.connector, self._restart_task(request.task))
            case ask.AlterOffsets():
                return self._in_turn(request.name, self._moving.alter(request.name, request.offsets))
            case ask.ResetOffsets():
                return self._in_turn(request.name, self._moving.reset(request.name))
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
                return readings(self._snapshot, self.children(), self._metrics)
            case ask.ConnectorOffsets():
                return self._moving.offsets_of(request.name)
            case ask.ResetTopics():
                self._states.forget_topics(request.name)
                self._publish()
            case ask.SetLevel():
                return self._levels.set(request.namespace, request.level)
        return None

    def _in_turn(self, name: str, procedure: Procedure) -> Procedure:
        """Run a procedure when no other one has the connector in its hands."""
        while name in self._turns:
            yield self._turns[name]
        turn = self._turns[name] = Future()
        try:
            return (yield from procedure)
        finally:
            del self._turns[name]
            turn.set_result(None)

    def _create(self, wish: ask.CreateConnector, replace: bool = False) -> Procedure:
        refuse_invalid((yield from self._validation.validate(wish.config)))
        if wish.initial_offsets is not None and wish.name not in self._stores.configs.snapshot().connectors:
            yield from self._moving.preset(wish.name, wish.config, wish.initial_offsets)
        settled = yield from self._in_turn(wish.name, self._write_and_start(wish, replace))
        yield settled
        return self._view_as_given(wish.name, wish.config)

    def _write_and_start(self, wish: ask.CreateConnector, replace: bool) -> Procedure:
        exists = wish.name in self._stores.configs.snapshot().connectors
        if exists and not replace:
            raise ConflictError(f"Connector {wish.name} already exists")
        if exists:
            yield from self._fleet.stop_connector(wish.name)
        words = f"writing a config for connector {wish.name} to the config topic"
        with self._stages.of(words):
            self._stores.configs.put_connector(wish.name, wish.config, None if exists else wish.initial_state)
        return self._started(wish.name)

    def _started(self, name: str) -> "Future[None]":
        settled = self._fleet.start_connector(name, self._stores.configs.snapshot())
        self._publish()
        return settled

    def _start_stored(self, name: str) -> None:
        state = self._stores.configs.snapshot()
        if state.targets.get(name) is TargetState.STOPPED:
            self._fleet.aim(name, TargetState.STOPPED, state)
            return
        self._fleet.start_connector(name, state)

    def _put_config(self, wish: ask.PutConfig) -> Procedure:
        created = wish.name not in self._stores.configs.snapshot().connectors
        view = yield from self._create(ask.CreateConnector(wish.name, wish.config), replace=True)
        return created, view

    def _patch_config(self, wish: ask.PatchConfig) -> Procedure:
        stored = self._known(wish.name, "Connector {} not found")
        merged = {**stored, **wish.patch}
        config = {name: value for name, value in merged.items() if value is not None or name not in wish.patch}
        view: ConnectorView = yield from self._create(ask.CreateConnector(wish.name, config), replace=True)
        return self._view_as_given(wish.name, hash_map_order(view.config))

    def _delete(self, name: str) -> Procedure:
        self._known(name, "Connector {} not found")
        with self._stages.of(f"removing the config for connector {name} from the config topic"):
            self._stores.configs.remove_connector(name)
        self._publish()
        tasks = self._fleet.tasks_of(name)
        yield from self._fleet.stop_connector(name)
        yield from self._fleet.stop_tasks(tasks)
        self._fleet.forget(name)
        return None

    def _set_target(self, wish: ask.SetTarget) -> Procedure:
        name, target = wish.name, wish.target
        self._known(name, "Unknown connector {}")
        configs = self._stores.configs
        if target is TargetState.STOPPED:
            state = configs.snapshot()
            if state.tasks_of(name):
                configs.put_task_configs(name, [])
            configs.put_target_state(name, target)
            yield from self._fleet.stop_tasks(self._fleet.tasks_of(name))
            for task in state.tasks_of(name):
                self._states.forget(task)
        else:
            configs.put_target_state(name, target)
        self._fleet.aim(name, target, configs.snapshot())
        self._publish()
        return None

    def _restart(self, wish: ask.RestartConnector) -> Procedure:
        if not wish.planned:
            settled = yield from self._in_turn(wish.name, self._restart_connector(wish.name))
            yield settled
            status = self._states.get(wish.name)
            if status is not None and status.state is State.FAILED:
                raise WorkerError(f"Failed to start connector: {wish.name}")
            return None
        self._known(wish.name, "Unknown connector: {}")
        state = self._states.views().get(wish.name)
        if state is None:
            raise NotFoundError(f"Status for connector {wish.name} not found")
        chosen = plan(state, wish.include_tasks, wish.only_failed)
        told: StateView = announced(state, chosen)
        restarting = self._restart_parts(wish.name, chosen.connector, [TaskId(wish.name, n) for n in chosen.tasks])
        self._agenda.perform(self._in_turn(wish.name, restarting)).add_done_callback(_log_failure)
        return told

    def _restart_connector(self, name: str) -> Procedure:
        self._known(name, "Unknown connector: {}")
        yield from self._fleet.stop_connector(name)
        return self._started(name)

    def _restart_parts(self, name: str, connector: bool, tasks: Sequence[TaskId]) -> Procedure:
        if name not in self._stores.configs.snapshot().connectors:
            return
        with self._stages.of(f"handling restart request for connector {name}"):
            if connector:
                yield from self._fleet.stop_connector(name)
            yield from self._fleet.stop_tasks(tasks)
            subjects: list[Subject] = [*([name] if connector else []), *tasks]
            for subject in subjects:
                status = self._states.get(subject)
                self._states.tell(subject, State.RESTARTING, status.version if status else None)
            state = self._stores.configs.snapshot()
            if connector:
                self._fleet.start_connector(name, state)
            for task in tasks:
                if task in state.tasks_of(name):
                    self._fleet.start_task(task, state)
        self._publish()

    def _restart_task(self, task: TaskId) -> Procedure:
        self._known(task.connector, "Unknown connector: {}")
        if task not in self._stores.configs.snapshot().tasks_of(task.connector):
            raise NotFoundError(f"Task {task} not found")
        with self._stages.of(f"restarting task {task}"):
            yield from self._fleet.stop_tasks([task])
        self._fleet.start_task(task, self._stores.configs.snapshot())
        return None

    def _known(self, name: str, sentence: str) -> Config:
        config = self._stores.configs.snapshot().connectors.get(name)
        if config is None:
            raise NotFoundError(sentence.format(name))
        return config

    def _view_as_given(self, name: str, config: Config) -> ConnectorView:
        """The connector as it is now, its settings in the order in which they were given."""
        view = self._snapshot.connectors.get(name)
        if view is None:
            raise NotFoundError(f"Connector {name} not found")
        return ConnectorView(name, config, view.kind, view.tasks, view.target)

    def _publish(self) -> None:
        """Let readers see what is so now."""
        state = self._stores.configs.snapshot()
        connectors = {
            name: ConnectorView(
                name,
                hash_map_order(config),
                self._fleet.kind_of(config),
                tuple(hash_map_order(state.tasks[task]) for task in state.tasks_of(name)),
                state.targets.get(name, TargetState.STARTED),
            )
            for name, config in state.connectors.items()
        }
        states = {name: view for name, view in self._states.views().items() if name in connectors}
        self._snapshot = Snapshot(connectors, states, self._states.topics())

    def _heard(self, event: Event) -> None:
        """The config topic is written by this herder alone: whatever it hears it did itself."""

    def _retry(self) -> None:
        try:
            self._states.retry()
        except MillstreamError as error:
            log.error("the states of connectors and tasks could not be written, and are tried again: %s", error)
        self._agenda.post(self._retry, RETRY_S)

    def _retain(self, stop: StopToken) -> None:
        """On a thread of its own: let go of what retention lets go."""
        while not stop.wait(RETENTION_S):
            sinks = [group_of(view.config) for view in self._snapshot.connectors.values() if view.kind == "sink"]
            try:
                self._parts.broker.retain(sinks)
            except MillstreamError as error:
                log.error("old records could not be removed, and are tried again: %s", error)


def _log_failure(done: "Future[Any]") -> None:
    error = done.exception()
    if isinstance(error, ConfigError | MillstreamError):
        log.error("a restart did not succeed: %s", error)
    elif error is not None:
        log.error("a restart did not succeed", exc_info=error)
