"""A topic that is deleted and made anew under its reader: nothing of the former one is taken for the new one's."""

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress

import pytest
from confluent_kafka import KafkaError, Message
from consumer_bench import (
    COUNT,
    FIRST,
    SECOND,
    Member,
    stand_still,
    without_group,
)

from millstream.errors import BrokerError, UnknownTopicError
from millstream_api.records import TopicPartition

ABSENT = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown")


def test_a_position_in_a_topic_that_is_gone_is_not_committed_for_the_one_made_anew(member: Member) -> None:
    member.poll()
    told: list[Exception | None] = []
    member.consumer.commit({FIRST: 4}, told.append)
    member.client.answer(0, ABSENT)
    assert [type(error) for error in told] == [UnknownTopicError]
    assert str(told[0]) == "committing positions: it does not exist (unknown)"
    for commit in (member.consumer.commit, member.consumer.commit_now):
        with pytest.raises(UnknownTopicError, match="of t: deleted, and made anew or not yet"):
            commit({FIRST: 4})
    assert len(member.client.asked) == 1
    member.client.rebalance("revoke", FIRST)
    member.client.rebalance("assign", FIRST)
    member.consumer.commit_now({FIRST: 2})
    assert [at.offset for ats, _ in member.client.asked for at in ats] == [4, 2]


def test_a_refusal_of_a_commit_that_is_waited_for_says_that_the_topic_is_gone_as_well(member: Member) -> None:
    member.poll()
    member.client.answering = ABSENT
    with pytest.raises(UnknownTopicError, match="committing the position of t-0: it does not exist"):
        member.consumer.commit_now({FIRST: 4})
    member.client.answering = None
    with pytest.raises(UnknownTopicError, match="of t: deleted, and made anew or not yet"):
        member.consumer.commit_now({FIRST: 4})
    assert len(member.client.asked) == 1


def test_a_broker_that_does_not_know_a_topic_yet_keeps_positions_from_being_committed_for_a_minute(
    member: Member,
) -> None:
    member.consumer.commit({FIRST: 0})
    member.client.answer(0, ABSENT)
    stand_still(member, 60.0)
    member.consumer.commit_now({FIRST: 4})
    assert len(member.client.asked) == 2


def committed(member: Member, position: Mapping[TopicPartition, int]) -> list[TopicPartition]:
    """Which of them were, asked for together."""
    before = len(member.client.asked)
    with suppress(UnknownTopicError):
        member.consumer.commit_now(position)
    return [TopicPartition(at.topic, at.partition) for ats, _ in member.client.asked[before:] for at in ats]


def test_a_partition_that_went_back_by_itself_says_nothing_of_the_others_of_a_topic_that_is_gone(
    member: Member,
) -> None:
    """The new one is shorter: librdkafka begins a partition anew when its fetch is refused, each at its own time."""
    member.client.rebalance("assign", SECOND)
    member.poll(8)
    member.consumer.commit({FIRST: 4, SECOND: 4})
    member.client.answer(0, ABSENT)
    member.client.at[FIRST] = 0
    member.consumer.pause([SECOND])
    member.poll(2)
    assert committed(member, {FIRST: 2, SECOND: 4}) == [FIRST]
    member.client.at[SECOND] = 0
    member.consumer.resume([SECOND])
    member.poll(2)
    assert committed(member, {FIRST: 2, SECOND: 1}) == [FIRST, SECOND]
    member.client.rebalance("revoke", FIRST)
    member.client.committed_at[FIRST] = 2
    member.client.rebalance("assign", FIRST)
    assert member.consumer.position(FIRST) == 2


def test_a_partition_that_is_dealt_out_behind_that_may_be_committed_while_another_is_kept(member: Member) -> None:
    member.poll()
    member.consumer.commit({FIRST: 4})
    member.client.answer(0, ABSENT)
    member.client.committed_at[SECOND] = 7
    member.client.rebalance("assign", SECOND)
    assert member.consumer.position(SECOND) == 0
    assert committed(member, {FIRST: 4, SECOND: 3}) == [SECOND]


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


OTHER = TopicPartition("other", 0)


def test_what_could_not_be_committed_with_the_rest_is_not_told_as_committed(member: Member) -> None:
    member.client.rebalance("assign", OTHER)
    told: list[Exception | None] = []
    member.consumer.commit({FIRST: 1})
    member.client.answer(0, ABSENT)
    member.consumer.commit({FIRST: 4, OTHER: 3}, told.append)
    member.client.answer(1)
    assert [type(error) for error in told] == [UnknownTopicError]
    with pytest.raises(UnknownTopicError, match="of t: deleted"):
        member.consumer.commit_now({FIRST: 4, OTHER: 3})
    assert [[(at.topic, at.offset) for at in ats] for ats, _ in member.client.asked[1:]] == [[("other", 3)]] * 2


def changed(member: Member, topic: str = "t", before: str = "0JMqBdzBRVyCnkM/A6hlUQ") -> None:
    """What librdkafka logs when the metadata give another id."""
    said = f"[thrd:main]: Topic {topic} changed id from {before} to 2bUDLCwKRJqHvAQyzlQbUg"
    member.client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c#consumer-1", said)


def test_a_topic_that_is_another_one_in_the_same_name_is_read_from_its_start(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows that come with the news may be of the former one or of the new one, from anywhere."""
    calls: list[tuple[str, int]] = []
    member.on_revoked = lambda partitions: calls.append(("revoked", member.consumer.position(FIRST)))
    member.on_assigned = lambda partitions: calls.append(("assigned", member.consumer.position(FIRST)))
    member.poll()
    member.consumer.commit({FIRST: 4})
    member.client.inside = [lambda messages: changed(member)]
    member.poll()
    assert member.read == {FIRST: [0, 1, 2, 3]}
    assert calls == [("revoked", 4), ("assigned", 0)]
    assert "read from its start" not in caplog.text  # it is said once
    assert "t-0 goes on at offset 0, and had been read up to 4: the topic was deleted and made anew" in caplog.text
    member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3, *range(COUNT)]}
    assert [[(at.offset) for at in ats] for ats, _ in member.client.asked] == [[4], [0]]


def test_a_position_in_the_former_topic_is_not_committed_once_it_is_known_to_be_another(member: Member) -> None:
    refused: list[BrokerError] = []

    def commit(partitions: Collection[TopicPartition]) -> None:
        try:
            member.consumer.commit_now(dict.fromkeys(partitions, 4))
        except BrokerError as error:
            refused.append(error)

    member.on_revoked = commit
    member.poll()
    member.client.inside = [lambda messages: changed(member)]
    member.poll()
    assert [type(error) for error in refused] == [UnknownTopicError]
    member.consumer.commit_now({FIRST: 1})
    assert [[(at.offset) for at in ats] for ats, _ in member.client.asked] == [[1]]


def test_a_paused_partition_of_a_topic_made_anew_is_read_unless_it_is_paused_anew(member: Member) -> None:
    member.client.rebalance("assign", SECOND)
    member.poll()
    member.consumer.pause([FIRST, SECOND])
    member.on_assigned = lambda partitions: member.consumer.pause([SECOND])
    changed(member)
    member.read.clear()
    member.poll_all()
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def test_a_topic_made_anew_while_nobody_had_its_partitions_is_read_from_its_start_when_they_come() -> None:
    member = Member()
    changed(member)
    member.poll()
    member.client.committed_at[FIRST] = 7
    member.client.rebalance("assign", FIRST)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def test_partitions_that_are_dealt_out_behind_the_news_do_not_begin_twice(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    def dealt_out(messages: list[Message]) -> None:
        changed(member)
        member.client.rebalance("revoke", FIRST)
        member.client.rebalance("assign", FIRST)
        messages.clear()

    member.poll()
    member.client.inside = [dealt_out]
    member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3, *range(COUNT)]}
    assert "topic 't' was deleted and made anew: it is read from its start" in caplog.text
    assert "goes on at offset" not in caplog.text


def test_a_partition_that_is_kept_begins_anew_when_another_of_its_topic_is_dealt_out_behind_the_news(
    member: Member,
) -> None:
    """Rows of both are in hand by then."""
    calls: list[tuple[str, list[TopicPartition]]] = []
    refused: list[BrokerError] = []

    def came(partitions: Collection[TopicPartition]) -> None:
        calls.append(("assigned", list(partitions)))
        try:
            member.consumer.commit_now({FIRST: member.consumer.position(FIRST)})
        except BrokerError as error:
            refused.append(error)

    def dealt_out(messages: list[Message]) -> None:
        changed(member)
        member.client.rebalance("assign", SECOND)
        messages[:] = member.client.consume(4, 0)

    member.poll()
    member.client.committed_at = {FIRST: 4, SECOND: 7}
    member.on_revoked = lambda partitions: calls.append(("revoked", list(partitions)))
    member.on_assigned = came
    member.client.inside = [dealt_out]
    for _ in range(3):
        member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3, *range(COUNT)], SECOND: list(range(COUNT))}
    assert calls == [("assigned", [SECOND]), ("revoked", [FIRST]), ("assigned", [FIRST])]
    assert [type(error) for error in refused] == [UnknownTopicError]  # while it was where it had been in the former one
    assert {at.offset for ats, _ in member.client.asked for at in ats} == {0}


def test_partitions_that_are_dealt_out_one_by_one_behind_the_news_do_not_begin_twice(member: Member) -> None:
    came: list[TopicPartition] = []

    def dealt_out(messages: list[Message]) -> None:
        changed(member)
        member.client.rebalance("assign", SECOND)
        member.client.rebalance("revoke", FIRST)
        member.client.rebalance("assign", FIRST)
        messages.clear()

    member.poll()
    member.client.committed_at = {FIRST: 4, SECOND: 7}
    member.on_assigned = came.extend
    member.client.inside = [dealt_out]
    for _ in range(3):
        member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3, *range(COUNT)], SECOND: list(range(COUNT))}
    assert came == [SECOND, FIRST]
    member.consumer.commit_now({FIRST: 1})


@pytest.mark.parametrize("noticed", [False, True], ids=["unforeseen", "gone before"])
def test_what_is_dealt_out_ahead_of_the_news_begins_anew_with_the_rest(member: Member, noticed: bool) -> None:
    came: list[list[TopicPartition]] = []

    def dealt_out(messages: list[Message]) -> None:
        member.client.rebalance("assign", SECOND)
        changed(member)
        messages.clear()

    member.poll()
    if noticed:
        member.consumer.commit({FIRST: 4})
        member.client.answer(0, ABSENT)
    member.client.committed_at = {SECOND: 7}
    member.on_assigned = lambda partitions: came.append(list(partitions))
    member.client.inside = [dealt_out]
    for _ in range(3):
        member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3, *range(COUNT)], SECOND: list(range(COUNT))}
    assert came == [[SECOND], [FIRST, SECOND]]


def test_whether_the_group_has_it_yet_is_not_asked_with_a_position_in_a_topic_that_is_gone(member: Member) -> None:
    member.client.rebalance("assign", OTHER)
    member.consumer.commit({FIRST: 4})
    member.client.answer(0, ABSENT)
    member.client.committed_at = {FIRST: 4, OTHER: 3}
    stand_still(member, 50.0)
    member.poll()
    assert [[(at.topic, at.offset) for at in ats] for ats, _ in member.client.asked] == [[("t", 4)], [("other", 3)]]


FORMER, PRESENT, NONE = "0JMqBdzBRVyCnkM/A6hlUQ", "2bUDLCwKRJqHvAQyzlQbUg", "A" * 22
CLUSTER = "4L6g3nShT-eMCtK--X86sw"


def written(topic_id: str, cluster: str = CLUSTER) -> str:
    return f"cluster.id={cluster} topic.id={topic_id.replace('/', '_')}"


def started(position: int, metadata: str | None) -> Member:
    """Has the first partition with that position, and has heard nothing but its cluster."""
    member = Member()
    line = f"[thrd:main]: 127.0.0.1:9092/1: ClusterId: {CLUSTER}, ControllerId: 1"
    member.client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c#consumer-1", line)
    member.client.committed_at[FIRST] = position
    if metadata is not None:
        member.client.committed_with[FIRST] = metadata
    member.client.rebalance("assign", FIRST)
    return member


def test_a_position_is_committed_with_the_ids_of_its_topic_and_cluster_once_they_are_known() -> None:
    member = started(4, None)
    member.consumer.commit_now({FIRST: 4})
    changed(member, before=NONE)
    member.poll()
    member.consumer.commit({FIRST: 8})
    member.client.answer(1)
    assert [at.metadata for ats, _ in member.client.asked for at in ats] == ["", written(PRESENT)]


def test_a_position_that_was_committed_in_the_former_topic_before_a_crash_is_not_gone_on_from(
    caplog: pytest.LogCaptureFixture,
) -> None:
    member = started(7, written(FORMER))
    calls: list[tuple[str, int]] = []
    member.on_revoked = lambda partitions: calls.append(("revoked", member.consumer.position(FIRST)))
    member.on_assigned = lambda partitions: calls.append(("assigned", member.consumer.position(FIRST)))
    member.client.inside = [lambda messages: changed(member, before=NONE)]
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}
    assert calls == [("revoked", 7), ("assigned", 0)]
    assert "t-0 goes on at offset 0, and had been read up to 7: the topic was deleted and made anew" in caplog.text
    assert [(at.offset, at.metadata) for ats, _ in member.client.asked for at in ats] == [(0, written(PRESENT))]


@pytest.mark.parametrize(
    "metadata",
    [written(PRESENT), None, "", "what another consumer keeps there", written(FORMER, "another-cluster")],
    ids=["this topic", "none", "empty", "another's", "copied from another cluster"],
)
def test_any_other_position_is_gone_on_from(metadata: str | None) -> None:
    member = started(7, metadata)
    member.client.inside = [lambda messages: changed(member, before=NONE)]
    member.poll_all()
    assert member.read == {FIRST: list(range(7, COUNT))}


def test_of_partitions_that_are_dealt_out_together_only_those_with_a_former_position_begin_anew() -> None:
    member = started(7, written(FORMER))
    member.client.committed_at[SECOND] = 9
    member.client.committed_with[SECOND] = written(PRESENT)
    member.client.rebalance("assign", SECOND)
    member.client.inside = [lambda messages: changed(member, before=NONE)]
    for _ in range(3):
        member.poll_all()
    assert member.read == {FIRST: list(range(COUNT)), SECOND: list(range(9, COUNT))}


def test_a_former_position_that_comes_when_the_topic_is_known_is_found_with_the_first_row() -> None:
    """Nothing is said of an id that is known: the rows are fetched by it."""
    member = started(0, None)
    changed(member, before=NONE)
    member.poll()
    member.client.rebalance("revoke", FIRST)
    member.client.committed_at[FIRST], member.client.committed_with[FIRST] = 7, written(FORMER)
    member.client.rebalance("assign", FIRST)
    member.read.clear()
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def test_a_position_of_a_member_that_heard_of_the_new_topic_earlier_is_gone_on_from() -> None:
    member = started(0, None)
    changed(member, before=NONE)
    member.poll()
    member.client.rebalance("revoke", FIRST)
    member.client.committed_at[FIRST], member.client.committed_with[FIRST] = 7, written(FORMER)
    member.client.rebalance("assign", FIRST)
    later = "[thrd:main]: Topic t changed id from 2bUDLCwKRJqHvAQyzlQbUg to 0JMqBdzBRVyCnkM/A6hlUQ"
    member.client.inside = [
        lambda messages: member.client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c", later)
    ]
    member.read.clear()
    member.poll_all()
    assert member.read == {FIRST: list(range(7, COUNT))}


def test_a_topic_that_was_read_from_its_start_by_another_member_is_not_begun_once_more() -> None:
    member = started(0, None)
    changed(member)
    member.poll()
    member.client.rebalance("revoke", FIRST)
    changed(member)
    member.client.committed_at[FIRST], member.client.committed_with[FIRST] = 7, written(PRESENT)
    member.client.rebalance("assign", FIRST)
    member.read.clear()
    member.poll_all()
    assert member.read == {FIRST: list(range(7, COUNT))}


def test_a_topic_that_librdkafka_had_forgotten_is_known_by_the_position(member: Member) -> None:
    """Then it says of the new one's id that it is the first."""
    changed(member, before=NONE)
    member.poll()
    again = f"[thrd:main]: Topic t changed id from {NONE} to {FORMER}"
    member.client.inside = [
        lambda messages: member.client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c", again)
    ]
    member.poll_all()
    member.poll_all()
    assert member.read == {FIRST: [0, 1, 2, 3, *range(COUNT)]}


def test_brokers_without_ids_keep_nobody_from_reading() -> None:
    member = started(7, written(FORMER))
    member.poll_all()
    assert member.read == {FIRST: list(range(7, COUNT))}


@pytest.mark.parametrize(
    ("topic", "before"), [("t", "AAAAAAAAAAAAAAAAAAAAAA"), ("t2", "0JMqBdzBRVyCnkM/A6hlUQ")], ids=["first id", "other"]
)
def test_the_first_id_of_a_topic_and_another_topics_move_nothing(member: Member, topic: str, before: str) -> None:
    member.poll()
    changed(member, topic, before)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}


def test_who_has_no_group_reads_a_topic_made_anew_from_its_start() -> None:
    consumer, client, _ = without_group()
    consumer.poll(4, 0)
    said = "[thrd:main]: Topic t changed id from 0JMqBdzBRVyCnkM/A6hlUQ to 2bUDLCwKRJqHvAQyzlQbUg"
    client.inside = [lambda messages: client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c", said)]
    assert consumer.poll(4, 0) == []
    (rows,) = consumer.poll(4, 0)
    assert list(rows.offsets) == [0, 1, 2, 3]


def test_what_is_no_debug_line_is_logged_and_what_is_one_is_not(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    member.client.lines.log(logging.WARNING, "%s [%s] %s", "FAIL", "c#consumer-1", "the broker is away")
    member.client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c#consumer-1", "1 brokers")
    assert [record.getMessage() for record in caplog.records] == ["FAIL [c#consumer-1] the broker is away"]


def test_a_connection_that_fails_is_no_error_where_an_error_is_said_of_what_lasts(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    member.client.lines.log(logging.ERROR, "%s [%s] %s", "FAIL", "c#consumer-1", "connection refused by one")
    member.client.lines.log(logging.ERROR, "%s [%s] %s", "PARTCNT", "c#consumer-1", "another line of an error")
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_a_partition_that_the_new_topic_lacks_says_nothing_of_those_that_it_has(member: Member) -> None:
    member.poll()
    member.consumer.commit({FIRST: 4})
    member.client.inside = [lambda messages: changed(member)]
    member.poll()
    member.client.answer(1, ABSENT)  # of the 0 that was committed
    member.poll()
    member.consumer.commit_now({FIRST: 4})
    member.client.committed_at[FIRST] = 4
    member.client.rebalance("revoke", FIRST)
    member.client.rebalance("assign", FIRST)
    member.poll()
    assert member.read == {FIRST: [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7]}
