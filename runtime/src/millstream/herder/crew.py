"""Whom the rooms of a herder work with: one of each, whatever the herder's mode."""

from dataclasses import dataclass

from millstream.herder.board import Board
from millstream.herder.procedures import Agenda
from millstream.herder.revival import Revivals
from millstream.herder.stages import Stages
from millstream.herder.states import States, Told
from millstream.herder.stores import Stores
from millstream.herder.turns import Turns
from millstream.inventory.inventory import Inventory
from millstream.metrics.readings import Measuring, WorkerMetrics
from millstream.storage.configs import ConfigStore
from millstream.storage.statuses import Subject
from millstream.worker.worker import Worker


@dataclass(frozen=True, slots=True)
class Crew:
    """What every room of the herder is given, and the only thing that rooms share."""

    worker: Worker
    inventory: Inventory
    stores: Stores
    states: States
    agenda: Agenda
    stages: Stages
    turns: Turns
    board: Board
    metrics: WorkerMetrics
    revivals: Revivals

    @property
    def configs(self) -> ConfigStore:
        return self.stores.configs

    def tell(self, subject: Subject, told: Told) -> None:
        """Write a state down, for all to see."""
        self.states.tell(subject, told)
        self.board.publish()


def crew_of(worker: Worker, inventory: Inventory, stores: Stores, worker_id: str, measuring: Measuring) -> Crew:
    """Put a crew together around a worker and the stores of its mode.   measuring: with the clock of all."""
    clock = measuring.clock
    states = States(stores.statuses, worker_id, clock)
    board = Board(stores.configs, states, inventory)
    agenda, turns, metrics = Agenda(clock), Turns(), WorkerMetrics(measuring)
    revivals = Revivals(clock, agenda, turns)
    return Crew(worker, inventory, stores, states, agenda, Stages(clock), turns, board, metrics, revivals)
