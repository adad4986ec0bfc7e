"""What a Kafka consumer does when its client fails, or moves partitions, at the wrong moment."""

import re
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as At
from consumer_bench import (
    AWAY,
    COUNT,
    FIRST,
    SECOND,
    Client,
    Faking,
    Member,
    raising,
    stand_still,
    without_group,
)

from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.consumer import KafkaConsumer
from millstream.broker.ports import ConsumerSettings, RebalanceListener
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition


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


def test_a_topic_that_vanishes_while_it_is_dealt_out_keeps_no_other_waiting(caplog: pytest.LogCaptureFixture) -> None:
    member, gone = Member(), TopicPartition("gone", 0)
    told: list[Collection[TopicPartition]] = []
    member.on_assigned = told.append
    member.client.absent = {"gone"}
    member.client.rebalance("assign", gone, FIRST)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}
    assert told == [[FIRST]]
    assert "topic 'gone' does not exist" in caplog.text
    member.client.absent = set()  # it was made anew before the group has heard of it
    member.poll_all()
    assert told == [[FIRST], [gone]]
    assert member.read == {FIRST: list(range(COUNT)), gone: list(range(COUNT))}


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
    assert "the consumer of group 'g' was closed before its commit was answered" in str(answers[2][1])


def test_what_the_brokers_refuse_of_a_member_says_what_was_being_done(member: Member) -> None:
    def of_one(ats: list[At]) -> list[Any]:
        error = KafkaError(KafkaError.OFFSET_METADATA_TOO_LARGE, "too much")
        return [SimpleNamespace(topic=at.topic, partition=at.partition, offset=at.offset, error=error) for at in ats]

    def unable(*_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG, "no such topic name"))

    client: Any = member.client
    client.commit = lambda offsets, asynchronous: of_one(offsets)
    with pytest.raises(BrokerError, match="committing the position of t-0: too much"):
        member.consumer.commit_now({FIRST: 1})
    client.committed = lambda ats, seconds: of_one(ats)
    with pytest.raises(BrokerError, match="reading the committed position of t-0: too much"):
        member.consumer.committed([FIRST])
    client.pause = unable
    with pytest.raises(BrokerError, match="steering the consumer: no such topic name"):
        member.consumer.pause([FIRST])
    client.subscribe = unable
    with pytest.raises(BrokerError, match="subscribing to t, u: no such topic name"):
        member.consumer.subscribe(["t", "u"], None, RebalanceListener(print, print, print))


DENIED = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "no")
UNWRITTEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no")
GRANT = "kafka-acls.sh --add --allow-principal User:NAME --operation Read"


def test_who_may_not_commit_is_told_with_the_command_that_grants_it() -> None:
    """Asked for, answered, and of one partition alone."""
    member = Member(peer=Peer("127.0.0.1:1", "consumer", group="g"))
    member.client.rebalance("assign", FIRST)
    told: list[Exception | None] = []
    member.consumer.commit({FIRST: 1}, told.append)
    member.client.answer(0, DENIED)
    member.consumer.commit({FIRST: 2}, told.append)
    member.client.answer(1, of_each=UNWRITTEN)
    member.client.refusing = DENIED
    with pytest.raises(BrokerError) as refused:
        member.consumer.commit_now({FIRST: 3})
    member.client.refusing, member.client.answering = None, UNWRITTEN
    with pytest.raises(BrokerError) as refused_in_part:
        member.consumer.commit_now({FIRST: 4})
    for error in (told[0], refused.value):
        assert f"committing positions: not authorized (no); grant Read on the group g: {GRANT} --group g" in str(error)
    for error in (told[1], refused_in_part.value):
        assert f"grant Read and Describe on the topic t: {GRANT} --operation Describe --topic t --boot" in str(error)


def test_a_subscription_that_cannot_be_is_told_with_whom_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "subscribe", lambda *_, **__: raising(AWAY)([]))
    with pytest.raises(
        BrokerError, match=r"subscribing to t: the broker is away \(bootstrap\.servers 127\.0\.0\.1:1\)"
    ):
        Member()


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
def test_of_a_partition_that_is_paused_as_it_comes_nothing_is_fetched(strategy: str) -> None:
    member = Member(strategy)
    member.on_assigned = lambda partitions: member.consumer.pause([FIRST])
    member.client.rebalance("assign", FIRST, SECOND)
    member.poll_all()
    assert (member.client.paused, member.read) == ({FIRST}, {SECOND: list(range(COUNT))})


@pytest.mark.parametrize(("exclude", "found"), [("true", ["t"]), ("false", ["__own", "t"])])
def test_the_brokers_own_topics_match_a_pattern_where_the_settings_say_so(exclude: str, found: list[str]) -> None:
    making, subscribed = Faking(), list[str]()
    settings = ConsumerSettings("c", "g", overrides={"exclude.internal.topics": exclude})
    consumer = KafkaConsumer(making, settings, Watch("c", "127.0.0.1:1"), ManualClock())
    client: Any = making.made[0]
    client.list_topics = lambda timeout: SimpleNamespace(topics={"t": None, "__own": None})
    client.subscribe = lambda topics, **hear: subscribed.extend(topics)
    consumer.subscribe(None, re.compile(".*"), RebalanceListener(print, print, print))
    consumer.poll(1, 0)
    assert subscribed == found


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


@pytest.mark.parametrize(
    ("overrides", "seconds"),
    [({}, 46.0), ({"max_poll_interval_ms": "10000"}, 11.0)],
    ids=["its own", "one that became shorter with the time between polls"],
)
def test_who_stood_still_longer_than_its_session_is_given_nothing_of_what_it_had_in_store(
    overrides: dict[str, str], seconds: float
) -> None:
    member = Member(**overrides)
    member.client.rebalance("assign", FIRST)
    member.poll()
    stand_still(member, seconds)
    member.poll()
    member.client.rebalance("lost", FIRST)
    member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3]}


def test_who_stood_still_is_given_nothing_before_its_group_knows_it_or_tells_what_it_lost(member: Member) -> None:
    """What librdkafka fetches before it has heard of it belongs to the successor."""
    member.client.rebalance("assign", SECOND)
    member.poll(2)
    member.client.committed_at = {FIRST: 1, SECOND: 1}
    member.client.refusing = KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "gone")
    stand_still(member, 46.0)
    member.poll_all()
    assert member.read == {FIRST: [0], SECOND: [0]}
    member.client.rebalance("lost", FIRST)
    member.client.refusing = None
    member.poll_all()
    assert member.read == {FIRST: [0], SECOND: list(range(COUNT))}
    assert [[at.offset for at in ats] for ats, _ in member.client.asked[-2:]] == [[1, 1], [1]]


def test_a_topic_that_went_meanwhile_does_not_keep_who_stood_still_from_reading_the_others(member: Member) -> None:
    member.client.committed_at = {FIRST: 0}
    member.client.refusing = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "gone")
    stand_still(member, 46.0)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


@pytest.mark.parametrize("seconds", [44.0, 46.0])
def test_who_stood_still_and_is_a_member_yet_misses_no_row(member: Member, seconds: float) -> None:
    member.poll()
    stand_still(member, seconds)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


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
