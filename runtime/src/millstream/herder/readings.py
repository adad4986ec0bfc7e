"""All metrics at one moment, from what children told last and what the herder knows."""

from collections.abc import Sequence

from millstream.herder.classes import class_name_of
from millstream.herder.herder import Snapshot
from millstream.identity import TaskId
from millstream.inventory.inventory import Inventory
from millstream.metrics.readings import WorkerMetrics, connector_reading, task_readings
from millstream.metrics.snapshot import Reading
from millstream.worker.worker import ChildView


def readings(
    snapshot: Snapshot, children: Sequence[ChildView], worker: WorkerMetrics, inventory: Inventory
) -> list[Reading]:
    """Give the worker's, each connector's and each task's; a state is always there, also of what has failed."""
    told = {child.name: child.metrics for child in children if child.kind == "task"}
    found = worker.readings(
        len(snapshot.states), {name: [s.state for s in view.tasks.values()] for name, view in snapshot.states.items()}
    )
    for name, view in snapshot.states.items():
        connector = snapshot.connectors[name]
        version = view.connector.version or "undefined"
        class_name = class_name_of(inventory, connector.config)
        found.append(connector_reading(name, view.connector.state, connector.kind, class_name, version))
        for number, status in sorted(view.tasks.items()):
            task = TaskId(name, number)
            found += task_readings(task, status.state, told.get(str(task), {}))
    return found
