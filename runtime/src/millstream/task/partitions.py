"""The partitions a sink task reads: how they come, go and pause."""

import logging
from collections.abc import Callable, Collection

from millstream.errors import IllegalStateError
from millstream.task.context import SinkWishes
from millstream.task.positions import Outside, Positions
from millstream_api import TopicPartition

log = logging.getLogger(__name__)


class Partitions:
    """The consumer's rebalance listener, and the one place that pauses and resumes.

    Its three callbacks run inside the consumer's `poll`, on the task's thread. What they raise is remembered, for the
    loop to raise behind the poll, as it must not pass through the client.

    held:         the target state is PAUSED.
    redelivering: `put` asked for the same rows again; no others may come meanwhile.
    """

    def __init__(
        self,
        outside: Outside,
        positions: Positions,
        wishes: SinkWishes,
        removed: Callable[[frozenset[TopicPartition]], None],
    ) -> None:
        self.held = False
        self.redelivering = False
        self._outside = outside
        self._consumer = outside.consumer
        self._task = outside.task
        self._positions = positions
        self._wishes = wishes
        self._removed = removed
        self._mine: frozenset[TopicPartition] = frozenset()
        self._paused: frozenset[TopicPartition] = frozenset()
        self._failure: BaseException | None = None

    @property
    def mine(self) -> frozenset[TopicPartition]:
        return self._mine

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        log.info("Partitions assigned: %s", _named(partitions))
        self._mine |= frozenset(partitions)
        self._outside.metrics.partition_count = len(self._mine)
        self._wishes.assigned(self._mine)
        self._remember(lambda: self._open(frozenset(partitions)))

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        log.info("Partitions revoked: %s", _named(partitions))
        going = frozenset(partitions) & self._mine
        if going:
            self._remember(lambda: self._positions.close(going))
            self._gone(going)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Another member has them already: nothing may be committed."""
        log.warning(
            "Partitions lost: %s; the group did not hear of this task within session.timeout.ms, or its put took "
            "longer than max.poll.interval.ms, and other tasks get them. What was not committed is delivered again",
            _named(partitions),
        )
        going = frozenset(partitions) & self._mine
        if going:
            self._outside.errants.cancel(going)
            self._remember(lambda: self._task.close(going))
            self._gone(going)

    def align(self) -> None:
        """Pause and resume at the consumer what should be, and is not yet."""
        wanted = self._mine if self.held or self.redelivering else self._wishes.paused() & self._mine
        if wanted == self._paused:
            return
        if pause := wanted - self._paused:
            self._consumer.pause(pause)
        if resume := self._paused - wanted:
            self._consumer.resume(resume)
        self._paused = wanted

    def rewind(self) -> None:
        """Do what the task asked for by `context.seek`. Raises IllegalStateError for a partition it does not have."""
        for partition, offset in self._wishes.take_seeks().items():
            if partition not in self._mine:
                raise IllegalStateError(
                    f"seek names {partition.topic}-{partition.partition}, which is not assigned to this task; "
                    "context.assignment() has those that are"
                )
            self._consumer.seek(partition, offset)
            self._positions.sought(partition, offset)

    def raise_remembered(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close_all(self) -> None:
        """The end: commit and close what is still there."""
        mine, self._mine = self._mine, frozenset()
        if mine:
            self._positions.close(mine)

    def abandon(self) -> None:
        """The end of a cancelled task: close what is still there, while the task may be called, and commit nothing."""
        mine, self._mine = self._mine, frozenset()
        if mine:
            self._outside.errants.cancel(mine)
            self._task.close(mine)

    def _open(self, partitions: frozenset[TopicPartition]) -> None:
        self._positions.assigned(partitions)
        self.align()
        if partitions and self._failure is None:
            self._task.open(partitions)
            self.rewind()  # before this poll reads the first row of what was just opened

    def _gone(self, partitions: frozenset[TopicPartition]) -> None:
        self._mine -= partitions
        self._paused -= partitions
        self._positions.forget(partitions)
        self._outside.metrics.partition_count = len(self._mine)
        self._wishes.assigned(self._mine)
        self._removed(partitions)

    def _remember(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised by the loop behind the poll
            self._failure = self._failure or error


def _named(partitions: Collection[TopicPartition]) -> str:
    return ", ".join(f"{topic}-{partition}" for topic, partition in sorted(partitions)) or "none"
