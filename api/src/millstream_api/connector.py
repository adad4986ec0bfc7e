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
    """Whether a source can do what was asked about.

    Source: KIP-618; ExactlyOnceSupport.java, ConnectorTransactionBoundaries.java.
    """

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"


class Connector(Generic[C]):
    """Decides what tasks do. Runs in a process of its own; methods run on one thread, save `monitor`.

    config_class:  the settings it takes; parsed before it is made.

    One object for each start, also after a pause; and one for each question of an operator (`probe`,
    `alter_offsets` and what a source is asked of transactions), made and asked in a process that ends with the
    answer. What the constructor raises counts as raised by what is called first. Source: Connector.java.
    """

    config_class: ClassVar[type[Config]]

    def __init__(self, config: C, context: ConnectorContext) -> None:
        self.config = config
        self.context = context

    def start(self) -> None:
        """Called once, before `task_configs`, with a time-out: `connector.start.timeout.ms`.

        What it raises, RetriableError too, or not returning in time, fails the connector; no task is started then.
        Source: Connector.start.
        """

    def monitor(self) -> None:
        """Watch the outside, on a thread of its own after `start`, until `context.wait` is true.

        Called once; it may return before. What it raises fails the connector, unless it is stopping. It has three
        seconds to return when that begins; `stop` is called then all the same.

        The process of a connector that overrides neither this nor `start` ends once task configs are delivered.
        """

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        """Give each task's own settings, at most `max_tasks` of them; text to text.

        max_tasks:  `tasks.max`, from 1.

        The runtime adds the connector's own settings, as they were given; those of a task win, save where
        the connector's holds a `${…}`, so that no secret is stored. `[]`: no task runs.

        Called after each start, and after `context.request_reconfiguration`. More than `max_tasks` fail the
        connector, with `tasks.max.enforce=false` they are a warning; not returning within the time for `start`
        fails it, too. What it raises, RetriableError or not, is logged, tasks stay as they are, and it is called
        again after a pause of 0.25 s, which doubles up to 60 s. Source: Connector.taskConfigs.
        """
        return [{}]

    def probe(self) -> Iterable[Problem]:
        """Check the settings against the outside: can it be reached, is the table there?

        Give a Problem for each setting that is wrong, also where the outside cannot be reached: what it raises fails
        the validation as a whole, without naming a setting.

        Part of validation, once nothing else is wrong; called without `start`, and killed at a deadline: 85 s for a
        request to REST. Source: Connector.validate.
        """
        return ()

    def alter_offsets(self, offsets: Sequence[tuple[Place, Place | None]]) -> bool:
        """Check, and apply to the outside if need be, offsets that an operator wants to set.

        offsets:  pairs of partition and offset; None: forget it. Of a sink `{"kafka_topic": …, "kafka_partition": 0}`
                  and `{"kafka_offset": 5}`. To reset is to forget all that there are.

        Called without `start`, on a connector that is stopped or yet to be created; killed after 85 s. True: they
        were examined; False: the connector has no opinion. Raises DataError, ConfigError or ValueError to refuse:
        with whatever it raises the request fails and no offset is changed.
        Source: KIP-875; SourceConnector.alterOffsets, SinkConnector.alterOffsets.
        """
        return False

    def stop(self) -> None:
        """Called once, last: at the end, also after a `start` that failed, and to pause.

        What it raises fails a connector that is to pause; it is logged of one that is to be STOPPED or has failed, or
        whose process is let go.
        A connector that is to end and does not within five seconds is killed. Source: Connector.stop.
        """


class Task(Generic[C]):
    """Does the work. All methods run on one thread, save `cancel`.

    config_class:  None: the connector's; else a class with keys of the task's own.

    One object for each start; a pause keeps it. What its constructor raises fails the task. Source: Task.java.
    """

    config_class: ClassVar[type[Config] | None] = None
    config: C

    def start(self) -> None:
        """Called once, first; not before a paused task is resumed. RUNNING is told when it has returned.

        What it raises fails the task, RetriableError too. Source: Task.start.
        """

    def cancel(self) -> None:
        """Interrupt a blocking call, on another thread, so that stopping need not kill.

        Called at most once, when it is time to stop or after `context.fail`, at any moment from `start` on; must
        not block. What it raises is logged.
        """

    def stop(self) -> None:
        """Called once, last, on the task's thread, also after a failure. What it raises is logged.

        A task that is to end has `task.shutdown.graceful.timeout.ms` for the call that is under way, the last commit
        and this; then nothing is committed any more, and its process is killed. Source: Task.stop.
        """
