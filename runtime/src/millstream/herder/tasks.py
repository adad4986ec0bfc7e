"""The tasks that run: started, stopped, and heard."""

from collections.abc import Sequence
from dataclasses import dataclass

from millstream.errors import MillstreamError, trace_of
from millstream.herder.classes import plugin_of, target_of
from millstream.herder.crew import Crew
from millstream.herder.procedures import Procedure
from millstream.herder.stages import Stage
from millstream.herder.states import Told
from millstream.host.channel import Event, Lasting, RunTask, StateChanged, TopicSeen
from millstream.identity import State, TargetState, TaskId
from millstream.storage.config_state import ConfigState


@dataclass(slots=True, eq=False)
class Start:
    """One start of a task; what an earlier one still tells is not heard.

    stage: goes on until it is known how the start went.   revives: what was ended from outside.
    """

    stage: Stage
    revives: bool = False
    started: bool = False


class Tasks:
    """Used by the herder's thread alone."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._running: dict[TaskId, Start] = {}

    def __contains__(self, task: TaskId) -> bool:
        return task in self._running

    def of(self, name: str) -> list[TaskId]:
        return [task for task in self._running if task.connector == name]

    def start(self, task: TaskId, state: ConfigState, revives: bool = False) -> None:
        """revives: it was ended from outside, and nobody has taken it in hand since."""
        config = state.connectors[task.connector]
        try:
            plugin = plugin_of(self._crew.inventory, config)
        except MillstreamError as error:
            self._crew.metrics.tasks.ended(False)
            self._crew.tell(task, Told(State.FAILED, None, trace_of(error)))
            return
        token = Start(self._crew.stages.begin(f"starting task {task}", task.connector, task.task), revives)
        self._running[task] = token
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
        self._crew.worker.start_task(spec, lambda event: agenda.post(lambda: self._heard(task, token, version, event)))

    def stop(self, tasks: Sequence[TaskId]) -> Procedure:
        """Stop them all side by side."""
        starts = {task: self._running.pop(task, None) for task in tasks}
        running = [task for task, start in starts.items() if start is not None]
        for start in starts.values():
            if start is not None:
                self._crew.stages.complete(start.stage)
        if running:
            yield self._crew.worker.stop_tasks(running)

    def forget(self, task: TaskId) -> None:
        """It is no more, and nothing of it runs."""
        self._crew.revivals.forget(task)
        self._crew.states.forget(task)

    def _heard(self, task: TaskId, token: Start, version: str, event: Event) -> None:
        if self._running.get(task) is not token:
            return
        if isinstance(event, StateChanged):
            state = State[event.state]
            self._crew.stages.complete(token.stage)
            if not token.started and state in (State.RUNNING, State.PAUSED, State.FAILED):
                token.started = True
                self._crew.metrics.tasks.ended(state is not State.FAILED)
            next_step = self._crew.revivals.after(task, event, token.revives, lambda: self._again(task, token))
            self._crew.tell(task, Told(state, version, event.trace, next_step))
        elif isinstance(event, Lasting):
            token.stage = self._crew.stages.locate(token.stage, event.stack)
        elif isinstance(event, TopicSeen) and self._crew.states.seen(task.connector, event.topic, task.task):
            self._crew.board.publish()

    def _again(self, task: TaskId, token: Start) -> Procedure:
        """Unless it was stopped or started meanwhile."""
        if self._running.get(task) is token:
            yield from self.stop([task])
            self.start(task, self._crew.configs.snapshot(), revives=True)
