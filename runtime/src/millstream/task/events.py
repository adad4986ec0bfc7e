"""What a running task tells whoever started it. Values only: `host/` puts them on the channel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from millstream.identity import State
from millstream.metrics.snapshot import Value


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The task is now in `state`; `trace` is the text of the error that ended it, when it FAILED."""

    state: State
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """First time this task wrote to (after the acknowledgement) or read from `topic`."""

    topic: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Metrics of the task: Java's attribute names (spec/runtime.md §11.3-11.6) and their values now.

    Told at most once a `SourceSettings.metrics_interval_ms`, and a last time when the task ends.
    """

    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Progressed:
    """What the plugin said of its own progress, `context.progress`."""

    done: int
    total: int | None
    unit: str
    of: str


Event = StateChanged | TopicSeen | Counted | Progressed
Tell = Callable[[Event], None]  # called on the task's thread (Progressed: on any); must not block for long
