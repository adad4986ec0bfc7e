"""A consumer's subscription and assignment: how partitions come, go, pause and move."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.failures import explained
from millstream.broker.ports import RebalanceListener
from millstream.errors import BrokerError
from millstream.lifecycle import Clock
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from millstream.broker.kafka.consumer import Positions

log = logging.getLogger(__name__)

SAY_AGAIN_SECONDS = 30.0
LOOK_SECONDS = 5.0


@dataclass(slots=True)
class Search:
    """`topics.regex`: Java's full match, over what the brokers tell; librdkafka's own search is another."""

    pattern: re.Pattern[str]
    listener: RebalanceListener
    found: frozenset[str] = frozenset()
    next_look: float = 0.0


class Membership:
    """Used on the consumer's thread; librdkafka calls `_assigned`, `_revoked` and `_lost` inside its poll and close.

    While one of them runs, positions and pauses are only noted: the assignment that follows carries them.
    """

    def __init__(self, client: "Consumer", positions: "Positions", java: Mapping[str, str], cooperative: bool) -> None:
        self.subscribed = False
        self.paused: set[TopicPartition] = set()
        self._client = client
        self._positions = positions
        self._cooperative = cooperative
        self._reset = java.get("auto.offset.reset", "earliest").lower()
        self._max_age = int(java.get("metadata.max.age.ms", 300_000)) / 1000
        self._internal = java.get("exclude.internal.topics", "true").lower() == "false"
        self._inside = False
        self._failure: BaseException | None = None
        self._listener: RebalanceListener | None = None
        self._search: Search | None = None
        self._clock: Clock | None = None
        self._rewound: set[TopicPartition] = set()
        self._missing: dict[str, float] = {}

    def subscribe(
        self, topics: Sequence[str] | None, pattern: re.Pattern[str] | None, listener: RebalanceListener, clock: Clock
    ) -> None:
        self.subscribed, self._listener, self._clock = True, listener, clock
        if pattern is not None:
            self._search = Search(pattern, listener)
        else:
            self._subscribe(list(topics or ()))

    def look(self) -> None:
        """When it is due, see which topics match now, and subscribe to them if they are others."""
        search, clock = self._search, self._clock
        if search is None or clock is None or clock.monotonic() < search.next_look:
            return
        try:
            known = self._client.list_topics(timeout=LOOK_SECONDS).topics
        except KafkaException as error:
            search.next_look = clock.monotonic() + 1.0
            log.warning("topics that match %r cannot be looked for: %s", search.pattern.pattern, error)
            return
        internal = self._internal
        names = (name for name in known if internal or not name.startswith("__"))
        found = frozenset(name for name in names if search.pattern.fullmatch(name))
        search.next_look = clock.monotonic() + (self._max_age if found else min(self._max_age, 1.0))
        if found != search.found:
            search.found = found
            log.info("%d topics match %r", len(found), search.pattern.pattern)
            if found:
                self._subscribe(sorted(found))
            else:
                self._client.unsubscribe()

    def missing(self, topic: str) -> None:
        """A subscribed topic does not exist: it is waited for, and said every 30 s."""
        now = self._clock.monotonic() if self._clock is not None else 0.0
        if now - self._missing.get(topic, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._missing[topic] = now
            log.warning("topic %r does not exist; it is waited for: create it, or correct `topics`", topic)

    def said(self, error: KafkaError) -> None:
        log.warning("%s", error.str())

    def reassign(self) -> None:
        """Have librdkafka read the partitions that are noted, from the positions that are noted."""
        self._call(lambda: self._client.assign(self._ats(self._positions.of)))
        if self.paused:
            self._call(lambda: self._client.pause(self._ats(self.paused)))

    def moved(self, partition: TopicPartition) -> None:
        """The position of a partition was set."""
        if self._inside:
            return
        self._rewound.discard(partition)
        try:
            self._client.seek(self._ats([partition])[0])
        except KafkaException:  # not yet being read: it is given anew, with its position
            if self._cooperative and self.subscribed:
                self._call(lambda: self._client.incremental_unassign(self._ats([partition])))
                self._call(lambda: self._client.incremental_assign(self._ats([partition])))
            else:
                self.reassign()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        mine = [partition for partition in partitions if partition in self._positions.of]
        self.paused.update(mine)
        if mine and not self._inside:
            self._call(lambda: self._client.pause(self._ats(mine)))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        mine = [partition for partition in partitions if partition in self.paused]
        self.paused.difference_update(mine)
        if not mine or self._inside:
            return
        self._call(lambda: self._client.resume(self._ats(mine)))
        for partition in self._rewound.intersection(mine):
            self.moved(partition)

    def rewind_on_resume(self, partition: TopicPartition) -> None:
        """Rows of a paused partition came all the same, and were dropped."""
        self._rewound.add(partition)

    def raise_remembered(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def closed(self) -> None:
        """The client is closed; if it did not revoke what there was, that is told now."""
        mine = list(self._positions.of)
        self._positions.of = {}
        if mine and self._listener is not None:
            self._listener.revoked(mine)

    def _subscribe(self, topics: list[str]) -> None:
        self._call(
            lambda: self._client.subscribe(
                topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        )

    def _assigned(self, client: "Consumer", ats: list[At]) -> None:
        partitions = [TopicPartition(at.topic, at.partition) for at in ats]

        def take() -> None:
            self._positions.of |= self._starts(partitions)
            assert self._listener is not None
            self._listener.assigned(partitions)

        self._inside_of(take)
        held = [partition for partition in partitions if partition in self._positions.of]
        if self._cooperative:
            client.incremental_assign(self._ats(held))
        else:
            client.assign(self._ats(self._positions.of))
        paused = self.paused.intersection(held)
        if paused:
            client.pause(self._ats(paused))

    def _revoked(self, client: "Consumer", ats: list[At]) -> None:
        self._gone(client, ats, lost=False)

    def _lost(self, client: "Consumer", ats: list[At]) -> None:
        self._gone(client, ats, lost=True)

    def _gone(self, client: "Consumer", ats: list[At], lost: bool) -> None:
        partitions = [TopicPartition(at.topic, at.partition) for at in ats]
        mine = [partition for partition in partitions if partition in self._positions.of]

        def let_go() -> None:
            assert self._listener is not None
            (self._listener.lost if lost else self._listener.revoked)(mine)

        if mine:
            self._inside_of(let_go)
        for partition in mine:
            self._positions.of.pop(partition, None)
            self.paused.discard(partition)
            self._rewound.discard(partition)
        if self._cooperative:
            client.incremental_unassign(ats)
        else:
            client.unassign()

    def _starts(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed positions; where there is none, what `auto.offset.reset` says."""
        found = self._positions.committed(partitions)
        for partition in partitions:
            if partition not in found:
                if self._reset == "none":
                    raise BrokerError(
                        f"{partition.topic}-{partition.partition} has no committed position, and auto.offset.reset is "
                        "none; set consumer.override.auto.offset.reset to earliest or latest"
                    )
                first, end = self._positions.bounds(partition)
                found[partition] = end if self._reset == "latest" else first
        return {partition: found[partition] for partition in partitions}

    def _inside_of(self, step: Callable[[], None]) -> None:
        """What it raises is remembered for the poll that is under way: it must not pass through librdkafka."""
        self._inside = True
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised behind the poll
            self._failure = self._failure or error
        finally:
            self._inside = False

    def _ats(self, partitions: Iterable[TopicPartition]) -> list[At]:
        of = self._positions.of
        return [At(partition.topic, partition.partition, of[partition]) for partition in partitions if partition in of]

    def _call(self, step: Callable[[], None]) -> None:
        try:
            step()
        except KafkaException as error:
            raise explained(error, "steering the consumer") from error
