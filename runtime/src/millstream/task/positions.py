"""Where a sink task is: what it has been given, what is committed, and the commit procedure (§5.4).

Copied from WorkerSinkTask.java: sequence numbers tell a late answer from the awaited one; what `pre_commit` gives back
is believed only within the bounds of what was consumed.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from millstream.broker.complaint import Complaint
from millstream.broker.ports import Consumer
from millstream.errors import BrokerError, PluginError, UnknownTopicError, unexplained
from millstream.lifecycle import Clock
from millstream.task.counting import SinkTaskMetrics
from millstream.task.errants import Errants
from millstream.task.failpoints import FailPoint
from millstream_api import SinkTask, TopicPartition

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the commit procedure talks to."""

    task: SinkTask[Any]
    consumer: Consumer
    clock: Clock
    metrics: SinkTaskMetrics
    errants: Errants
    cancelled: Callable[[], bool]
    failpoint: FailPoint


class Positions:
    """Current and committed positions of the assigned partitions. All methods on the task's thread."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.current: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._complaint = Complaint(outside.clock, log, "offsets can be committed again")
        self._sequence = 0
        self._none_is_told = False
        self._refused: set[TopicPartition] = set()  # what pre_commit gave for them last
        self._started: float | None = None  # monotonic seconds; None: no commit is under way

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions came: their consumer's position counts as given and committed."""
        for partition in partitions:
            self.sought(partition, self._outside.consumer.position(partition))

    def sought(self, partition: TopicPartition, offset: int) -> None:
        self.current[partition] = self._committed[partition] = offset

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self.current.pop(partition, None)
            self._committed.pop(partition, None)

    def given(self, positions: Mapping[TopicPartition, int]) -> None:
        """The batch that was read up to `positions` has been put. Partitions that went meanwhile stay forgotten."""
        self.current.update({tp: offset for tp, offset in positions.items() if tp in self.current})

    @property
    def committing(self) -> bool:
        return self._started is not None

    @property
    def active(self) -> int:
        """Rows given to the task and not committed yet."""
        return sum(max(offset - self._committed.get(tp, offset), 0) for tp, offset in self.current.items())

    def expire(self, timeout_ms: int) -> None:
        """Give up waiting for the answer to a commit; when it comes it is skipped."""
        started = self._started
        if started is not None and self._outside.clock.monotonic() >= started + timeout_ms / 1000:
            self._complaint.failed(
                f"The commit of offsets {self._sequence} was not answered within {timeout_ms} ms "
                "(offset.flush.timeout.ms); the next commit includes it"
            )
            self._started = None
            self._outside.metrics.committed(timeout_ms, False)

    def commit(self) -> bool:
        """Ask the task what is safe and commit that, without waiting for the answer.

        False: the task could not keep what it was given, and everything behind the committed offsets is read again.
        """
        offsets = dict(self.current)
        self._outside.errants.wait(list(offsets))
        if not offsets:
            return True
        sequence = self._begin()
        try:
            answer = self._outside.task.pre_commit(offsets)
        except Exception as error:
            sentence = "pre_commit (flush) failed; rewinding to the last committed offsets: %s"
            log.error(sentence, error, exc_info=unexplained(error))
            self.current.update(self._committed)  # first, as a seek may fail and the task is closed then
            for partition, offset in self._committed.items():
                self._outside.consumer.seek(partition, offset)
            self._answered(sequence, error, None)
            return False
        wanted = self._wanted(answer, offsets)
        if wanted is None or self._outside.cancelled():
            self._answered(sequence, None, None)
            return True
        self._outside.failpoint("sink.commit.before")
        try:
            self._outside.consumer.commit(wanted, lambda error: self._answered(sequence, error, wanted))
        except Exception as error:  # noqa: BLE001 - a commit that cannot even be asked for is one that failed
            self._answered(sequence, error, wanted)
        self._outside.failpoint("sink.commit.after")
        return True

    def close(self, partitions: Collection[TopicPartition]) -> None:
        """Commit and close partitions that are about to go. Raises what the task's `close` raises, nothing else."""
        offsets = {tp: offset for tp, offset in self.current.items() if tp in partitions}
        self._outside.errants.wait(partitions)
        sequence = self._begin()
        wanted: dict[TopicPartition, int] | None = None
        failure: Exception | None = None
        try:
            if offsets:
                wanted = self._wanted(self._outside.task.pre_commit(dict(offsets)), offsets)
        except Exception as error:
            sentence = "pre_commit (flush) failed while closing; what was not committed is read again: %s"
            log.warning(sentence, error, exc_info=unexplained(error))
            failure = error
        finally:
            self._outside.task.close(frozenset(partitions))
        if wanted is not None and not self._outside.cancelled():
            self._outside.failpoint("sink.commit.before")
            try:
                self._outside.consumer.commit_now(wanted)
            except Exception as error:  # noqa: BLE001 - the rows are read again, nothing is lost
                failure = error
            self._outside.failpoint("sink.commit.after")
        self._answered(sequence, failure, wanted)

    def _begin(self) -> int:
        self._sequence += 1
        self._started = self._outside.clock.monotonic()
        self._outside.metrics.offset_commit_seq_no = self._sequence
        return self._sequence

    def _wanted(self, answer: Any, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int] | None:
        """What to commit, None for nothing: the task's answer within the bounds of what it was given."""
        if answer is not None and not isinstance(answer, Mapping):
            raise PluginError(
                f"pre_commit of {type(self._outside.task).__qualname__} gave {type(answer).__name__!r}; it must give a "
                "mapping of partition to offset: those it was given, or fewer, or {}"
            )
        if answer is None and not self._none_is_told:
            self._none_is_told = True
            log.warning(
                "pre_commit of %s gave None, so that nothing is committed, and all is read again after a restart: does"
                " it lack `return offsets`?",
                type(self._outside.task).__qualname__,
            )
        committed = {tp: self._committed[tp] for tp in offsets}
        wanted = dict(committed)
        refused: dict[TopicPartition, str] = {}
        for partition, offset in (answer or {}).items():
            if partition not in committed:
                refused[partition] = f"an offset for {partition!r}, which is not among the partitions it was asked for"
            elif not isinstance(offset, int) or offset < 0 or offset > offsets[partition]:
                right = (
                    f"a whole number from 0 to {offsets[partition]}, the offset after the last row the task was given"
                )
                refused[partition] = f"{offset!r} for {partition!r}; it can be {right}; ignored"
            else:
                wanted[partition] = offset
        for partition in refused.keys() - self._refused:  # what was refused last has been told
            log.warning("pre_commit gave %s", refused[partition])
        self._refused = set(refused)
        return None if not answer or wanted == committed else wanted

    def _answered(self, sequence: int, error: Exception | None, offsets: Mapping[TopicPartition, int] | None) -> None:
        metrics = self._outside.metrics
        if sequence != self._sequence or self._started is None:
            metrics.commit_completed(sequence, late=True)
            return
        seconds, self._started = self._outside.clock.monotonic() - self._started, None
        if error is not None:
            if isinstance(error, UnknownTopicError):  # its consumer has said so, and none of it can be committed
                log.debug("positions in a topic that is gone: %s", error)
            elif offsets is not None and isinstance(error, BrokerError):
                self._complaint.failed(f"Commit of offsets failed; the next one includes it: {error}")
            elif offsets is not None:
                log.error("Commit of offsets failed; the next one includes it", exc_info=error)
        elif offsets is not None:
            self._committed.update({tp: offset for tp, offset in offsets.items() if tp in self._committed})
        metrics.committed(seconds * 1000, error is None)
        if error is None:
            self._complaint.mended()
            metrics.commit_completed(sequence)
