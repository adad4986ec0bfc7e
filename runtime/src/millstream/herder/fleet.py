"""The connectors that run: started and stopped as configs and target states say, asked for tasks, and heard."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from millstream.errors import MillstreamError, trace_of
from millstream.herder.classes import plugin_of, target_of, version_of
from millstream.herder.crew import Crew
from millstream.herder.herder import Config
from millstream.herder.leases import Leases
from millstream.herder.procedures import Procedure
from millstream.herder.stages import Stage
from millstream.herder.states import Told
from millstream.herder.tasks import Tasks
from millstream.host.channel import Event, Lasting, Reconfigure, Resolved, RunConnector, StateChanged
from millstream.identity import State, TargetState, TaskId
from millstream.inventory.inventory import Plugin
from millstream.storage.config_state import ConfigState
from millstream.storage.configs import task_configs_changed

log = logging.getLogger(__name__)

TASKS_MAX = "tasks.max"
#: a connector that could not give its task configs is asked again after 250 ms, doubled up to a minute (§4.6)
RETRY_S, RETRY_MOST_S = 0.25, 60.0


@dataclass(slots=True, eq=False)
class Incarnation:
    """One start of a connector; what an earlier one still tells is not heard.

    starting:    goes on until `start` has returned, or failed.
    monitor:     goes on while its monitor has been in one call of the plugin for long.
    settled:     set once it is known how the start went: tasks are started, or it failed, or it is not to run.
    fingerprint: of settings that came from config providers; None: none did.
    failed:      this start of it, or what came after; a status may still tell of an earlier one.
    revives:     it was ended from outside, and nobody has taken it in hand since.
    comes_back:  it failed from outside, or for want of room when it came back, and is about to be started again.
    is_asked:    for its tasks, now.   ask_again: once that is over; however often it wishes for it meanwhile, once.
    """

    plugin: Plugin
    starting: Stage
    revives: bool = False
    settled: "Future[None]" = field(default_factory=Future)
    retry_s: float = RETRY_S
    fingerprint: str | None = None
    failed: bool = False
    comes_back: bool = False
    is_asked: bool = False
    ask_again: bool = False
    monitor: Stage | None = None

    def settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)


class Fleet:
    """Used by the herder's thread alone. No method waits; a procedure's steps are between its yields."""

    def __init__(self, crew: Crew, tasks: Tasks, leases: Leases) -> None:
        self._crew = crew
        self._tasks = tasks
        self._leases = leases
        self._applied: dict[str, str | None] = {}  # the fingerprint with which a connector's tasks were started
        self._connectors: dict[str, Incarnation] = {}

    def start_connector(self, name: str, state: ConfigState, revives: bool = False) -> "Future[None]":
        """Start it towards its target state; the future is set when the start has come to an end, good or bad."""
        config, target = state.connectors[name], state.targets.get(name, TargetState.STARTED)
        try:
            plugin = plugin_of(self._crew.inventory, config)
        except MillstreamError as error:
            self._connectors.pop(name, None)
            self._crew.metrics.connectors.ended(False)
            self._crew.tell(name, Told(State.FAILED, None, trace_of(error)))
            done: Future[None] = Future()
            done.set_result(None)
            return done
        incarnation = Incarnation(plugin, self._crew.stages.begin("starting the connector", name), revives)
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
        if incarnation is None:  # the worker may still know it: it failed, and was stopped
            yield self._crew.worker.stop_connector(name)
            return
        self._crew.stages.complete(incarnation.starting)
        self._monitor_is_back(incarnation)
        incarnation.settle()
        with self._crew.stages.of(f"stopping connector {name}", name):
            yield self._crew.worker.stop_connector(name)
        self._crew.tell(name, Told(State.UNASSIGNED, incarnation.plugin.reported_version))

    def restart_connector(self, name: str, revives: bool = False) -> Procedure:
        """The instance; its tasks go on. Gives what `start_connector` does."""
        yield from self.stop_connector(name)
        settled = self.start_connector(name, self._crew.configs.snapshot(), revives)
        self._crew.board.publish()
        return settled

    def aim(self, name: str, target: TargetState, state: ConfigState) -> None:
        """Bring the connector and its tasks to another target state, without stopping them where that can be."""
        incarnation, status = self._connectors.get(name), self._crew.states.get(name)
        failed = incarnation.failed if incarnation else status is not None and status.state is State.FAILED
        if incarnation is not None:
            self._crew.worker.set_target(name, target)
            if not failed:
                return
            if target is TargetState.STARTED and incarnation.comes_back:
                log.info("connector %s was ended from outside, and is about to be started again", name)
                return
            if target is TargetState.STARTED:
                log.warning("connector %s has failed and stays so until it is restarted; its tasks go on", name)
                return
        elif target is TargetState.STARTED:
            self.start_connector(name, state)
            return
        if failed and target is TargetState.PAUSED:
            return
        self._connectors.pop(name, None)
        version = version_of(self._crew.inventory, state.connectors[name])
        self._crew.tell(name, Told(State[target.value], version))

    def forget(self, name: str) -> None:
        """The connector is deleted, and nothing of it runs any more."""
        self._applied.pop(name, None)
        states = self._crew.states
        view = states.views().get(name)
        for number in view.tasks if view else ():
            self._tasks.forget(TaskId(name, number))
        self._crew.revivals.forget(name)
        states.forget(name)
        states.forget_topics(name)
        self._crew.board.publish()

    def _heard_connector(self, name: str, incarnation: Incarnation, event: Event) -> None:
        if self._connectors.get(name) is not incarnation:
            return
        version = incarnation.plugin.reported_version
        if isinstance(event, Resolved):
            incarnation.fingerprint = event.fingerprint
            self._leases.heard(name, event.ttls)
        elif isinstance(event, Lasting):
            self._monitor_is_back(incarnation)
            if event.seconds:
                incarnation.monitor = self._crew.stages.begin(
                    f"waiting for the monitor of connector {name}", name, lasting_s=event.seconds
                )
                incarnation.monitor = self._crew.stages.locate(incarnation.monitor, event.stack)
        elif isinstance(event, Reconfigure):
            self._ask_for_tasks(name, incarnation)
        elif isinstance(event, StateChanged):
            state = State[event.state]
            incarnation.failed = state is State.FAILED
            self._crew.stages.complete(incarnation.starting)
            self._monitor_is_back(incarnation)
            next_step = self._crew.revivals.after(
                name, event, incarnation.revives, lambda: self._again(name, incarnation)
            )
            incarnation.comes_back = next_step is not None
            self._crew.tell(name, Told(state, version, event.trace, next_step))
            if not incarnation.settled.done() and state in (State.RUNNING, State.FAILED):
                self._crew.metrics.connectors.ended(state is State.RUNNING)
            if state is State.RUNNING:
                self._ask_for_tasks(name, incarnation)
            else:
                incarnation.settle()

    def _monitor_is_back(self, incarnation: Incarnation) -> None:
        """Or it is no longer waited for."""
        if incarnation.monitor is not None:
            self._crew.stages.complete(incarnation.monitor)
            incarnation.monitor = None

    def _reconfigure(self, name: str, incarnation: Incarnation) -> Procedure:
        """Ask the connector what its tasks are to do, and have them do it."""
        try:
            config = self._crew.configs.snapshot().connectors.get(name)
            if config is None:  # it is being deleted
                incarnation.settle()
                return
            most = int(config.get(TASKS_MAX) or 1)
            with self._crew.stages.of(f"generating task configs for connector {name}", name):
                configs = yield self._crew.worker.task_configs(name, most)
            yield from self._crew.turns.take(name, self._apply(name, incarnation, configs))
        except (MillstreamError, ValueError) as error:
            self._task_configs_failed(name, incarnation, error)
        finally:
            incarnation.is_asked = False
            if incarnation.ask_again:
                incarnation.ask_again = False
                self._ask_for_tasks(name, incarnation)

    def _apply(self, name: str, incarnation: Incarnation, wanted: Sequence[Config]) -> Procedure:
        """Run the tasks that these configs are for, complete and with the connector's `${…}` as its child gave them.

        Has the connector in its hands: a stop does not come between.
        """
        state = self._crew.configs.snapshot()
        target = state.targets.get(name, TargetState.STARTED)
        if self._connectors.get(name) is not incarnation or target is not TargetState.STARTED:
            incarnation.settle()
            return
        given = self._applied.get(name, incarnation.fingerprint) == incarnation.fingerprint
        if not given or task_configs_changed(state, name, wanted, lambda settings: settings):
            yield from self._tasks.stop(self._tasks.of(name))
            former = state.tasks_of(name)
            self._crew.configs.put_task_configs(name, wanted)
            for task in former[len(wanted) :]:
                self._tasks.forget(task)
            state = self._crew.configs.snapshot()
        incarnation.retry_s = RETRY_S
        self._applied[name] = incarnation.fingerprint
        for task in state.tasks_of(name):
            if task not in self._tasks:
                self._tasks.start(task, state)
        self._crew.board.publish()
        incarnation.settle()

    def _task_configs_failed(self, name: str, incarnation: Incarnation, error: Exception) -> None:
        incarnation.settle()
        status = self._crew.states.get(name)
        current = self._connectors.get(name) is incarnation
        if not current or status is None or status.state is not State.RUNNING:
            return  # it failed for good, and has said so itself
        pause, incarnation.retry_s = incarnation.retry_s, min(2 * incarnation.retry_s, RETRY_MOST_S)
        log.error("the tasks of connector %s could not be configured; tried again in %.2f s: %s", name, pause, error)
        self._crew.agenda.post(lambda: self._ask_for_tasks(name, incarnation), pause)

    def _ask_for_tasks(self, name: str, incarnation: Incarnation) -> None:
        if self._connectors.get(name) is not incarnation:
            return
        if incarnation.is_asked:
            incarnation.ask_again = True
            return
        incarnation.is_asked = True
        self._crew.agenda.let(self._reconfigure(name, incarnation), f"configuring the tasks of connector {name}")

    def _again(self, name: str, incarnation: Incarnation) -> Procedure:
        """Unless it was stopped, started, or given another config meanwhile."""
        if self._connectors.get(name) is incarnation and incarnation.failed:
            yield from self.restart_connector(name, revives=True)
