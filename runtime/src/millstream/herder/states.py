"""The states of connectors and tasks, and the topics they use: in memory for readers, written through for a restart."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from millstream.errors import headline_of
from millstream.herder.herder import StateView
from millstream.identity import State, Status, TaskId
from millstream.lifecycle import Clock
from millstream.storage.statuses import StatusStore, Subject, TopicStatus

log = logging.getLogger(__name__)

#: written only if no other worker has spoken since (§3.4)
CAREFUL = (State.UNASSIGNED, State.FAILED)
#: states of what has a process, or is about to
ALIVE = (State.RUNNING, State.PAUSED, State.RESTARTING)


@dataclass(frozen=True, slots=True)
class Told:
    """A state of a connector or task.

    version:    of its plugin.
    next_step:  what the worker itself does about a failure, a sentence without its end.
    """

    state: State
    version: str | None
    trace: str | None = None
    next_step: str | None = None

    @property
    def shown_trace(self) -> str | None:
        """With the next step below its headline: behind frames and output it would look like one of their lines."""
        if not self.trace or not self.next_step:
            return self.trace
        headline, newline, rest = self.trace.partition("\n")
        return f"{headline}\n{self.next_step}.{newline}{rest}"


class States:
    """Used by the herder's thread alone."""

    def __init__(self, store: StatusStore, worker_id: str, clock: Clock) -> None:
        self._store = store
        self._worker_id = worker_id
        self._clock = clock
        self._known: dict[Subject, Status] = dict(store.all())
        self._said: dict[Subject, State] = {}  # in this life of the worker
        self._topics: dict[str, set[str]] = {}

    def adopt(self, connectors: Mapping[str, object]) -> None:
        """At the start: forget what is known of connectors that are no more, and take up the topics of the others.

        Nothing runs yet: what did in the former life of the worker is UNASSIGNED until it says otherwise.
        """
        for subject, status in list(self._known.items()):
            name = subject.connector if isinstance(subject, TaskId) else subject
            if name not in connectors:
                self.forget(subject)
            elif status.state in ALIVE:
                self._known[subject] = Status(State.UNASSIGNED, self._worker_id, version=status.version)
        for name in connectors:
            self._topics[name] = {status.topic for status in self._store.topics(name)}

    def get(self, subject: Subject) -> Status | None:
        return self._known.get(subject)

    def tell(self, subject: Subject, told: Told) -> None:
        """Write down a state that this worker saw."""
        status = Status(told.state, self._worker_id, told.shown_trace, 0, told.version)
        if self._said.get(subject) is not told.state or told.state is State.FAILED:  # each failure is news
            self._said[subject] = told.state
            _log_change(subject, told)
        self._known[subject] = status
        if told.state in CAREFUL:
            self._store.put_safe(subject, status)
        else:
            self._store.put(subject, status)

    def forget(self, subject: Subject) -> None:
        """The connector or task is no more."""
        self._said.pop(subject, None)
        if self._known.pop(subject, None) is not None:
            self._store.delete(subject)

    def seen(self, connector: str, topic: str, task: int) -> bool:
        """Write down an active topic; true when it is news."""
        topics = self._topics.setdefault(connector, set())
        if topic in topics:
            return False
        topics.add(topic)
        self._store.put_topic(TopicStatus(topic, connector, task, self._clock.now_ms()))
        return True

    def forget_topics(self, connector: str) -> None:
        for topic in self._topics.pop(connector, set()):
            self._store.delete_topic(topic, connector)

    def retry(self) -> None:
        """Write what a full disk refused before."""
        self._store.retry()

    def views(self) -> dict[str, StateView]:
        """Everything known, by connector."""
        tasks: dict[str, dict[int, Status]] = {}
        for subject, status in self._known.items():
            if isinstance(subject, TaskId):
                tasks.setdefault(subject.connector, {})[subject.task] = status
        names = [(name, status) for name, status in self._known.items() if isinstance(name, str)]
        return {name: StateView(status, tasks.get(name, {})) for name, status in names}

    def topics(self) -> dict[str, frozenset[str]]:
        return {name: frozenset(topics) for name, topics in self._topics.items()}


def _log_change(subject: Subject, told: Told) -> None:
    what = f"[{subject.connector}|task-{subject.task}]" if isinstance(subject, TaskId) else f"[{subject}|worker]"
    if told.state is State.FAILED and told.trace:
        then = told.next_step or f"It stays so until {_way_out(subject)}"
        log.error("%s FAILED: %s. %s", what, headline_of(told.trace).rstrip("."), then)
    else:
        log.info("%s %s", what, told.state.value)


def _way_out(subject: Subject) -> str:
    if isinstance(subject, TaskId):
        return f"POST /connectors/{quote(subject.connector, safe='')}/tasks/{subject.task}/restart"
    return f"POST /connectors/{quote(subject, safe='')}/restart"
