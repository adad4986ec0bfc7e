"""What the herder is doing, in the words that Connect's clients know (§1.1), for answers that do not come in time."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from millstream.lifecycle import Clock

AWAITING_STARTUP = "awaiting startup"


@dataclass(frozen=True, slots=True)
class Stage:
    """words: what is done. began, completed: ms since 1970; completed None: it goes on.

    connector: whom it concerns.   task: which task of it alone.   where: the stack at which it is, once that is known.
    """

    words: str
    began: int
    completed: int | None = None
    connector: str | None = None
    task: int | None = None
    where: str = ""

    def summary(self) -> str:
        """The sentence of an answer that did not come in time. Source: Stage.java."""
        if self.completed is None:
            told = f"The worker is currently {self.words}, which began at {_instant(self.began)}."
            return f"{told} It is at\n{self.where}" if self.where else told
        return (
            f"The last operation the worker completed was {self.words}, which began at {_instant(self.began)}"
            f" and completed at {_instant(self.completed)}."
        )


def _instant(ms: int) -> str:
    """ISO-8601 as Java's Instant prints it: no fraction when there is none."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    text = moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.replace("+00:00", "Z")


class Stages:
    """Remembers the stages that go on, and the one that ended last; any thread may begin one or ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._current: list[Stage] = []
        self._last: Stage | None = None

    def begin(self, words: str, connector: str | None = None, task: int | None = None, lasting_s: float = 0.0) -> Stage:
        """lasting_s: for how long it has gone on already."""
        stage = Stage(words, self._clock.now_ms() - round(lasting_s * 1000), None, connector, task)
        with self._lock:
            self._current = [*self._current, stage]
        return stage

    def complete(self, stage: Stage) -> None:
        """It has ended; once is enough."""
        with self._lock:
            current = [each for each in self._current if each is not stage]
            if len(current) < len(self._current):
                self._current = current
                if stage.task is None:
                    self._last = replace(stage, completed=self._clock.now_ms())

    def locate(self, stage: Stage, where: str) -> Stage:
        """It is known where it is: the stage that tells so stands in its place."""
        located = replace(stage, where=where)
        with self._lock:
            self._current = [located if each is stage else each for each in self._current]
        return located

    @contextmanager
    def of(self, words: str, connector: str | None = None) -> Iterator[Stage]:
        """For the length of a block, which may be the part of a procedure with yields in it."""
        stage = self.begin(words, connector)
        try:
            yield stage
        finally:
            self.complete(stage)

    def summary(self, connector: str | None = None) -> str | None:
        """What goes on with this connector, else what was begun last of all that goes on, else what ended last."""
        return self.concerning(connector) or self._newest()

    def concerning(self, connector: str | None, task: int | None = None) -> str | None:
        """What goes on with this connector, or this task of it, alone."""
        wanted = None if connector is None else (connector, task)
        with self._lock:
            own = [stage for stage in self._current if (stage.connector, stage.task) == wanted]
        return own[-1].summary() if own else None

    def going(self) -> Mapping[tuple[str, int | None], Stage]:
        """What goes on, by connector and task (None: the connector itself): of several the newest."""
        with self._lock:
            current = self._current
        return {(stage.connector, stage.task): stage for stage in current if stage.connector is not None}

    def _newest(self) -> str | None:
        with self._lock:
            current = [stage for stage in self._current if stage.task is None]
            stage = current[-1] if current else self._last
        return stage.summary() if stage else None
