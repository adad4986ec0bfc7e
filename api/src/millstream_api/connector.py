"""What source and sink connectors have in common, and source and sink tasks."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import ClassVar, Generic

from millstream_api.config import C, Config, Settings
from millstream_api.context import ConnectorContext
from millstream_api.errors import Problem
from millstream_api.records import Place

__all__ = ["Connector", "Support", "Task"]


class Support(Enum):
    """Whether a source can do what was asked about. Source: KIP-618."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"


class Connector(Generic[C]):
    """Decides what tasks do. Runs in a process of its own; methods run on one thread, save `monitor`.

    config_class:  the settings it takes; parsed before it is made.
    """

    config_class: ClassVar[type[Config]]

    def __init__(self, config: C, context: ConnectorContext) -> None:
        self.config = config
        self.context = context

    def start(self) -> None:
        """Called once, before `task_configs`, with a time-out: `connector.start.timeout.ms`.

        What it raises, or not returning in time, fails the connector; no task is started then.
        """

    def monitor(self) -> None:
        """Watch the outside, on a thread of its own after `start`, until `context.wait` is true.

        Overriding it keeps the connector's process; else that ends once task configs are delivered.
        """

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        """Give each task's own settings, at most `max_tasks` of them; text to text.

        The runtime adds the connector's own settings, as they were given; those of a task win, save where
        the connector's holds a `${…}`, so that no secret is stored. `[]`: no task runs. More than
        `max_tasks` fail the connector; with `tasks.max.enforce=false` they are a warning.
        Source: Connector.taskConfigs.
        """
        return [{}]

    def probe(self) -> Iterable[Problem]:
        """Check the settings against the outside: can it be reached, is the table there?

        Part of validation; called without `start`, and killed at a deadline.
        """
        return ()

    def alter_offsets(self, offsets: Sequence[tuple[Place, Place | None]]) -> bool:
        """Check, and apply to the outside if need be, offsets that an operator wants to set.

        offsets:  pairs of partition and offset; None: forget it.

        Called without `start`, on a stopped connector. True: they were examined; False: the connector
        has no opinion. Raises DataError, ConfigError or ValueError to refuse. Source: KIP-875.
        """
        return False

    def stop(self) -> None:
        """Called once, last, also after a `start` that failed."""


class Task(Generic[C]):
    """Does the work. All methods run on one thread, save `cancel`.

    config_class:  None: the connector's; else a class with keys of the task's own.
    """

    config_class: ClassVar[type[Config] | None] = None
    config: C

    def start(self) -> None:
        """Called once, first. RUNNING is told when it has returned; what it raises fails the task."""

    def cancel(self) -> None:
        """Interrupt a blocking call, on another thread, so that stopping need not kill.

        Called once it is time to stop, at any moment from `start` on; must not block.
        """

    def stop(self) -> None:
        """Called once, last, on the task's thread, also after a failure. What it raises is logged."""
