"""Reads the embedded log: a member's share of the subscribed topics, or the partitions it was given."""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from millstream.broker.embedded import groups
from millstream.broker.embedded.catalog import Catalog, is_internal
from millstream.broker.embedded.claims import Claims
from millstream.broker.embedded.cursors import Reader, Seeking
from millstream.broker.ports import ConsumerSettings, Incoming, RebalanceListener, Start
from millstream.errors import BrokerError, IllegalStateError
from millstream_api.records import TopicPartition

log = logging.getLogger(__name__)

TAIL_SECONDS = 0.02
IDLE_TAIL_SECONDS = 0.25
IDLE_AFTER_SECONDS = 10.0
LOOK_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 0.05  # while another member has what is ours now


@dataclass(frozen=True, slots=True)
class Subscription:
    topics: Sequence[str] | None
    pattern: re.Pattern[str] | None
    listener: RebalanceListener


class Tail:
    """When to look at the log again: on a change, seen every 20 ms, every 250 ms after ten idle seconds."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version: object = None
        self._busy = catalog.clock.monotonic()

    def changed(self) -> bool:
        before, self._version = self._version, self._catalog.version()
        return self._version != before

    def got_rows(self) -> None:
        self._busy = self._catalog.clock.monotonic()

    def pause(self) -> float:
        idle = self._catalog.clock.monotonic() - self._busy
        return IDLE_TAIL_SECONDS if idle >= IDLE_AFTER_SECONDS else TAIL_SECONDS


class Committing:
    """The part of a consumer that speaks for its group."""

    def __init__(self, catalog: Catalog, settings: ConsumerSettings) -> None:
        self._catalog = catalog
        self._settings = settings

    def commit(
        self, offsets: Mapping[TopicPartition, int], done: Callable[[Exception | None], None] | None = None
    ) -> None:
        failure: Exception | None = None
        try:
            self.commit_now(offsets)
        except BrokerError as error:
            failure = error
        if done is not None:
            done(failure)
        elif failure is not None:
            log.warning("A commit of positions failed; the next one includes it: %s", failure)

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        groups.commit(self._catalog, self._group(), offsets, self._settings.epoch)

    def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        found = groups.committed(self._catalog, self._group())
        return {partition: found[partition] for partition in partitions if partition in found}

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {partition: groups.end_offset(self._catalog, partition) for partition in partitions}

    def _group(self) -> str:
        if self._settings.group is None:
            raise IllegalStateError("a consumer without a group has no committed positions")
        return self._settings.group


class EmbeddedConsumer(Seeking, Committing):
    def __init__(self, catalog: Catalog, settings: ConsumerSettings) -> None:
        Seeking.__init__(self, Reader(catalog, settings))
        Committing.__init__(self, catalog, settings)
        self._share = settings.share
        self._tail = Tail(catalog)
        self._wake = threading.Event()
        self._subscription: Subscription | None = None
        self._claims: Claims | None = None
        self._next_look = 0.0
        self._unregistered: set[str] = set()
        self._internal = settings.overrides.get("exclude.internal.topics", "true").strip().lower() == "false"
        self._closed = False

    def subscribe(
        self, topics: Sequence[str] | None, pattern: re.Pattern[str] | None, listener: RebalanceListener
    ) -> None:
        if self._settings.group is None:
            raise IllegalStateError("a consumer without a group cannot subscribe: use assign")
        self._claims = Claims(self._catalog.files, self._group(), self._catalog.clock)
        self._subscription = Subscription(topics, pattern, listener)
        self._next_look = self._catalog.clock.monotonic()

    def assign(self, positions: Mapping[TopicPartition, Start]) -> None:
        if self._subscription is not None:
            raise IllegalStateError("this consumer subscribes; assign is for one that does not")
        found = {tp: groups.resolved(self._catalog, tp, start) for tp, start in positions.items()}
        self._reader.cursors.clear()
        for partition, position in found.items():
            self._reader.add(partition, position)

    def poll(self, max_rows: int, timeout: float) -> Sequence[Incoming]:
        if self._closed:
            raise IllegalStateError(f"the consumer {self._settings.client_id!r} is closed; nothing can be read")
        clock = self._catalog.clock
        deadline = clock.monotonic() + timeout
        self._look()
        rows = self._reader.rows(max_rows)
        if not rows:  # else nobody waits, and the log is not asked whether it has changed
            self._tail.changed()  # before the rows are read again: a commit after this is seen as a change
            rows = self._reader.rows(max_rows)
        while True:
            if rows:
                self._tail.got_rows()
                self._wake.clear()
                return rows
            while True:
                left = deadline - clock.monotonic()
                if self._wake.wait(max(min(self._tail.pause(), left), 0.0)):
                    self._wake.clear()
                    return rows
                if left <= 0:
                    return rows
                if self._look() or self._tail.changed():
                    rows = self._reader.rows(max_rows)
                    break

    def _look(self) -> bool:
        """Every second, see which topics there are; true when the assignment has changed."""
        subscription, claims = self._subscription, self._claims
        now = self._catalog.clock.monotonic()
        if subscription is None or claims is None or now < self._next_look:
            return False
        self._next_look = now + LOOK_SECONDS
        self._register()
        wanted = self._wanted(subscription)
        revoked = [partition for partition in self._reader.cursors if partition not in wanted]
        added = [partition for partition in wanted if partition not in self._reader.cursors]
        if revoked:
            subscription.listener.revoked(revoked)
            for partition in revoked:
                del self._reader.cursors[partition]
            claims.let_go(revoked)
        added = claims.free(added)
        if claims.waiting:
            self._next_look = min(self._next_look, now + LOOK_AGAIN_SECONDS)
        if added:
            try:
                self._add(added)
            except BaseException:
                claims.let_go(added)
                raise
            subscription.listener.assigned(added)
        return bool(revoked or added)

    def _wanted(self, subscription: Subscription) -> dict[TopicPartition, None]:
        wanted: dict[TopicPartition, None] = {}
        for name in groups.matching(self._catalog.names(), subscription.topics, subscription.pattern):
            topic = self._catalog.find(name)
            if topic is None or (
                subscription.pattern and not self._internal and is_internal(topic, self._catalog.settings)
            ):
                continue
            for partition in groups.share(len(topic.slots), *self._share):
                wanted[TopicPartition(name, partition)] = None
        return wanted

    def _add(self, partitions: Sequence[TopicPartition]) -> None:
        self._unregistered |= {partition.topic for partition in partitions}
        self._register()  # first, so that retention leaves alone what is found next
        committed = groups.committed(self._catalog, self._group())
        new = sorted(set(partitions) - committed.keys()) if self._settings.reset == "none" else ()
        if new:
            named = ", ".join(f"{topic}-{partition}" for topic, partition in new)
            raise groups.nowhere(f"{named}: no position is committed")
        start: Start = "end" if self._settings.reset == "latest" else "beginning"
        found = {
            partition: committed[partition]
            if partition in committed
            else groups.resolved(self._catalog, partition, start)
            for partition in partitions
        }
        for partition, position in found.items():  # all or none: the listener is told of all of them
            self._reader.add(partition, position)

    def _register(self) -> None:
        """Let retention know what this group reads; a full disk may hinder that, and it is tried at every look."""
        topics = self._unregistered
        if not topics:
            return
        try:
            groups.register(self._catalog, self._group(), topics, self._settings.epoch)
        except BrokerError as error:
            if not error.retriable:
                raise
            log.warning(
                "Retention does not know yet that group %r reads %r, and is told at the next look: %s",
                self._group(),
                sorted(topics),
                error,
            )
        else:
            self._unregistered = set()

    def reshare(self, member: int, members: int) -> None:
        if not 0 <= member < members:
            raise ValueError(f"member {member} of {members}: members are numbered from 0")
        self._share = (member, members)
        self._next_look = 0.0

    def wakeup(self) -> None:
        self._wake.set()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._subscription is not None and self._reader.cursors:
                self._subscription.listener.revoked(list(self._reader.cursors))
        finally:
            self._reader.cursors.clear()
            if self._claims is not None:
                self._claims.close()
            self._catalog.close()
