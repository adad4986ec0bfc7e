"""When what was ended from outside is started again.

A task of the Java worker cannot be killed alone: its process ends, and its supervisor starts that again. Here the
worker is the supervisor of its children. Only what somebody else ended comes back by itself (SIGKILL, as by a person or
for want of memory, SIGTERM, the death of its template); a failure of its own stays FAILED, as Java's does. A start of
what comes back that finds no room (no process, no descriptor, no memory in the budget) is no try: others were there
first, and may go.
"""

from collections.abc import Callable
from dataclasses import dataclass

from millstream.herder.procedures import Agenda, Procedure
from millstream.herder.turns import Turns
from millstream.host.channel import StateChanged
from millstream.identity import TaskId
from millstream.lifecycle import Clock
from millstream.storage.statuses import Subject

FIRST_S, MOST_S = 2.0, 60.0
TRIES = 6
#: what ran so long is well: the next time counts as the first
WELL_S = 600.0


@dataclass(slots=True)
class _Past:
    times: int
    last_s: float


class Revivals:
    """Counts how often each connector and task was ended from outside. Used by the herder's thread alone."""

    def __init__(self, clock: Clock, agenda: Agenda, turns: Turns) -> None:
        self._clock = clock
        self._agenda = agenda
        self._turns = turns
        self._past: dict[Subject, _Past] = {}

    def after(
        self, subject: Subject, change: StateChanged, revives: bool, again: Callable[[], Procedure]
    ) -> str | None:
        """When it was ended, have it started again when it is time, and nothing else has its connector in hands.

        revives: this start of it was such a one.   again: does it, if it is still the one that ended.
        Gives what is done about it, a sentence for log and status; None: nothing, now or any more.
        """
        if change.from_outside:
            wait_s = self.wait_s(subject)
            if wait_s is not None:
                self._post(subject, again, wait_s)
                return f"Started again in {wait_s:.0f} s"
        elif change.no_room and revives:
            if (past := self._past.get(subject)) is not None:
                past.last_s = self._clock.monotonic()  # it did not run since
            self._post(subject, again, MOST_S)
            return (
                f"It was ended from outside, and there is no room for it now: tried every {MOST_S:.0f} s until there is"
            )
        return None

    def _post(self, subject: Subject, again: Callable[[], Procedure], wait_s: float) -> None:
        name = subject.connector if isinstance(subject, TaskId) else subject
        doing = f"starting {subject} again"
        self._agenda.post(lambda: self._agenda.let(self._turns.take(name, again()), doing), wait_s)

    def wait_s(self, subject: Subject) -> float | None:
        """After how many seconds it is to be started again; None: it was ended too often, and stays FAILED."""
        now = self._clock.monotonic()
        past = self._past.get(subject)
        times = 1 if past is None or now - past.last_s > WELL_S else past.times + 1
        self._past[subject] = _Past(times, now)
        return None if times > TRIES else min(FIRST_S * 2 ** (times - 1), MOST_S)

    def forget(self, subject: Subject) -> None:
        """It is no more, or somebody has taken it in hand: the next time counts as the first."""
        self._past.pop(subject, None)
