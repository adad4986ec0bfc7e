"""Which task may start: by what the budget leaves beside those that run and those that are on their way out."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from weakref import WeakKeyDictionary

from millstream.host.channel import PluginTarget
from millstream.identity import TaskId
from millstream.worker.budget import Budget, Needs, Taken, taken_by
from millstream.worker.children import Child
from millstream.worker.limits import threads_of
from millstream.worker.roster import Roster
from millstream.worker.runs import ConnectorRun, Facilities, Supervised, TaskRun, failure
from millstream.worker.templates import Templates

COMING_AND_GOING_SECONDS = 5.0
"""A connector that only says what its tasks do has ended by then, and needs no place in the budget."""
COUNTED_SECONDS = 1.0
"""How long a child is taken to have as many threads as were counted: of 200 tasks that start together each is looked at
once, and not by each that comes after it."""


class Admission:
    """On the loop's thread only. Holds who is there: `tasks` and `connectors`."""

    def __init__(self, budget: Budget, facilities: Facilities) -> None:
        self.tasks: Roster[TaskId, TaskRun] = Roster(self._one_has_gone)
        self.connectors: Roster[str, ConnectorRun] = Roster(self._one_has_gone)
        self._budget = budget
        self._facilities = facilities
        self._waiting: list[Callable[[], None]] = []
        self._counted: WeakKeyDictionary[Child, tuple[float, int]] = WeakKeyDictionary()

    def admit(self, task: TaskRun, plugin: PluginTarget, needs: Needs, begin: Callable[[int], None]) -> None:
        """Call `begin` with the bytes of its queue; a task for which there is no room has FAILED with the sum.

        While others are going it waits for them: what they have is given to nobody before they have gone.
        """
        if task.is_over:  # it was stopped while it waited
            return
        share = self._budget.share(self._taken(plugin), needs)
        if share.refusal is None:
            task.given = replace(needs, queue=share.queue_bytes)
            begin(share.queue_bytes)
        elif self.tasks.leaving() or self.connectors.leaving():
            self._waiting.append(lambda: self.admit(task, plugin, needs, begin))
        else:
            task.fail(failure(f"task {task.label}: {share.refusal}"), no_room=True)

    def _one_has_gone(self) -> None:
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            self._facilities.loop.post(again)  # one that cannot be started does not keep the others from it

    def _taken(self, plugin: PluginTarget) -> Taken:
        """By all that have a child, or are about to, and the templates once there is one for this plugin.

        Also by one that has FAILED: until its process is gone, what it was given is not there. Of threads what they
        have now where that is more, as far as it matters.
        """
        staying_since = self._facilities.loop.now() - COMING_AND_GOING_SECONDS
        having = [
            *_children(self.tasks.present().values()),
            *_children(self.connectors.present().values(), staying_since),
            *_children([*self.tasks.leaving(), *self.connectors.leaving()]),
        ]
        if self._budget.limits.processes is not None:
            having = [
                (replace(given, threads=max(given.threads, self._threads(child))), child) for given, child in having
            ]
        taken = taken_by([given for given, _ in having])
        launcher = self._facilities.launcher
        if not isinstance(launcher, Templates):
            return taken
        names = {template.name for template in launcher.views()} | {plugin.distribution, ""}
        return replace(taken, templates=len(names), spares=len(names) - 1)

    def _threads(self, child: Child) -> int:
        now = self._facilities.loop.now()
        at, count = self._counted.get(child, (-math.inf, 0))
        if child.pid and now - at >= COUNTED_SECONDS:
            count = threads_of(child.pid)
            self._counted[child] = (now, count)
        return count


def _children(runs: Iterable[Supervised], made_before: float = math.inf) -> list[tuple[Needs, Child]]:
    """What those have been given that have a child, or are about to."""
    having = [(run.given, run.child) for run in runs]
    return [
        (given, child)
        for given, child in having
        if child is not None and not child.is_gone and child.made_at <= made_before
    ]
