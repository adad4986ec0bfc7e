"""The way out of a source task: topics made before their first record, and what is said of rows that arrived."""

import logging
from collections.abc import Callable

from millstream.broker.ports import Admin, NewTopic
from millstream.errors import ConflictError, MillstreamError, message_of
from millstream.task.counting import SourceTaskMetrics
from millstream.task.delivery import Sent, Upstream, passing
from millstream.task.events import TopicSeen
from millstream.task.living import StopAskedError
from millstream.task.offsets import Offsets
from millstream.task.parts import SourceParts

log = logging.getLogger(__name__)


class Outlet:
    """What both kinds of `Delivery` need beside the producer.

    hold: has the task be PAUSED while that is wanted, in the midst of waiting for the log.
    """

    def __init__(
        self, parts: SourceParts, upstream: Upstream, metrics: SourceTaskMetrics, hold: Callable[[], None]
    ) -> None:
        self.parts = parts
        self.metrics = metrics
        self.hold = hold
        self.topics = Topics(parts)
        self.foretold: BaseException | None = None  # for which `end` was called
        self._upstream = upstream
        self._seen: set[str] = set()

    def end(self, error: BaseException) -> None:
        """Have the task end for this, and a poll under way at once; from any thread. `Delivery.finish` then raises
        which record it was."""
        self.foretold = error
        self.parts.control.fail(error)

    def check_cancelled(self) -> None:
        """A cancelled task writes nothing any more (§5.6)."""
        if self.parts.control.cancelled:
            raise StopAskedError

    def arrived(self, sent: Sent) -> None:
        """A slice needs no more work: its rows are in the log, dropped, or refused and skipped."""
        for row in sorted(sent.refused):
            self.parts.pipeline.refused(sent.load.slice, row, sent.refused[row])
        written = sent.load.surviving - len(sent.refused)
        self.metrics.written(written, sent.load.rows - written)
        for routed in sent.load.outgoing:
            if routed.batch.topic not in self._seen:
                self._seen.add(routed.batch.topic)
                self.parts.tell(TopicSeen(routed.batch.topic))
        self._upstream.records(sent)

    def aborted(self, sent: Sent) -> None:
        """A slice was thrown away at the connector's wish."""
        self.metrics.written(0, sent.load.rows)
        self._upstream.records(sent, written=False)

    def flushed(self, started: float, succeeded: bool, ended: float | None = None) -> None:
        """An attempt to commit offsets, begun at the moment `started`, has ended, by default now."""
        if ended is None:
            ended = self.parts.clock.monotonic()
        self.metrics.committed((ended - started) * 1000, succeeded)

    def committed(self, offsets: Offsets) -> None:
        """Tell the plugin that its offsets are committed, once they survive a power failure."""
        if offsets and self._upstream.hears_commits:
            self.parts.producer.durable()
            self.parts.failpoint("source.durable.after")
            self._upstream.committed(offsets)


class Topics:
    """Makes each topic that is missing before its first record (KIP-158, §2.6)."""

    def __init__(self, parts: SourceParts) -> None:
        self._admin: Admin = parts.admin
        self._new_topic = parts.new_topic
        self._known: set[str] = set()

    def ensure(self, topic: str) -> None:
        """Raises the broker's passing errors as they are, any other failure as one that names the topic."""
        if topic in self._known:
            return
        if self._new_topic is not None and topic not in self._admin.names():
            self._create(self._new_topic(topic))
        self._known.add(topic)

    def _create(self, new: NewTopic) -> None:
        error = self._admin.create_topics([new]).get(new.name)
        if error is None:
            log.info("Created topic %r: %d partitions, replication %d", new.name, new.partitions, new.replication)
        elif isinstance(error, ConflictError):
            log.info("Topic %r was created by another task meanwhile", new.name)
        elif passing(error):
            raise error
        else:
            raise MillstreamError(
                f"Task failed to create new topic {new.name!r} ({new.asked_for}): {message_of(error)}. Ensure that its "
                "brokers can do what these settings ask for, and that the task is authorized to create topics or that "
                "the topic exists, and restart the task"
            ) from error
