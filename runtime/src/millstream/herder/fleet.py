"""What runs: connectors and tasks are started and stopped as configs and target states say, and tell how they do."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from millstream.errors import MillstreamError, trace_of
from millstream.herder.herder import Config, Kind
from millstream.herder.procedures import Agenda, Procedure
from millstream.herder.stages import Stages
from millstream.herder.states import States
from millstream.host.channel import (
    Event,
    PluginTarget,
    Reconfigure,
    RunConnector,
    RunTask,
    StateChanged,
    TopicSeen,
)
from millstream.identity import State, TargetState, TaskId
from millstream.inventory.inventory import Inventory, Plugin
from millstream.metrics.readings import WorkerMetrics
from millstream.storage.config_state import ConfigState
from millstream.storage.configs import ConfigStore, reverse_transform, task_configs_changed
from millstream.worker.worker import Worker

log = logging.getLogger(__name__)

CLASS, TASKS_MAX = "connector.class", "tasks.max"
#: a connector that could not give its task configs is asked again after 250 ms, doubled up to a minute (§4.6)
RETRY_S, RETRY_MOST_S = 0.25, 60.0


@dataclass(slots=True, eq=False)
class Incarnation:
    """One start of a connector; what an earlier one still tells is not heard.

    settled: set once it is known how the start went: tasks are started, or it failed, or it is not to run.
    """

    plugin: Plugin
    settled: "Future[None]" = field(default_factory=Future)
    retry_s: float = RETRY_S

    def settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)


@dataclass(slots=True, eq=False)
class Start:
    """One start of a task; what an earlier one still tells is not heard.   started: it is known how it went."""

    started: bool = False


@dataclass(frozen=True, slots=True)
class Crew:
    """Whom the fleet works with. changed: called after each change that readers should see."""

    worker: Worker
    inventory: Inventory
    configs: ConfigStore
    states: States
    agenda: Agenda
    stages: Stages
    metrics: WorkerMetrics
    changed: Callable[[], None]


class Fleet:
    """Used by the herder's thread alone. No method waits; a procedure's steps are between its yields."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._connectors: dict[str, Incarnation] = {}
        self._tasks: dict[TaskId, Start] = {}

    @property
    def tasks(self) -> Sequence[TaskId]:
        return list(self._tasks)

    def start_connector(self, name: str, state: ConfigState) -> "Future[None]":
        """Start it towards its target state; the future is set when the start has come to an end, good or bad."""
        config, target = state.connectors[name], state.targets.get(name, TargetState.STARTED)
        try:
            plugin = self._crew.inventory.find_connector(config.get(CLASS) or "")
        except MillstreamError as error:
            self._connectors.pop(name, None)
            self._crew.metrics.connectors.ended(False)
            self._tell(name, State.FAILED, None, trace_of(error))
            done: Future[None] = Future()
            done.set_result(None)
            return done
        incarnation = Incarnation(plugin)
        self._connectors[name] = incarnation
        spec = RunConnector(name, target_of(plugin), config, target.value)
        agenda = self._crew.agenda
        self._crew.worker.start_connector(
            spec, lambda event: agenda.post(lambda: self._heard_connector(name, incarnation, event))
        )
        return incarnation.settled

    def stop_connector(self, name: str) -> Procedure:
        """Stop the instance; its tasks go on."""
        incarnation = self._connectors.pop(name, None)
        if incarnation is not None:
            incarnation.settle()
            with self._crew.stages.of(f"stopping connector {name}"):
                yield self._crew.worker.stop_connector(name)
            self._tell(name, State.UNASSIGNED, incarnation.plugin.reported_version)

    def stop_tasks(self, tasks: Sequence[TaskId]) -> Procedure:
        """Stop them all side by side."""
        running = [task for task in tasks if self._tasks.pop(task, None) is not None]
        if running:
            yield self._crew.worker.stop_tasks(running)

    def tasks_of(self, name: str) -> list[TaskId]:
        return [task for task in self._tasks if task.connector == name]

    def aim(self, name: str, target: TargetState, state: ConfigState) -> None:
        """Bring the connector and its tasks to another target state, without stopping them where that can be."""
        status = self._crew.states.get(name)
        failed = status is not None and status.state is State.FAILED
        if name in self._connectors and not failed:
            self._crew.worker.set_target(name, target)
            return
        if target is TargetState.STARTED and failed and name in self._connectors:
            log.warning("connector %s has failed and stays so until it is restarted", name)
            return
        if target is TargetState.STARTED:
            self.start_connector(name, state)
            return
        if name in self._connectors:
            self._crew.worker.set_target(name, target)
        if failed and target is TargetState.PAUSED:
            return
        self._connectors.pop(name, None)
        self._tell(name, State[target.value], self._version(name, state))

    def start_task(self, task: TaskId, state: ConfigState) -> None:
        config = state.connectors[task.connector]
        try:
            plugin = self._crew.inventory.find_connector(config.get(CLASS) or "")
        except MillstreamError as error:
            self._crew.metrics.tasks.ended(False)
            self._tell(task, State.FAILED, None, trace_of(error))
            return
        token = Start()
        self._tasks[task] = token
        spec = RunTask(
            task.connector,
            task.task,
            target_of(plugin),
            config,
            state.tasks.get(task, {}),
            state.targets.get(task.connector, TargetState.STARTED).value,
            len(state.tasks_of(task.connector)),
        )
        agenda = self._crew.agenda
        version = plugin.reported_version
        self._crew.worker.start_task(
            spec, lambda event: agenda.post(lambda: self._heard_task(task, token, version, event))
        )

    def forget(self, name: str) -> None:
        """The connector is deleted, and nothing of it runs any more."""
        states = self._crew.states
        view = states.views().get(name)
        for number in view.tasks if view else ():
            states.forget(TaskId(name, number))
        states.forget(name)
        states.forget_topics(name)
        self._crew.changed()

    def kind_of(self, config: Config) -> Kind:
        try:
            kind = self._crew.inventory.find_connector(config.get(CLASS) or "").kind.value
        except MillstreamError:
            return "unknown"
        return "source" if kind == "source" else "sink"

    def _heard_connector(self, name: str, incarnation: Incarnation, event: Event) -> None:
        if self._connectors.get(name) is not incarnation:
            return
        version = incarnation.plugin.reported_version
        if isinstance(event, Reconfigure):
            self._crew.agenda.perform(self._reconfigure(name, incarnation))
        elif isinstance(event, StateChanged):
            state = State[event.state]
            self._tell(name, state, version, event.trace)
            if not incarnation.settled.done() and state in (State.RUNNING, State.FAILED):
                self._crew.metrics.connectors.ended(state is State.RUNNING)
            if state is State.RUNNING:
                self._crew.agenda.perform(self._reconfigure(name, incarnation))
            else:
                incarnation.settle()

    def _heard_task(self, task: TaskId, token: Start, version: str, event: Event) -> None:
        if self._tasks.get(task) is not token:
            return
        if isinstance(event, StateChanged):
            state = State[event.state]
            if not token.started and state in (State.RUNNING, State.PAUSED, State.FAILED):
                token.started = True
                self._crew.metrics.tasks.ended(state is not State.FAILED)
            self._tell(task, state, version, event.trace)
        elif isinstance(event, TopicSeen) and self._crew.states.seen(task.connector, event.topic, task.task):
            self._crew.changed()

    def _reconfigure(self, name: str, incarnation: Incarnation) -> Procedure:
        """Ask the connector what its tasks are to do, and run them."""
        state = self._crew.configs.snapshot()
        try:
            most = int(state.connectors[name].get(TASKS_MAX) or 1)
            with self._crew.stages.of(f"generating task configs for connector {name}"):
                configs = yield self._crew.worker.task_configs(name, most)
        except (MillstreamError, ValueError) as error:
            self._task_configs_failed(name, incarnation, error)
            return
        state = self._crew.configs.snapshot()
        target = state.targets.get(name, TargetState.STARTED)
        if self._connectors.get(name) is not incarnation or target is not TargetState.STARTED:
            incarnation.settle()
            return
        incarnation.retry_s = RETRY_S
        configs = reverse_transform(state.connectors[name], configs)
        if task_configs_changed(state, name, configs, lambda settings: settings):
            yield from self.stop_tasks(self.tasks_of(name))
            if self._connectors.get(name) is not incarnation:
                return
            former = state.tasks_of(name)
            self._crew.configs.put_task_configs(name, configs)
            for task in former[len(configs) :]:
                self._crew.states.forget(task)
            state = self._crew.configs.snapshot()
        for task in state.tasks_of(name):
            if task not in self._tasks:
                self.start_task(task, state)
        self._crew.changed()
        incarnation.settle()

    def _task_configs_failed(self, name: str, incarnation: Incarnation, error: Exception) -> None:
        incarnation.settle()
        status = self._crew.states.get(name)
        current = self._connectors.get(name) is incarnation
        if not current or status is None or status.state is not State.RUNNING:
            return  # it failed for good, and has said so itself
        pause, incarnation.retry_s = incarnation.retry_s, min(2 * incarnation.retry_s, RETRY_MOST_S)
        log.error("connector %s could not give its task configs, and is asked again in %.2f s: %s", name, pause, error)
        agenda = self._crew.agenda
        agenda.post(lambda: self._ask_again(name, incarnation), pause)

    def _ask_again(self, name: str, incarnation: Incarnation) -> None:
        if self._connectors.get(name) is incarnation:
            self._crew.agenda.perform(self._reconfigure(name, incarnation))

    def _version(self, name: str, state: ConfigState) -> str | None:
        try:
            return self._crew.inventory.find_connector(state.connectors[name].get(CLASS) or "").reported_version
        except MillstreamError:
            return None

    def _tell(self, subject: str | TaskId, state: State, version: str | None, trace: str | None = None) -> None:
        self._crew.states.tell(subject, state, version, trace)
        self._crew.changed()


def target_of(plugin: Plugin) -> PluginTarget:
    """What a child needs to import the class."""
    return PluginTarget(plugin.target, plugin.name, plugin.kind.value, plugin.distribution, plugin.version)
