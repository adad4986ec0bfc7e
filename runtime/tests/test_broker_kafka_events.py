"""What comes between the rows is said with its meaning and the remedy."""

import pytest
from confluent_kafka import KafkaError, Message

from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.consumer import Events
from millstream.broker.kafka.reading.gone import Gone
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition

HERE = TopicPartition("lines", 0)


@pytest.fixture
def events() -> Events:
    clock = ManualClock()
    return Events(Watch("c", "127.0.0.1:1", clock), clock, Gone(clock))


def told(code: int, text: str) -> Message:
    return Message(topic="lines", partition=0, offset=0, value=None, error=KafkaError(code, text))


def test_a_task_that_was_too_slow_learns_which_setting_to_raise(
    events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    text = "Application maximum poll interval (6000ms) exceeded by 9ms"
    assert events.take(told(KafkaError._MAX_POLL_EXCEEDED, text), {})
    assert text in caplog.text
    assert "raise consumer.override.max.poll.interval.ms" in caplog.text
    assert "is delivered again" in caplog.text


def test_a_reader_of_given_partitions_needs_no_right_on_a_group(events: Events) -> None:
    refused = told(KafkaError.GROUP_AUTHORIZATION_FAILED, "FindCoordinator response error: Group authorization failed.")
    assert events.take(refused, {})
    clock = ManualClock()
    member = Events(Watch("c", Peer("127.0.0.1:1", "consumer", group="g"), clock), clock, Gone(clock))
    with pytest.raises(BrokerError, match="grant Read on the group g"):
        member.take(refused, {})


def test_a_topic_that_begins_anew_is_said_with_both_offsets(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    events.went_back(HERE, 0, 43)
    assert "lines-0 goes on at offset 0, and had been read up to 43: the topic was deleted and made anew" in caplog.text
