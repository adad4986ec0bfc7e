"""A partition that librdkafka leaves alone, though it has rows, is read again; one that has none is left in peace."""

import logging

import pytest
from confluent_kafka import TopicPartition as At
from consumer_bench import AWAY, COUNT, FIRST, SECOND, Member

from millstream.broker.kafka.reading.silent import LOOK_SECONDS


@pytest.fixture
def member() -> Member:
    """Has read some rows of the first partition, and all of the second; the first is left alone from now on."""
    member = Member()
    member.client.committed_at = {SECOND: COUNT}
    member.client.rebalance("assign", FIRST, SECOND)
    member.poll()
    member.client.silent = {FIRST}
    return member


def look(member: Member, times: int = 1) -> None:
    """So many looks, and a poll behind the last."""
    for _ in range(times):
        clock = member.consumer._clock
        clock.advance(LOOK_SECONDS)  # type: ignore[attr-defined]  # a clock that is set by hand
        member.poll()
    member.poll()


def test_rows_that_nobody_gives_are_read_from_where_the_partition_is(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    look(member)  # rows came since the last one
    look(member)
    assert member.client.silent == {FIRST}
    look(member)
    member.poll_all()
    assert member.read == {FIRST: list(range(COUNT))}
    assert "t-0 had given no rows for 30 s, though there were some" in caplog.text


def test_what_does_not_help_is_tried_after_twice_as_long_each_time(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought: list[int] = []
    monkeypatch.setattr(member.client, "seek", lambda at: sought.append(len(member.client.looked)))
    look(member, 18)  # rows came before the first
    assert sought == [3, 5, 9, 17]


def test_marks_of_transactions_are_no_rows_that_were_left_alone(
    member: Member, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where they end a position stays behind; what comes in the end came when it was read."""
    caplog.set_level(logging.INFO)
    sought: list[At] = []
    monkeypatch.setattr(member.client, "seek", sought.append)
    member.client.ends = 5  # 4 were read, and a mark is behind them
    look(member, 6)
    member.client.at[FIRST], member.client.silent = 5, set()
    member.poll()
    assert member.read[FIRST] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [at.offset for at in sought] == [4, 4]
    assert caplog.messages == []


def test_that_more_comes_to_a_partition_that_gives_nothing_is_said_when_it_is_read_again(
    member: Member, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(member.client, "seek", lambda at: None)
    member.client.ends = 5
    look(member, 3)
    assert caplog.messages == []
    member.client.ends = 6
    look(member, 2)
    (said,) = caplog.messages
    assert said.startswith("t-0: nothing comes, and there is something behind their positions")


def test_a_partition_that_is_at_its_end_or_rests_is_left_alone(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    member.client.ends = 4  # as many as were read
    look(member, 5)
    member.client.ends = COUNT
    member.consumer.pause([FIRST])
    look(member, 5)
    assert member.client.silent == {FIRST}
    assert member.client.looked[-1] == [SECOND]
    assert caplog.messages == []


def test_rows_between_two_looks_say_that_all_is_well(member: Member) -> None:
    for _ in range(3):
        look(member, 3)
        member.client.silent = set()
        member.poll()
        member.client.silent = {FIRST}
    assert member.client.silent == {FIRST}
    assert [FIRST, SECOND] in member.client.looked


def test_brokers_that_do_not_answer_are_asked_again_at_the_next_look(member: Member) -> None:
    member.client.ends = AWAY
    look(member, 6)
    assert member.client.silent == {FIRST}
    member.client.ends = COUNT
    look(member, 2)
    assert member.client.silent == set()


def test_nobody_looks_while_more_has_been_fetched_than_was_asked_for(member: Member) -> None:
    member.client.silent = set()
    member.client.at[SECOND] = member.consumer._places.of[SECOND] = 0
    for _ in range(4):
        member.consumer._clock.advance(LOOK_SECONDS)  # type: ignore[attr-defined]  # as above
        member.poll(2)
    assert member.client.looked == []


def made_anew(member: Member, times: int = 1) -> None:
    said = f"[thrd:main]: Topic t changed id from {times - 1:022} to {times:022}"
    member.client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c#consumer-1", said)
    member.poll()


def test_a_topic_made_anew_of_which_nothing_comes_is_read_by_another_client(member: Member) -> None:
    made_anew(member)
    member.client.silent = {FIRST, SECOND}
    look(member)
    assert len(member.made) == 1
    look(member)
    assert len(member.made) == 2


def test_a_topic_made_anew_of_which_each_partition_gave_rows_is_left_to_its_client_until_it_is_made_anew_again(
    member: Member,
) -> None:
    made_anew(member)
    member.client.silent = set()
    member.poll(2)
    member.client.silent = {FIRST, SECOND}
    look(member, 5)
    assert len(member.made) == 1
    made_anew(member, 2)
    member.client.silent = {FIRST, SECOND}
    look(member, 4)  # rows came before the second
    assert len(member.made) == 2
