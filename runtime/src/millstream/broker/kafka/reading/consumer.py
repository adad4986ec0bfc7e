"""Reads rows from Kafka: a member of a group, or the partitions it was given."""

import logging
import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from millstream.broker.kafka.client.failures import UNKNOWN, Watch, explained
from millstream.broker.kafka.client.forgotten import Reminder
from millstream.broker.kafka.client.lines import Listening
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.client.renewable import Renewable
from millstream.broker.kafka.reading.commits import Commits, Committing
from millstream.broker.kafka.reading.gone import Gone
from millstream.broker.kafka.reading.membership import SAY_AGAIN_SECONDS, Membership
from millstream.broker.kafka.reading.places import Places
from millstream.broker.kafka.reading.questions import Questions
from millstream.broker.kafka.reading.rows import columns
from millstream.broker.kafka.reading.silent import Silence
from millstream.broker.kafka.reading.topic_ids import TopicIds
from millstream.broker.ports import ConsumerSettings, Incoming, RebalanceListener, Start
from millstream.errors import IllegalStateError
from millstream.lifecycle import Clock
from millstream_api.records import TopicPartition

log = logging.getLogger(__name__)

SESSION_MS = 45_000
STEP_SECONDS = 0.1  # how late a wakeup is heard
ASK_SECONDS = 0.02
#: librdkafka rests for 10 ms (fetch.queue.backoff.ms) once it has so many rows; a fast sink takes 13,000 in that time
ROWS_AHEAD = 30_000


class Steering:
    """Where a consumer is, and how it is moved."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._places.of)

    def position(self, partition: TopicPartition) -> int:
        return self._places.of[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._places.seek(partition, offset)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._places.pause(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._places.resume(partitions)


class Events:
    """What comes between the rows: ends of partitions, troubles."""

    def __init__(self, watch: Watch, clock: Clock, gone: Gone) -> None:
        self._gone = gone
        self._watch = watch
        self._clock = clock
        self._missing: dict[str, float] = {}

    def take(self, message: Message, ends: dict[TopicPartition, int]) -> bool:
        """Whether it is no row. Raises what the brokers refuse.   ends: gets the ends of partitions."""
        error = message.error()
        if error is None:
            return False
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error.code() == KafkaError._PARTITION_EOF and topic is not None and partition is not None:
            if offset is not None:
                ends[TopicPartition(topic, partition)] = offset
        elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED and not self._watch.peer.group:
            pass  # librdkafka looks for the coordinator of a group that a reader of given partitions does not use
        elif error.code() in UNKNOWN:
            self._gone.noticed(topic or "")
            self.wait_for(topic or "")
        elif error.code() == KafkaError._MAX_POLL_EXCEEDED:
            log.warning(
                "The task was away longer than max.poll.interval.ms, and its group gave its partitions to others: %s. "
                "What it had not committed is delivered again. If its put needs so long, raise "
                "consumer.override.max.poll.interval.ms, or lower consumer.override.max.poll.records",
                error.str(),
            )
        else:
            peer = self._watch.peer
            failure = explained(error, f"reading {topic or f'as a member of group {peer.group!r}'}", peer, topic)
            if not failure.retriable and error.code() != KafkaError.UNKNOWN:  # its own trouble; Java goes on, too
                raise failure
            self._watch.heard(error)
        return True

    def went_back(self, partition: TopicPartition, offset: int, reached: int) -> None:
        """It goes on before the place that was reached, and nobody had sought that."""
        log.warning(
            "%s-%d goes on at offset %d, and had been read up to %d: the topic was deleted and made anew, or its log "
            "was cut. What was not read before that is gone; what is there now is read from that offset on",
            *(partition.topic, partition.partition, offset, reached),
        )

    def dealt_out(self, topics: Collection[str]) -> None:
        for topic in sorted(self._gone.anew.intersection(topics)):
            if self._gone.has(topic):
                log.warning(
                    "topic %r was deleted and made anew: it is read from its start; what was not read of the former "
                    "one is gone",
                    topic,
                )

    def wait_for(self, topic: str) -> None:
        now = self._clock.monotonic()
        if now - self._missing.get(topic, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._missing[topic] = now
            log.warning("topic %r does not exist; it is waited for: create it, or correct `topics`", topic)


class KafkaConsumer(Steering, Committing):
    def __init__(self, making: Making, settings: ConsumerSettings, watch: Watch, clock: Clock) -> None:
        gone = Gone(clock)
        self._ids = TopicIds(gone)
        commits = Commits(gone, watch.peer)
        java, more = _composed(making, settings)
        hears = {**more, "on_commit": commits.answered}
        self._renewable = Renewable(lambda: making.consumer(java, hears, watch, Listening(self._ids.unled, self._ids)))
        client: Any = self._renewable
        questions = Questions(client, watch, making.api_seconds("consumer", settings.overrides), clock, self._ids)
        places = Places(client, settings.group is not None and _piecewise(making, java), watch.peer)
        Steering.__init__(self, places)
        Committing.__init__(self, client, settings.group, commits, questions, gone)
        self._settings = settings
        self._watch = watch
        self._clock = clock
        self._events = Events(watch, clock, gone)
        self._silence = Silence(client, places, clock, self._ids.unled)
        self._member = Membership(client, places, questions, java, self._events.wait_for)
        self._session = int(making.translated("consumer", java).get("session.timeout.ms", SESSION_MS)) / 1000
        self._looked = clock.monotonic()
        self._doubt = False  # whether its group may have gone on without it
        self._wake = threading.Event()
        self._reminder = Reminder(watch, clock)
        self._closed = False
        self._drained = False  # whether all that was fetched has been given
        self._one_topic = False  # whether all rows are of one topic, whatever partitions come

    def subscribe(
        self, topics: Sequence[str] | None, pattern: re.Pattern[str] | None, listener: RebalanceListener
    ) -> None:
        if self._settings.group is None:
            raise IllegalStateError("a consumer without a group cannot subscribe: use assign")
        self._one_topic = pattern is None and len(topics or ()) == 1

        def assigned(partitions: Collection[TopicPartition]) -> None:
            self._ever.update(filter(self._ids.written, partitions))
            topics = self._gone.dealt_out(partitions, self._places.of)
            self._events.dealt_out(topics.intersection(each.topic for each in partitions if not self._ids.stands(each)))
            self._gone.over(topics)
            listener.assigned(partitions)

        self._member.subscribe(topics, pattern, replace(listener, assigned=assigned), self._clock)

    def assign(self, positions: Mapping[TopicPartition, Start]) -> None:
        if self._member.subscribed:
            raise IllegalStateError("this consumer subscribes; assign is for one that does not")
        found: dict[TopicPartition, int] = {}
        for partition, start in positions.items():
            if isinstance(start, int):
                found[partition] = start
            else:
                first, end = self._questions.bounds(partition)
                found[partition] = first if start == "beginning" else end
        self._places.of = found
        self._places.give(found)

    def poll(self, max_rows: int, timeout: float) -> Sequence[Incoming]:
        if self._closed:
            raise IllegalStateError(f"the consumer {self._settings.client_id!r} is closed; nothing can be read")
        deadline = self._clock.monotonic() + timeout
        while True:
            if self._drained:
                self._silence.look()
            if self._ids.unled.topics and self._ids.unled.are_among(self._places.of):
                self._renew()
            self._member.follow()
            messages = self._read(max_rows, deadline)
            self._drained = len(messages) < max_rows
            if self._ids.doubtful:
                self._ids.read({(one.topic(), one.partition()) for one in messages if one.error() is None})
            if self._gone.anew:
                messages = self._begun_anew(messages)
            if self._settings.group is not None and self._in_doubt():
                self._places.read_again(self._places.of)
                messages = [message for message in messages if message.error() is not None]
            try:
                self._member.raise_remembered()
                self._watch.check()
                rows = self._taken(messages) if messages else []
            except BaseException:
                self._places.read_again(_partitions_of(messages))  # they are not given, and librdkafka thinks they are
                raise
            if rows:
                self._reminder.answered()
            else:
                self._reminder.waiting(self._client)
            woken = self._wake.is_set()
            if rows or woken or self._clock.monotonic() >= deadline:
                if woken:
                    self._wake.clear()
                return rows

    def _begun_anew(self, messages: list[Message]) -> list[Message]:
        """Topics are others in the same names: every row is one to be read, and those in hand are of either.

        Positions in the former may have been committed for those that have their names now. What was dealt out behind
        the news has begun, and only goes back to where it is.   Gives what is left.
        """
        mine = [partition for partition in self._places.of if partition.topic in self._gone.anew]
        anew = {partition.topic for partition in mine}
        if not anew:
            return messages  # once they are dealt out, they are read from their start
        begun = self._gone.begun.intersection(mine)
        reached = {partition: self._places.of[partition] for partition in mine if partition not in begun}
        self._gone.anew.difference_update(anew)
        if reached:
            self._member.begin_anew(list(reached))
        self._places.read_again(begun)
        for partition, offset in reached.items():
            if offset:
                self._events.went_back(partition, 0, offset)
        self._gone.over(anew)
        self._commit_anew(reached)
        return [message for message in messages if message.topic() not in anew]

    def _renew(self) -> None:
        """Have another client go on, which joins the group anew: this one would never read these topics."""
        log.warning("%s. Another one reads on", self._ids.unled)
        self._client.close()
        if self._settings.group is not None:
            self._member.closed()
            self._commits.give_up(self._settings.group)
        self._places.renewed()
        self._ids.unled.renewed()
        self._renewable.renew()
        if self._settings.group is None:
            self._places.give(self._places.of)

    def _in_doubt(self) -> bool:
        """Whether it stood still so long that others may have the partitions: what was fetched by now is theirs then.

        librdkafka tells of it behind rows, and perhaps later than it fetches more: the group is asked.
        """
        before, self._looked = self._looked, self._clock.monotonic()
        if self._looked - before > self._session:
            self._doubt = True
        elif not self._doubt:
            return False
        self._doubt = not self.still_has(self._places.of)
        if self._doubt:
            self._wake.wait(ASK_SECONDS)
        return True

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

    def _read(self, max_rows: int, deadline: float) -> list[Message]:
        """What has been fetched, or else what comes first within a step: `consume` alone waits for all it may give."""
        try:
            messages = self._client.consume(max_rows, 0)
            if messages:
                return messages
            first = self._client.poll(max(min(deadline - self._clock.monotonic(), STEP_SECONDS), 0.0))
            if first is None:
                return []
            return [first, *(self._client.consume(max_rows - 1, 0) if max_rows > 1 else ())]
        except BaseException as error:
            self._places.read_again(self._places.of)  # which rows librdkafka takes for given is not known
            if isinstance(error, KafkaException):  # such as being fenced by a member of the same group.instance.id
                raise explained(error, f"reading as a member of {self._settings.group!r}", self._watch.peer) from error
            raise

    def _taken(self, messages: list[Message]) -> list[Incoming]:
        of, paused, jumped = self._places.of, self._places.paused, self._places.jumped
        ends: dict[TopicPartition, int] = {}
        if any(map(Message.error, messages)):
            messages = [message for message in messages if not self._events.take(message, ends)]
        given = []
        for rows in columns(messages, self._one_topic):
            partition = TopicPartition(rows.topic, rows.partition)
            if partition in jumped:
                ends.pop(partition, None)
                self._places.read_again([partition])
            elif partition in paused:
                ends.pop(partition, None)
                self._places.dropped(partition)
            elif partition in of:  # else it went while they were under way
                if rows.offsets[0] < of[partition]:
                    self._gone.went_back(partition, of)
                    self._events.went_back(partition, rows.offsets[0], of[partition])
                of[partition] = rows.offsets[-1] + 1
                self._silence.gave(partition, rows.offsets[0])
                given.append(rows)
        for partition, offset in ends.items():
            if partition in of:
                of[partition] = max(of[partition], offset)
        if given:
            self._watch.answered()
            if self._ids.unsaid:
                read = {TopicPartition(rows.topic, rows.partition) for rows in given}
                self._ids.settle(self._ids.unsaid & read)
        return given


def _partitions_of(messages: Iterable[Message]) -> list[TopicPartition]:
    """Of rows and of ends."""
    return [
        TopicPartition(message.topic(), message.partition())  # type: ignore[arg-type]  # as it is of a partition
        for message in messages
        if (error := message.error()) is None or error.code() == KafkaError._PARTITION_EOF
    ]


def _composed(making: Making, settings: ConsumerSettings) -> tuple[dict[str, str], dict[str, Any]]:
    """Java's settings, and librdkafka's own beside them."""
    java = making.settings("consumer", settings.overrides)
    java.setdefault("client.id", settings.client_id)
    java["group.id"] = settings.group or f"{settings.client_id}-reads-without-a-group"
    java.setdefault("auto.offset.reset", settings.reset)
    if settings.group is not None:
        return java, _ahead(java, settings.queue_bytes) if settings.queue_bytes else {}
    java.setdefault("isolation.level", "read_committed")
    java["allow.auto.create.topics"] = "false"
    return java, {"enable.partition.eof": True}  # its position passes the ends of transactions


def _ahead(java: dict[str, str], queue_bytes: int) -> dict[str, Any]:
    """Settings with which what is fetched ahead takes so many bytes here, also of rows of 100 bytes.

    librdkafka looks at its queue before it asks for more, and counts bytes of rows alone: what comes is on top, so that
    the answers of the brokers have to be as small. What Java's settings say is not changed; the budget counts it.
    """
    part = queue_bytes // 4
    java.setdefault("fetch.max.bytes", str(max(part, 1 << 20)))
    java.setdefault("max.partition.fetch.bytes", str(min(max(part // 2, 1 << 18), 1 << 20)))
    rows = min(max(queue_bytes // 2048, 1000), ROWS_AHEAD)
    return {"queued.max.messages.kbytes": max(part // 1024, 1), "queued.min.messages": rows}


def _piecewise(making: Making, java: Mapping[str, str]) -> bool:
    """Whether partitions come and go one by one."""
    strategy = making.translated("consumer", java).get("partition.assignment.strategy", "")
    return "cooperative" in strategy or java.get("group.protocol", "classic").lower() == "consumer"
