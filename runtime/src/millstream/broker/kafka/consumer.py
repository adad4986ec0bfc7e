"""Reads rows from Kafka: a member of a group, or the partitions it was given."""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.failures import NEW, Watch, error_of, explained
from millstream.broker.kafka.making import Making
from millstream.broker.kafka.membership import Membership
from millstream.broker.kafka.rows import columns
from millstream.broker.ports import ConsumerSettings, Incoming, RebalanceListener, Start
from millstream.errors import BrokerError, IllegalStateError
from millstream.lifecycle import Clock, StopToken
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

T = TypeVar("T")

STEP_SECONDS = 0.1  # how late a wakeup is heard
AGAIN_SECONDS = 0.02
EOF = KafkaError._PARTITION_EOF
Done = Callable[[Exception | None], None]


class Commits:
    """Commits under way. Answers come in the order of the questions, inside a poll."""

    def __init__(self) -> None:
        self._waiting: deque[Done | None] = deque()

    def asked(self, done: Done | None) -> None:
        self._waiting.append(done)

    def answered(self, error: KafkaError | None, offsets: Sequence[At]) -> None:
        if not self._waiting:
            return
        done = self._waiting.popleft()
        first = error or next((at.error for at in offsets if at.error is not None), None)
        if done is not None:
            done(None if first is None else explained(first, "committing positions"))

    def give_up(self, group: str) -> None:
        while self._waiting:
            done = self._waiting.popleft()
            if done is not None:
                done(BrokerError(f"the consumer of group {group!r} was closed before its commit was answered"))


class Positions:
    """Where a consumer is. librdkafka's own positions begin with the first row only."""

    def __init__(self, client: "Consumer", watch: Watch, seconds: float, clock: Clock) -> None:
        self.of: dict[TopicPartition, int] = {}
        self._clock = clock
        self._rest = StopToken()  # never set: to wait on
        self._client = client
        self._watch = watch
        self._seconds = seconds

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = [At(*partition) for partition in partitions]
        if not wanted:
            return {}
        found = self._asked("reading committed positions", lambda: self._client.committed(wanted, self._seconds))
        return {TopicPartition(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        at = At(*partition)
        doing = f"reading the offsets of {partition.topic}-{partition.partition}"
        return self._asked(doing, lambda: self._client.get_watermark_offsets(at, self._seconds, False))

    def _asked(self, doing: str, question: Callable[[], T | None]) -> T:
        """Ask, again while a topic or group is so new that its brokers do not know it."""
        deadline = self._clock.monotonic() + self._seconds
        while True:
            try:
                answer = question()
            except KafkaException as error:
                self._watch.check()
                if error_of(error).code() not in NEW or self._clock.monotonic() >= deadline:
                    raise explained(error, doing) from error
            else:
                if answer is None:
                    raise self._watch.unreachable(doing)
                return answer
            self._rest.wait(AGAIN_SECONDS)


class KafkaConsumer:
    def __init__(self, making: Making, settings: ConsumerSettings, watch: Watch, clock: Clock) -> None:
        self._settings = settings
        self._watch = watch
        self._clock = clock
        self._commits = Commits()
        java = making.settings("consumer", settings.overrides)
        java["client.id"] = settings.client_id
        java["group.id"] = settings.group or f"{settings.client_id}-reads-without-a-group"
        java.setdefault("auto.offset.reset", settings.reset)
        more: dict[str, object] = {"on_commit": self._commits.answered}
        if settings.group is None:
            java.setdefault("isolation.level", "read_committed")
            java["allow.auto.create.topics"] = "false"
            more["enable.partition.eof"] = True  # its position passes the ends of transactions
        self._client = making.consumer(java, more, watch)
        self._positions = Positions(self._client, watch, making.api_seconds("consumer", settings.overrides), clock)
        cooperative = (
            "cooperative" in making.translated("consumer", java).get("partition.assignment.strategy", "")
            or java.get("group.protocol", "classic").lower() == "consumer"
        )
        self._member = Membership(self._client, self._positions, java, cooperative)
        self._wake = threading.Event()
        self._closed = False

    def subscribe(
        self, topics: Sequence[str] | None, pattern: re.Pattern[str] | None, listener: RebalanceListener
    ) -> None:
        if self._settings.group is None:
            raise IllegalStateError("a consumer without a group cannot subscribe: use assign")
        self._member.subscribe(topics, pattern, listener, self._clock)

    def assign(self, positions: Mapping[TopicPartition, Start]) -> None:
        if self._member.subscribed:
            raise IllegalStateError("this consumer subscribes; assign is for one that does not")
        found: dict[TopicPartition, int] = {}
        for partition, start in positions.items():
            if isinstance(start, int):
                found[partition] = start
            else:
                first, end = self._positions.bounds(partition)
                found[partition] = first if start == "beginning" else end
        self._positions.of = found
        self._member.reassign()

    def poll(self, max_rows: int, timeout: float) -> Sequence[Incoming]:
        if self._closed:
            raise IllegalStateError(f"the consumer {self._settings.client_id!r} is closed; nothing can be read")
        deadline = self._clock.monotonic() + timeout
        client = self._client
        while True:
            self._member.look()
            messages = client.consume(max_rows, 0)
            if not messages:
                left = deadline - self._clock.monotonic()
                first = client.poll(max(min(left, STEP_SECONDS), 0.0))
                if first is not None:
                    messages = [first, *(client.consume(max_rows - 1, 0) if max_rows > 1 else ())]
            self._member.raise_remembered()
            self._watch.check()
            rows = self._taken(messages) if messages else []
            woken = self._wake.is_set()
            if rows or woken or self._clock.monotonic() >= deadline:
                if woken:
                    self._wake.clear()
                return rows

    def _taken(self, messages: list[Message]) -> list[Incoming]:
        positions, paused = self._positions.of, self._member.paused
        if any(map(Message.error, messages)):
            messages = [message for message in messages if not self._is_event(message)]
        found = columns(messages)
        if paused or len(found) > 1 or (found and TopicPartition(found[0].topic, found[0].partition) not in positions):
            found = [rows for rows in found if self._wanted(TopicPartition(rows.topic, rows.partition), rows)]
        for rows in found:
            positions[TopicPartition(rows.topic, rows.partition)] = rows.offsets[-1] + 1
        return found

    def _wanted(self, partition: TopicPartition, rows: Incoming) -> bool:
        """Rows that were under way when their partition was paused or went are not given: they are read again."""
        if partition not in self._positions.of:
            return False
        if partition in self._member.paused:
            self._member.rewind_on_resume(partition)
            return False
        return True

    def _is_event(self, message: Message) -> bool:
        """Whether it is no row. Raises what the brokers refuse."""
        error = message.error()
        if error is None:
            return False
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error.code() == EOF and topic is not None and partition is not None and offset is not None:
            at = TopicPartition(topic, partition)
            if at in self._positions.of:
                self._positions.of[at] = max(self._positions.of[at], offset)
        elif error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            self._member.missing(topic or "")
        elif error.code() in (KafkaError._MAX_POLL_EXCEEDED, KafkaError._AUTO_OFFSET_RESET):
            self._member.said(error)
        else:
            failure = explained(error, f"reading {topic or 'the group'}")
            if not failure.retriable:
                raise failure
            self._watch.heard(error)
        return True

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions.of)

    def position(self, partition: TopicPartition) -> int:
        return self._positions.of[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._positions.of:
            raise KeyError(partition)
        self._positions.of[partition] = offset
        self._member.moved(partition)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._member.pause(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._member.resume(partitions)

    def commit(self, offsets: Mapping[TopicPartition, int], done: Done | None = None) -> None:
        self._need_group()
        try:
            self._client.commit(offsets=_ats(offsets), asynchronous=True)
        except KafkaException as error:
            failure = explained(error, "committing positions")
            if done is None:
                raise failure from error
            done(failure)
        else:
            self._commits.asked(done)

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._need_group()
        try:
            answers = self._client.commit(offsets=_ats(offsets), asynchronous=False)
        except KafkaException as error:
            raise explained(error, "committing positions") from error
        for at in answers or ():
            if at.error is not None:
                raise explained(at.error, f"committing the position of {at.topic}-{at.partition}")

    def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._need_group()
        return self._positions.committed(partitions)

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {partition: self._positions.bounds(partition)[1] for partition in partitions}

    def reshare(self, member: int, members: int) -> None:
        """Kafka's group protocol deals partitions out."""

    def wakeup(self) -> None:
        self._wake.set()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._client.close()
        self._member.closed()
        self._commits.give_up(self._settings.group or "")

    def _need_group(self) -> None:
        if self._settings.group is None:
            raise IllegalStateError("a consumer without a group has no committed positions")


def _ats(offsets: Mapping[TopicPartition, int]) -> list[At]:
    return [At(partition.topic, partition.partition, offset) for partition, offset in offsets.items()]
