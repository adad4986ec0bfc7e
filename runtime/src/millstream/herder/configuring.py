"""Connectors created, changed, deleted, and sent to another target state."""

from concurrent.futures import Future

from millstream.errors import ConflictError
from millstream.herder import requests as ask
from millstream.herder.crew import Crew
from millstream.herder.fleet import Fleet
from millstream.herder.herder import Config
from millstream.herder.moving import Moving
from millstream.herder.procedures import Procedure
from millstream.herder.tasks import Tasks
from millstream.herder.validation import Validation
from millstream.identity import TargetState
from millstream.storage.java_json import hash_map_order
from millstream.storage.statuses import Subject

#: how long the answer to a creation waits for the tasks, to tell them; a start that takes longer goes on after it
TASKS_S = 10.0


class Configuring:
    """Procedures of the herder's thread."""

    def __init__(self, crew: Crew, fleet: Fleet, tasks: Tasks, validation: Validation, moving: Moving) -> None:
        self._configs = crew.configs
        self._stages = crew.stages
        self._agenda = crew.agenda
        self._board = crew.board
        self._turns = crew.turns
        self._revivals = crew.revivals
        self._fleet = fleet
        self._tasks = tasks
        self._validation = validation
        self._moving = moving

    def create(self, wish: ask.CreateConnector, replace: bool = False) -> Procedure:
        _, view = yield from self._created(wish, replace)
        return view

    def put_config(self, wish: ask.PutConfig) -> Procedure:
        return (yield from self._created(ask.CreateConnector(wish.name, wish.config), replace=True))

    def _created(self, wish: ask.CreateConnector, replace: bool) -> Procedure:
        """Give whether it is new, as its turn has it and not the arrival of the request, and how it is now."""
        yield from self._validation.accept(wish.config)
        new, settled = yield from self._turns.take(wish.name, self._write_and_start(wish, replace))
        return new, (yield from self._with_tasks(wish.name, wish.config, settled))

    def patch_config(self, wish: ask.PatchConfig) -> Procedure:
        settled = None
        while settled is None:  # others may change the connector while the plugin looks at the settings
            stored = self._board.known(wish.name, "Connector {} not found")
            merged = {**stored, **wish.patch}
            config = {name: value for name, value in merged.items() if value is not None or name not in wish.patch}
            yield from self._validation.accept(config)
            settled = yield from self._turns.take(wish.name, self._replace(wish.name, stored, config))
        return (yield from self._with_tasks(wish.name, hash_map_order(config), settled))

    def _with_tasks(self, name: str, config: Config, settled: "Future[None]") -> Procedure:
        """The connector with its tasks if they are there in time; as it was made, if it is deleted meanwhile."""
        made = self._board.view_as_given(name, config)
        yield self._agenda.at_most(settled, TASKS_S)
        there = name in self._board.snapshot.connectors
        return self._board.view_as_given(name, config) if there else made

    def delete(self, name: str) -> Procedure:
        self._board.known(name, "Connector {} not found")
        with self._stages.of(f"removing the config for connector {name} from the config topic", name):
            self._configs.remove_connector(name)
        self._board.publish()
        tasks = self._tasks.of(name)
        yield from self._fleet.stop_connector(name)
        yield from self._tasks.stop(tasks)
        self._fleet.forget(name)
        return None

    def set_target(self, wish: ask.SetTarget) -> Procedure:
        name, target = wish.name, wish.target
        self._board.known(name, "Unknown connector {}")
        configs = self._configs
        if target is TargetState.STOPPED:
            state = configs.snapshot()
            if state.tasks_of(name):
                configs.put_task_configs(name, [])
            configs.put_target_state(name, target)
            running = self._tasks.of(name)  # more than are stored, when a stop before could not write its end
            yield from self._tasks.stop(running)
            for task in {*state.tasks_of(name), *running}:
                self._tasks.forget(task)
        else:
            configs.put_target_state(name, target)
        self._fleet.aim(name, target, configs.snapshot())
        self._board.publish()
        return None

    def start_stored(self, name: str) -> None:
        state = self._configs.snapshot()
        if name not in state.connectors:
            return  # deleted while it waited for its turn
        if state.targets.get(name) is TargetState.STOPPED:
            self._fleet.aim(name, TargetState.STOPPED, state)
            return
        self._fleet.start_connector(name, state)
        for task in state.tasks_of(name):  # as Java's distributed worker: they do not wait for the connector
            self._tasks.start(task, state)

    def _write_and_start(self, wish: ask.CreateConnector, replace: bool) -> Procedure:
        exists = wish.name in self._configs.snapshot().connectors
        if exists and not replace:
            raise ConflictError(f"Connector {wish.name} already exists")
        if not exists and wish.initial_offsets:
            yield from self._moving.preset(wish.name, wish.config, wish.initial_offsets)
        settled = yield from self._written(wish.name, wish.config, None if exists else wish.initial_state)
        return not exists, settled

    def _replace(self, name: str, stored: Config, config: Config) -> Procedure:
        """Nothing (None) when the settings are no longer `stored`."""
        if self._configs.snapshot().connectors.get(name) != stored:
            return None
        return (yield from self._written(name, config, None))

    def _written(self, name: str, config: Config, target: TargetState | None) -> Procedure:
        """Write first: what cannot be written leaves the connector as it is. Gives how its start goes, a future."""
        with self._stages.of(f"writing a config for connector {name} to the config topic", name):
            self._configs.put_connector(name, config, target)
        subjects: list[Subject] = [name, *self._configs.snapshot().tasks_of(name)]
        for subject in subjects:
            self._revivals.forget(subject)
        yield from self._fleet.stop_connector(name)
        settled = self._fleet.start_connector(name, self._configs.snapshot())
        self._board.publish()
        return settled
