"""What a Kafka consumer does when its client fails, or moves partitions, at the wrong moment; the client does so when
told to."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.consumer import KafkaConsumer
from millstream.broker.kafka.failures import Watch
from millstream.broker.kafka.making import Making
from millstream.broker.ports import ConsumerSettings, RebalanceListener
from millstream.errors import BrokerError, UnknownTopicError
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
COUNT = 20
AWAY = KafkaError(KafkaError._TRANSPORT, "the broker is away")


def at_of(partition: TopicPartition) -> At:
    return At(partition.topic, partition.partition)


@dataclass
class Client:
    """A librdkafka consumer in memory, with COUNT rows in each partition, which gives one row of each in turn.

    As librdkafka's, a pause outlives a revocation. steps: what happens inside the next calls: before the first row.
    """

    settings: Mapping[str, Any]
    at: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[TopicPartition] = field(default_factory=set)
    hear: dict[str, Callable[..., None]] = field(default_factory=dict)
    inside: list[Callable[[list[Message]], None]] = field(default_factory=list)
    asked: list[tuple[list[At], bool]] = field(default_factory=list)
    committed_at: dict[TopicPartition, int] = field(default_factory=dict)

    def subscribe(self, topics: Sequence[str], **hear: Callable[..., None]) -> None:
        self.hear = hear

    def consume(self, rows: int, seconds: float) -> list[Message]:
        found: list[Message] = []
        while len(found) < rows:
            ready = [p for p, offset in self.at.items() if p not in self.paused and offset < COUNT]
            if not ready:
                break
            for partition in ready[: rows - len(found)]:
                offset = self.at[partition]
                self.at[partition] = offset + 1
                found.append(Message(topic=partition.topic, partition=partition.partition, value=b"%d" % offset,
                                     offset=offset, timestamp=(1, offset)))  # fmt: skip
        if self.inside:
            self.inside.pop(0)(found)
        return found

    def poll(self, seconds: float) -> Message | None:
        return next(iter(self.consume(1, seconds)), None)

    def assign(self, ats: Iterable[At]) -> None:
        self.at = {TopicPartition(at.topic, at.partition): at.offset for at in ats}

    def unassign(self) -> None:
        self.at = {}

    def incremental_assign(self, ats: Iterable[At]) -> None:
        self.at |= {TopicPartition(at.topic, at.partition): at.offset for at in ats}

    def incremental_unassign(self, ats: Iterable[At]) -> None:
        for at in ats:
            self.at.pop(TopicPartition(at.topic, at.partition))

    def seek(self, at: At) -> None:
        partition = TopicPartition(at.topic, at.partition)
        if partition not in self.at:
            raise KafkaException(KafkaError(KafkaError._STATE, "not assigned"))
        self.at[partition] = at.offset

    def pause(self, ats: Iterable[At]) -> None:
        self.paused.update(TopicPartition(at.topic, at.partition) for at in ats)

    def resume(self, ats: Iterable[At]) -> None:
        self.paused.difference_update(TopicPartition(at.topic, at.partition) for at in ats)

    def committed(self, ats: Sequence[At], seconds: float) -> list[At]:
        places = [TopicPartition(at.topic, at.partition) for at in ats]
        return [At(*place, self.committed_at.get(place, -1001)) for place in places]

    def get_watermark_offsets(self, at: At, seconds: float, cached: bool) -> tuple[int, int]:
        return 0, COUNT

    def commit(self, offsets: list[At], asynchronous: bool) -> list[At] | None:
        self.asked.append((offsets, asynchronous))
        return None if asynchronous else offsets

    def close(self) -> None:
        self.at = {}

    def answer(self, number: int, error: KafkaError | None = None) -> None:
        """The answer to the commit that was asked for as the `number`-th."""
        self.settings["on_commit"](error, self.asked[number][0])

    def rebalance(self, kind: str, *partitions: TopicPartition) -> None:
        self.hear[f"on_{kind}"](self, [at_of(partition) for partition in partitions])


class Faking(Making):
    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", {})
        self.made: list[Client] = []

    def consumer(self, java: Mapping[str, str], more: Mapping[str, Any], watch: Watch) -> Any:
        self.made.append(Client(more))
        return self.made[-1]


class Member:
    """A consumer of a group, what it has read, and what is done when partitions come or go."""

    def __init__(self, strategy: str = "CooperativeStickyAssignor", **overrides: str) -> None:
        making = Faking()
        named = {name.replace("_", "."): text for name, text in overrides.items()}
        settings = ConsumerSettings("c", "g", overrides={"partition.assignment.strategy": strategy, **named})
        self.consumer = KafkaConsumer(making, settings, Watch("c", "127.0.0.1:1"), ManualClock())
        self.client = making.made[0]
        self.read: dict[TopicPartition, list[int]] = {}
        self.on_assigned: Callable[[Collection[TopicPartition]], None] = lambda partitions: None
        self.on_revoked: Callable[[Collection[TopicPartition]], None] = lambda partitions: None
        listener = RebalanceListener(
            lambda partitions: self.on_assigned(partitions), lambda partitions: self.on_revoked(partitions), print
        )
        self.consumer.subscribe(["t"], None, listener)

    def poll(self, rows: int = 4) -> None:
        for incoming in self.consumer.poll(rows, 0):
            partition = TopicPartition(incoming.topic, incoming.partition)
            self.read.setdefault(partition, []).extend(incoming.offsets)

    def poll_all(self) -> None:
        for _ in range(COUNT):
            self.poll()


def raising(error: KafkaError) -> Callable[[list[Message]], None]:
    def step(messages: list[Message]) -> None:
        raise KafkaException(error)

    return step


@pytest.fixture
def member() -> Member:
    """Has the first partition."""
    member = Member()
    member.client.rebalance("assign", FIRST)
    return member


def test_a_row_that_came_before_the_client_failed_is_read_again(member: Member) -> None:
    def not_yet(messages: list[Message]) -> None:
        member.client.at[FIRST] -= len(messages)
        messages.clear()

    member.client.inside = [not_yet, lambda messages: None, raising(AWAY)]
    with pytest.raises(BrokerError) as caught:
        member.poll()
    assert caught.value.retriable
    assert member.read == {}
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def test_rows_that_the_client_threw_away_when_it_failed_are_read_again(member: Member) -> None:
    member.poll()
    member.client.inside = [raising(AWAY)]
    with pytest.raises(BrokerError):
        member.poll()
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION])
def test_a_position_outside_the_log_is_an_error_where_nothing_says_where_to_go_on(code: int) -> None:
    member = Member(auto_offset_reset="none")
    member.client.committed_at = {FIRST: 0}
    member.client.rebalance("assign", FIRST)
    failed = Message(topic="t", partition=0, offset=-1001, error=KafkaError(code, "offset out of range"))
    member.client.inside = [lambda messages: messages.insert(1, failed)]
    with pytest.raises(BrokerError) as caught:
        member.poll()
    assert not caught.value.retriable
    assert "auto.offset.reset is none" in str(caught.value)
    assert "set consumer.override.auto.offset.reset to earliest or latest" in str(caught.value)
    assert "PATCH /connectors/NAME/offsets" in str(caught.value)
    assert member.consumer.position(FIRST) == 0
    member.poll()
    assert member.read[FIRST][0] == 0


def test_a_brokers_own_trouble_passes(member: Member) -> None:
    failed = Message(topic="t", partition=0, offset=-1001, error=KafkaError(KafkaError.UNKNOWN, "unexpected"))
    member.client.inside = [lambda messages: messages.append(failed)]
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def test_what_was_too_slow_is_told_with_the_settings(member: Member, caplog: pytest.LogCaptureFixture) -> None:
    failed = Message(topic="t", partition=0, offset=-1, error=KafkaError(KafkaError._MAX_POLL_EXCEEDED, "exceeded"))
    member.client.inside = [lambda messages: messages.append(failed)]
    member.poll()
    for setting in ("max.poll.interval.ms", "consumer.override.max.poll.records"):
        assert setting in caplog.text


def test_each_commit_gets_its_own_answer_in_whatever_order_they_come(member: Member) -> None:
    answers: list[tuple[str, Exception | None]] = []
    member.consumer.commit({FIRST: 1}, lambda error: answers.append(("first", error)))
    member.consumer.commit_now({FIRST: 2})
    member.consumer.commit({FIRST: 3}, lambda error: answers.append(("third", error)))
    member.client.answer(2)
    assert answers == [("third", None)]
    member.client.answer(1)  # nobody waits for it here
    assert answers == [("third", None)]
    member.client.answer(0, KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "gone"))
    assert [name for name, _ in answers] == ["third", "first"]
    assert "gone" in str(answers[1][1])
    member.consumer.commit({FIRST: 4}, lambda error: answers.append(("last", error)))
    member.consumer.close()
    assert [name for name, _ in answers] == ["third", "first", "last"]
    assert isinstance(answers[2][1], BrokerError)


def test_a_seek_of_a_partition_that_stays_holds_when_it_is_sought_while_another_comes(member: Member) -> None:
    member.poll()
    member.on_assigned = lambda partitions: member.consumer.seek(FIRST, 10)
    member.client.inside = [lambda messages: member.client.rebalance("assign", SECOND)]
    member.read.clear()
    member.poll()  # the client gives rows of before the rebalance along with it
    assert FIRST not in member.read
    member.poll_all()
    assert member.read == {FIRST: list(range(10, COUNT)), SECOND: list(range(COUNT))}


def test_a_seek_holds_when_it_is_asked_for_while_another_partition_goes(member: Member) -> None:
    member.client.rebalance("assign", SECOND)
    member.on_revoked = lambda partitions: member.consumer.seek(FIRST, 15)
    member.client.inside = [lambda messages: member.client.rebalance("revoke", SECOND)]
    member.poll_all()
    assert member.read == {FIRST: list(range(15, COUNT))}


def test_pauses_and_resumes_of_partitions_that_stay_hold_when_they_are_asked_for_while_another_comes() -> None:
    member = Member()
    member.client.rebalance("assign", FIRST, SECOND)
    member.consumer.pause([SECOND])

    def turned(partitions: Collection[TopicPartition]) -> None:
        member.consumer.pause([FIRST])
        member.consumer.resume([SECOND])

    member.on_assigned = turned
    third = TopicPartition("t", 2)
    member.client.inside = [lambda messages: member.client.rebalance("assign", third)]
    member.poll_all()
    assert member.read == {SECOND: list(range(COUNT)), third: list(range(COUNT))}
    member.consumer.resume([FIRST])
    member.poll_all()
    assert member.read[FIRST] == list(range(COUNT))


@pytest.mark.parametrize("strategy", ["CooperativeStickyAssignor", "RangeAssignor"])
@pytest.mark.parametrize("going", ["revoke", "lost"])
def test_a_partition_that_went_while_it_was_paused_is_read_when_it_comes_back(strategy: str, going: str) -> None:
    member = Member(strategy)
    member.client.rebalance("assign", FIRST)
    member.consumer.pause([FIRST])
    member.poll()
    member.client.rebalance(going, FIRST)
    member.client.rebalance("assign", FIRST)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def test_what_was_to_be_read_again_is_forgotten_with_the_partition() -> None:
    making = Faking()
    consumer = KafkaConsumer(making, ConsumerSettings("c"), Watch("c", "127.0.0.1:1"), ManualClock())
    consumer.assign({FIRST: 0})
    making.made[0].inside = [raising(AWAY)]
    with pytest.raises(BrokerError):
        consumer.poll(1, 0)
    consumer.assign({SECOND: 5})
    (rows,) = consumer.poll(1, 0)
    assert (rows.partition, list(rows.offsets)) == (1, [5])


def test_what_could_not_be_moved_is_moved_by_the_next_poll(member: Member) -> None:
    member.poll()
    seek, failures = member.client.incremental_unassign, [KafkaException(KafkaError(KafkaError._STATE, "not now"))]

    def failing(*ats: Any) -> None:
        if failures:
            raise failures.pop()
        seek(*ats)

    member.client.seek = failing  # type: ignore[assignment]  # the client's own way fails, and then the other
    member.client.incremental_unassign = failing  # type: ignore[method-assign]  # as above
    failures.append(KafkaException(KafkaError(KafkaError._STATE, "not now")))
    with pytest.raises(BrokerError):
        member.consumer.seek(FIRST, 15)
    assert member.consumer.position(FIRST) == 15
    member.read.clear()
    del member.client.__dict__["seek"]
    member.poll_all()
    assert member.read == {FIRST: list(range(15, COUNT))}


def stand_still(member: Member, seconds: float) -> None:
    clock: Any = member.consumer._clock
    clock.advance(seconds)


def test_who_stood_still_longer_than_its_session_is_given_nothing_of_what_it_had_in_store(member: Member) -> None:
    member.poll()
    stand_still(member, 46.0)
    member.poll()
    member.client.rebalance("lost", FIRST)
    member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3]}


@pytest.mark.parametrize("seconds", [44.0, 46.0])
def test_who_stood_still_and_is_a_member_yet_misses_no_row(member: Member, seconds: float) -> None:
    member.poll()
    stand_still(member, seconds)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


ABSENT = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown")


def test_a_position_in_a_topic_that_is_gone_is_not_committed_for_the_one_made_anew(member: Member) -> None:
    member.poll()
    told: list[Exception | None] = []
    member.consumer.commit({FIRST: 4}, told.append)
    member.client.answer(0, ABSENT)
    assert [type(error) for error in told] == [UnknownTopicError]
    member.consumer.commit_now({FIRST: 4})
    with pytest.raises(UnknownTopicError, match="their topics were deleted"):
        member.consumer.commit({FIRST: 4})
    assert len(member.client.asked) == 1
    member.client.rebalance("revoke", FIRST)
    member.client.rebalance("assign", FIRST)
    member.consumer.commit_now({FIRST: 2})
    assert [at.offset for ats, _ in member.client.asked for at in ats] == [4, 2]


def test_a_broker_that_does_not_know_a_topic_yet_keeps_positions_from_being_committed_for_a_minute(
    member: Member,
) -> None:
    member.consumer.commit({FIRST: 0})
    member.client.answer(0, ABSENT)
    stand_still(member, 60.0)
    member.consumer.commit_now({FIRST: 4})
    assert len(member.client.asked) == 2


def test_of_a_topic_that_was_made_anew_no_position_is_gone_on_from(member: Member) -> None:
    """With fewer partitions: some positions of the former one were taken for the new one's."""
    member.poll_all()
    member.read.clear()
    member.consumer.commit({FIRST: COUNT})
    member.client.committed_at[FIRST] = COUNT
    member.client.answer(0, ABSENT)
    member.client.rebalance("revoke", FIRST)
    member.client.rebalance("assign", FIRST)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def without_group() -> tuple[KafkaConsumer, Client, ManualClock]:
    making, clock = Faking(), ManualClock()
    consumer = KafkaConsumer(making, ConsumerSettings("c"), Watch("c", "127.0.0.1:1"), clock)
    consumer.assign({FIRST: 0})
    return consumer, making.made[0], clock


def end_of_partition(offset: int) -> Message:
    return Message(topic="t", partition=0, offset=offset, error=KafkaError(KafkaError._PARTITION_EOF, "end"))


def test_who_has_no_group_loses_no_row_by_standing_still() -> None:
    consumer, client, clock = without_group()
    client.inside = [lambda messages: messages.append(end_of_partition(COUNT))]
    clock.advance(46.0)
    (rows,) = consumer.poll(COUNT, 0)
    assert list(rows.offsets) == list(range(COUNT))
    assert consumer.position(FIRST) == COUNT


def test_the_end_of_a_partition_comes_behind_its_rows(caplog: pytest.LogCaptureFixture) -> None:
    consumer, client, _ = without_group()
    client.inside = [lambda messages: messages.append(end_of_partition(COUNT + 1))]  # behind a transaction's marker
    consumer.poll(COUNT, 0)
    assert consumer.position(FIRST) == COUNT + 1
    assert "made anew" not in caplog.text


def test_rows_before_the_end_of_a_partition_are_read_again_when_a_later_message_is_refused() -> None:
    consumer, client, _ = without_group()
    refused = Message(topic="t", partition=0, offset=-1, error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no"))
    client.inside = [lambda messages: messages.extend([end_of_partition(COUNT), refused])]
    with pytest.raises(BrokerError):
        consumer.poll(COUNT, 0)
    assert consumer.position(FIRST) == 0
    (rows,) = consumer.poll(COUNT, 0)
    assert list(rows.offsets) == list(range(COUNT))
