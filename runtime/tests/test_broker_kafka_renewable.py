"""A topic made anew whose leaders librdkafka does not follow is read by another client."""

import logging

import pytest
from consumer_bench import COUNT, FIRST, SECOND, Client, Member, without_group

from millstream.errors import BrokerError

ID, OTHER_ID = "0JMqBdzBRVyCnkM/A6hlUQ", "2bUDLCwKRJqHvAQyzlQbUg"
CHANGED = f"[thrd:main]: Topic t changed id from {ID} to {OTHER_ID}"
OUTDATED = (
    "[thrd:main]: {} [0]: ignoring outdated metadata update with leader epoch 0 which is older than our cached epoch 2"
)


def heard(client: Client, *lines: str) -> None:
    for line in lines:
        client.lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "c#consumer-1", line)


@pytest.fixture
def member() -> Member:
    """Has the first partition, and has read of it."""
    member = Member()
    member.client.rebalance("assign", FIRST)
    member.poll()
    return member


def unled(member: Member) -> Client:
    """The topic is made anew, and its leader passed over. Gives the client that reads from then on."""
    member.client.inside = [lambda messages: heard(member.client, CHANGED, OUTDATED.format("t"))]
    member.poll()
    member.poll()
    return member.made[-1]


def test_a_topic_made_anew_whose_leader_is_passed_over_is_read_by_another_client(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    member.on_assigned = lambda partitions: calls.append("assigned")
    member.on_revoked = lambda partitions: calls.append("revoked")
    second = unled(member)
    assert len(member.made) == 2
    assert "'t': deleted and made anew; this client knows later leaders" in caplog.text
    assert calls == ["revoked", "assigned", "revoked"]
    second.rebalance("assign", FIRST)
    for _ in range(COUNT):
        member.poll()
    assert member.read == {FIRST: [0, 1, 2, 3, *range(COUNT)]}
    assert calls == ["revoked", "assigned", "revoked", "assigned"]
    assert len(member.made) == 2


def test_what_rested_for_the_former_client_does_not_rest_for_the_other_unless_it_is_paused_anew(member: Member) -> None:
    member.client.rebalance("assign", SECOND)
    member.consumer.pause([SECOND])
    second = unled(member)
    second.rebalance("assign", FIRST, SECOND)
    member.poll()
    member.consumer.pause([SECOND])
    assert second.paused == {SECOND}
    member.consumer.resume([SECOND])
    assert second.paused == set()


def test_commits_that_the_former_client_did_not_answer_are_told_as_failed(member: Member) -> None:
    told: list[Exception | None] = []
    member.consumer.commit({FIRST: 4}, told.append)
    unled(member)
    assert [type(error) for error in told] == [BrokerError]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([OUTDATED.format("t")], id="a broker that is behind"),
        pytest.param([CHANGED], id="an epoch that is followed"),
        pytest.param([CHANGED, OUTDATED.format("other")], id="another topic"),
    ],
)
def test_no_other_client_reads_what_this_one_can(member: Member, lines: list[str]) -> None:
    member.client.inside = [lambda messages: heard(member.client, *lines)]
    for _ in range(3):
        member.poll()
    assert len(member.made) == 1


def test_the_other_client_joins_when_the_topic_is_dealt_out_and_not_before() -> None:
    """Who goes in the midst of joining is waited for by its group."""
    member = Member()
    heard(member.client, CHANGED, OUTDATED.format("t"))
    member.poll()
    assert len(member.made) == 1
    member.client.rebalance("assign", FIRST)
    member.poll()
    assert len(member.made) == 2


def test_who_has_no_group_goes_on_with_another_client_where_he_is() -> None:
    consumer, client, _ = without_group()
    consumer.poll(4, 0)
    client.inside = [lambda messages: heard(client, CHANGED, OUTDATED.format("t"))]
    assert consumer.poll(4, 0) == []
    (rows,) = consumer.poll(4, 0)
    assert list(rows.offsets) == [0, 1, 2, 3]
    assert client.at == {}
