"""Connectors and tasks started again. Source: RestartPlan.java, AbstractHerder.java (KIP-745)."""

from collections.abc import Sequence

from millstream.errors import NotFoundError, WorkerError
from millstream.herder import requests as ask
from millstream.herder.crew import Crew
from millstream.herder.fleet import Fleet
from millstream.herder.herder import StateView
from millstream.herder.procedures import Procedure
from millstream.herder.restart import announced, plan
from millstream.herder.states import Told
from millstream.herder.tasks import Tasks
from millstream.identity import State, TaskId
from millstream.storage.statuses import Subject


class Restarting:
    """Procedures of the herder's thread."""

    def __init__(self, crew: Crew, fleet: Fleet, tasks: Tasks) -> None:
        self._configs = crew.configs
        self._states = crew.states
        self._stages = crew.stages
        self._agenda = crew.agenda
        self._board = crew.board
        self._turns = crew.turns
        self._revivals = crew.revivals
        self._fleet = fleet
        self._tasks = tasks

    def restart(self, wish: ask.RestartConnector) -> Procedure:
        if not wish.planned:
            settled = yield from self._turns.take(wish.name, self._restart_connector(wish.name))
            yield settled
            status = self._states.get(wish.name)
            if status is not None and status.state is State.FAILED:
                raise WorkerError(f"Failed to start connector: {wish.name}")
            return None
        self._board.known(wish.name, "Unknown connector: {}")
        state = self._states.views().get(wish.name)
        if state is None:
            raise NotFoundError(f"Status for connector {wish.name} not found")
        chosen = plan(state, wish.include_tasks, wish.only_failed)
        told: StateView = announced(state, chosen)
        restarting = self._restart_parts(wish.name, chosen.connector, [TaskId(wish.name, n) for n in chosen.tasks])
        self._agenda.let(self._turns.take(wish.name, restarting), f"a restart of connector {wish.name}")
        return told

    def restart_task(self, task: TaskId) -> Procedure:
        self._board.known(task.connector, "Unknown connector: {}")
        if task not in self._configs.snapshot().tasks_of(task.connector):
            raise NotFoundError(f"Task {task} not found")
        with self._stages.of(f"restarting task {task}", task.connector):
            yield from self._tasks.stop([task])
        self._revivals.forget(task)
        self._tasks.start(task, self._configs.snapshot())
        return None

    def _restart_connector(self, name: str) -> Procedure:
        self._board.known(name, "Unknown connector: {}")
        self._revivals.forget(name)
        return (yield from self._fleet.restart_connector(name))

    def _restart_parts(self, name: str, connector: bool, wanted: Sequence[TaskId]) -> Procedure:
        """Those of them that there still are: they waited for their turn."""
        state = self._configs.snapshot()
        if name not in state.connectors:
            return
        tasks = [task for task in wanted if task in state.tasks_of(name)]
        with self._stages.of(f"handling restart request for connector {name}", name):
            if connector:
                yield from self._fleet.stop_connector(name)
            yield from self._tasks.stop(tasks)
            subjects: list[Subject] = [*([name] if connector else []), *tasks]
            for subject in subjects:
                self._revivals.forget(subject)
                status = self._states.get(subject)
                self._states.tell(subject, Told(State.RESTARTING, status.version if status else None))
            state = self._configs.snapshot()
            if connector:
                self._fleet.start_connector(name, state)
            for task in tasks:
                self._tasks.start(task, state)
        self._board.publish()
