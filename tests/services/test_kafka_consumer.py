"""Rows are read once and in order, whatever is paused, sought, revoked or lost meanwhile."""

import re
from collections.abc import Callable, Collection
from typing import Any

import pytest
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AdminClient
from running import until

from millstream.broker.kafka.reading import membership
from millstream.broker.ports import (
    AdminSettings,
    Broker,
    RebalanceListener,
)
from millstream.errors import BrokerError
from millstream_api.records import TopicPartition
from services.abreast import abreast
from services.kafka import Kafka
from services.reading import (
    BY_NAME,
    COOPERATIVE,
    COUNT,
    EAGER,
    PROTOCOLS,
    WAIT_S,
    Member,
    filled,
    members_of,
    new_topic,
)

pytestmark = pytest.mark.usefixtures("patient")


@PROTOCOLS
def test_a_pause_under_load_gives_nothing_and_loses_nothing(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic, 2)
    member = joining(protocol)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    until(lambda: member.poll(700) and len(member.mine) == 2, "rows", WAIT_S)
    for number in range(30):
        one = (first, second)[number % 2]
        member.consumer.pause([one])
        before = len(member.read.get(one, ()))
        for _ in range(3):
            member.poll(300, 0.02)
        assert len(member.read.get(one, ())) == before
        member.consumer.resume([one])
        member.poll(300)
    until(lambda: member.poll() == 0 and sum(map(len, member.read.values())) >= 2 * COUNT, "all rows", WAIT_S)
    assert member.read == {first: list(range(COUNT)), second: list(range(COUNT))}


@PROTOCOLS
def test_a_seek_under_load_is_where_reading_goes_on(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic)
    member, partition = joining(protocol), TopicPartition(topic, 0)
    until(lambda: member.poll(700), "rows", WAIT_S)
    for offset in (0, 5_000, 10, 19_990, 700):
        member.consumer.seek(partition, offset)
        assert member.consumer.position(partition) == offset
        member.read.clear()
        until(lambda: member.poll(500), "rows", WAIT_S)
        found = member.read[partition]
        assert found == list(range(offset, offset + len(found)))


@PROTOCOLS
def test_seeks_and_pauses_while_partitions_come_hold_from_the_first_row(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic, 2, 1_000)
    member = joining(protocol)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)

    def arranged(partitions: Collection[TopicPartition]) -> None:
        if first in partitions:
            member.consumer.seek(first, 990)
        if second in partitions:
            member.consumer.pause([second])

    member.on_assigned = arranged
    until(lambda: (member.poll(), member.mine == {first, second} and len(member.read.get(first, ())) >= 10)[1],
          "rows", WAIT_S)  # fmt: skip
    for _ in range(5):  # and no more
        member.poll()
    assert member.read == {first: list(range(990, 1_000))}
    member.consumer.resume([second])
    until(lambda: member.poll() == 0 and len(member.read.get(second, ())) == 1_000, "the other rows", WAIT_S)
    assert member.read[second] == list(range(1_000))


@PROTOCOLS
def test_a_partition_that_goes_while_it_is_paused_is_read_when_it_comes_back(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    """librdkafka goes on with a pause over a revocation."""
    filled(broker, topic, 2, 1_000)
    one = joining(protocol)
    until(lambda: one.poll(100) and len(one.mine) == 2, "the first member", WAIT_S)
    one.consumer.pause(one.mine)
    two = joining(protocol)
    until(lambda: (one.poll(5), two.poll(5), len(one.mine) == len(two.mine) == 1)[2], "each to have one", WAIT_S)
    two.consumer.close()
    until(lambda: (one.poll(5), len(one.mine) == 2)[1], "both to be back", WAIT_S)
    one.consumer.resume(one.mine)  # those that never went
    until(lambda: (one.poll(), {each: rows[-1] for each, rows in one.read.items()})[1] == dict.fromkeys(one.mine, 999),
          "every row of both", WAIT_S)  # fmt: skip


def test_a_seek_while_another_partition_comes_holds_for_one_that_stays(
    broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 2)
    one, two = joining(COOPERATIVE), joining(COOPERATIVE)
    until(lambda: (one.poll(5), two.poll(5), len(one.mine) == len(two.mine) == 1)[2], "each to have one", WAIT_S)
    (kept,) = one.mine
    (coming,) = two.mine
    two.consumer.close()

    def sought(partitions: Collection[TopicPartition]) -> None:
        if coming in partitions:
            one.read.pop(kept, None)
            one.consumer.seek(kept, 19_000)

    one.on_assigned = sought
    until(lambda: (one.poll(5), len(one.mine) == 2)[1], "the other to come", WAIT_S)
    until(lambda: (one.poll(), one.read.get(kept, [0])[-1] == COUNT - 1 and coming in one.read)[1], "all", WAIT_S)
    assert one.read[kept] == list(range(19_000, COUNT))


@PROTOCOLS
def test_members_come_and_go_and_no_row_is_passed_over(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic, 3, 3_000)
    one = joining(protocol)
    until(lambda: one.poll(100) and len(one.mine) == 3, "the first member", WAIT_S)
    two = joining(protocol)
    until(lambda: (one.poll(50), two.poll(50), one.mine and two.mine)[2], "both to have partitions", WAIT_S)
    assert not one.mine & two.mine
    two.consumer.close()
    assert two.mine == set()
    until(lambda: one.poll() == 0 and len(one.mine) == 3 and whole(one, two, topic), "every row", WAIT_S)
    assert one.lost == two.lost == []


def test_rows_that_came_with_a_rebalance_that_failed_are_read_again(
    broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 2)
    one, failures = joining(COOPERATIVE), [BrokerError("away", retriable=True)]
    until(lambda: one.poll(100) and len(one.mine) == 2, "the first member", WAIT_S)
    two = joining(COOPERATIVE)
    until(lambda: (one.poll(5), two.poll(5), one.mine and two.mine)[2], "both to have a partition", WAIT_S)

    def failing(partitions: Collection[TopicPartition]) -> None:
        if failures:
            raise failures.pop()

    one.on_assigned = failing
    (kept,) = one.mine
    two.consumer.close()
    with pytest.raises(BrokerError, match="away"):
        until(lambda: one.poll(5) is None, "the rebalance to fail", WAIT_S)
    until(lambda: one.poll() and len(one.read[kept]) == COUNT, "every row", WAIT_S)
    assert one.read[kept] == list(range(COUNT))


def whole(one: Member, two: Member, topic: str) -> bool:
    for number in range(3):
        partition = TopicPartition(topic, number)
        rows = set(one.read.get(partition, ())) | set(two.read.get(partition, ()))
        if rows != set(range(3_000)):
            return False
        assert one.read[partition] == sorted(set(one.read[partition]))
    return True


def test_a_member_that_does_not_poll_loses_its_partitions_and_comes_back(broker: Broker) -> None:
    def case(protocol: str) -> None:
        topic = new_topic()
        filled(broker, topic, 1, 1_000)
        with members_of(broker, topic) as joining:
            outlived(joining, BY_NAME[protocol], TopicPartition(topic, 0))

    def outlived(joining: Callable[..., Member], protocol: dict[str, str], partition: TopicPartition) -> None:
        slow = joining({**protocol, "max.poll.interval.ms": "6000", "session.timeout.ms": "6000"})
        until(lambda: slow.poll(100), "rows", WAIT_S)
        slow.consumer.commit_now({partition: slow.consumer.position(partition)})
        other = joining(protocol)
        until(lambda: other.poll(1), "the other member to have got the partition", WAIT_S)
        answers: list[Exception | None] = []
        slow.consumer.commit({partition: 900}, answers.append)
        until(lambda: (slow.poll(), answers)[1], "the late commit to be answered", WAIT_S)
        assert isinstance(answers[0], BrokerError)
        assert slow.lost == [partition]
        assert slow.mine == set()
        assert other.read[partition][0] == len(slow.read[partition])
        other.consumer.close()
        until(lambda: slow.poll() and slow.mine == {partition}, "the slow one to come back", WAIT_S)

    abreast(case, "eager", "cooperative")


def test_without_a_committed_position_and_with_no_reset_it_is_an_error(
    broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 1, 1)
    member = joining({"auto.offset.reset": "none"})

    def failed() -> str:
        try:
            member.poll()
        except BrokerError as error:
            return str(error)
        return ""

    assert "set consumer.override.auto.offset.reset to earliest or latest" in until(failed, "an error", WAIT_S)


def test_a_committed_position_that_is_gone_from_the_log_is_an_error_where_no_reset_is_set(
    kafka: Kafka, broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 1, 100)
    admin = broker.admin(AdminSettings("test"))
    admin.alter_group_offsets(f"group-{topic}", {TopicPartition(topic, 0): 10})
    client, gone = AdminClient(kafka.client()), At(topic, 0, 50)
    client.delete_records([gone])[gone].result(WAIT_S)
    until(lambda: admin.beginning_offsets([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): 50}, "it", WAIT_S)
    member = joining({"auto.offset.reset": "none"})

    def failed() -> str:
        try:
            member.poll()
        except BrokerError as error:
            assert not error.retriable  # noqa: PT017 - said once, whatever else is asked
            return str(error)
        return ""

    said = until(failed, "an error", WAIT_S)
    assert "auto.offset.reset is none" in said
    assert "set consumer.override.auto.offset.reset to earliest or latest" in said
    assert member.read == {}


def test_a_pattern_looks_for_topics_as_often_as_it_is_told(broker: Broker, topic: str) -> None:
    member = Member(broker, f"group-{topic}", {"metadata.max.age.ms": "300"})
    listener = RebalanceListener(member._assigned, member._revoked, member._lost)
    member.consumer.subscribe(None, re.compile(f"{topic}-[ab]"), listener)
    for name in (f"{topic}-a", f"x{topic}-a", f"{topic}-ab", f"{topic}-b"):
        filled(broker, name, 1, 10)
        if name in (f"{topic}-a", f"{topic}-b"):
            at = TopicPartition(name, 0)
            until(lambda at=at: member.poll() and len(member.read.get(at, ())) == 10, name, WAIT_S)  # type: ignore[misc]
    assert {partition.topic for partition in member.mine} == {f"{topic}-a", f"{topic}-b"}
    member.consumer.close()


def test_a_topic_that_is_not_there_is_waited_for_and_named(
    broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    member = Member(broker, f"group-{topic}", {"allow.auto.create.topics": "false"}).subscribe(topic)
    until(lambda: member.poll() or f"topic {topic!r} does not exist; it is waited for" in caplog.text, "it", WAIT_S)
    assert topic not in broker.admin(AdminSettings("test")).names()
    filled(broker, topic, 1, 5)
    member.consumer.close()
    again = Member(broker, f"group-{topic}", {}).subscribe(topic)
    until(lambda: again.poll(), "its rows", WAIT_S)
    again.consumer.close()


def test_a_topic_that_vanishes_while_it_is_dealt_out_keeps_no_other_waiting(
    kafka: Kafka, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, client = f"{topic}-gone", AdminClient(kafka.client())
    for name in (topic, gone):
        filled(broker, name, 1, 10)
    find = membership.starts

    def find_late(*given: Any) -> dict[TopicPartition, int]:
        if gone in broker.admin(AdminSettings("test")).names():
            client.delete_topics([gone])[gone].result(WAIT_S)
            until(lambda: gone not in broker.admin(AdminSettings("test")).names(), "it to go", WAIT_S)
        return find(*given)

    monkeypatch.setattr(membership, "starts", find_late)
    member, at = Member(broker, f"group-{topic}", EAGER), TopicPartition(topic, 0)
    listener = RebalanceListener(member._assigned, member._revoked, member._lost)
    member.consumer.subscribe(None, re.compile(f"{topic}.*"), listener)
    until(lambda: member.poll() and len(member.read.get(at, ())) == 10, "its rows", WAIT_S)
    member.consumer.close()
