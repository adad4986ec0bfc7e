"""Which parts of a connector a restart concerns. Source: RestartPlan.java, RestartRequest.java (KIP-745)."""

from dataclasses import dataclass, replace

from millstream.herder.herder import StateView
from millstream.identity import State, Status


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """connector: whether the connector instance is restarted; tasks: ids of the tasks that are, ascending."""

    connector: bool
    tasks: tuple[int, ...]


def plan(state: StateView, include_tasks: bool, only_failed: bool) -> RestartPlan:
    """Choose what is restarted: everything asked for, or only what of it has failed."""

    def chosen(status: Status) -> bool:
        return not only_failed or status.state is State.FAILED

    tasks = tuple(sorted(task for task, status in state.tasks.items() if chosen(status))) if include_tasks else ()
    return RestartPlan(chosen(state.connector), tasks)


def announced(state: StateView, plan: RestartPlan) -> StateView:
    """The state as it is told at once: what will be restarted is RESTARTING, still with the trace of its failure."""
    restarting = replace(state.connector, state=State.RESTARTING)
    tasks = {
        task: replace(status, state=State.RESTARTING) if task in plan.tasks else status
        for task, status in state.tasks.items()
    }
    return StateView(restarting if plan.connector else state.connector, tasks)
