"""What a Kafka producer does while a topic is not there yet, and when its partitions are gone."""

import logging
from collections import deque

import pytest
from confluent_kafka import KafkaError
from producer_bench import Cluster, producer_on, transacted

from millstream.broker.kafka.writing.flight import BY_KEY
from millstream.broker.ports import Delivered, Outgoing
from millstream.errors import BrokerError, UnknownTopicError


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


UNKNOWN = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown")
LEADERLESS = KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "no leader")


@pytest.mark.parametrize("answer", [UNKNOWN, LEADERLESS], ids=["absent", "without a leader"])
def test_a_topic_that_may_still_come_is_waited_for_and_no_row_is_refused(cluster: Cluster, answer: KafkaError) -> None:
    cluster.metadata["t"] = [answer]
    producer, told = producer_on(cluster), []
    for _ in range(3):
        began = cluster.clock.monotonic()
        with pytest.raises(BrokerError, match=r"topic 't' .* yet, and is waited for") as caught:
            producer.send(Outgoing("t", [b"a"]), told.append)
        assert caught.value.retriable
        assert cluster.clock.monotonic() - began < 2.0  # a stop is heard in between
    assert told == []
    cluster.metadata["t"] = [None]
    producer.send(Outgoing("t", [b"a"]), told.append)
    assert producer.flush(1.0) == 0
    assert [one.failures for one in told] == [{}]


def test_a_topic_that_has_no_leader_is_waited_for_for_ever(cluster: Cluster) -> None:
    cluster.metadata["t"] = [LEADERLESS]
    producer = producer_on(cluster)
    for _ in range(50):
        with pytest.raises(BrokerError) as caught:
            producer.send(Outgoing("t", [b"a"]), print)
        assert caught.value.retriable


def test_a_topic_that_does_not_come_in_time_is_the_producers_failure_and_not_a_rows(cluster: Cluster) -> None:
    cluster.metadata["t"] = [UNKNOWN]
    producer, told = producer_on(cluster), []

    def sent() -> None:
        while True:
            try:
                producer.send(Outgoing("t", [b"a"]), told.append)
            except BrokerError as error:
                if not error.retriable:
                    raise

    with pytest.raises(
        UnknownTopicError, match=r"topic 't' does not exist, also after 10 s \(max\.block\.ms\), and the"
    ):
        sent()
    assert 10.0 <= cluster.clock.monotonic() < 12.0
    assert told == []
    with pytest.raises(UnknownTopicError):
        sent()  # it is waited for anew
    assert 20.0 <= cluster.clock.monotonic() < 24.0


def test_a_topic_with_an_illegal_name_is_refused_row_by_row(cluster: Cluster) -> None:
    cluster.metadata["?"] = [KafkaError(KafkaError.TOPIC_EXCEPTION, "illegal")]
    producer, told = producer_on(cluster), []
    producer.send(Outgoing("?", [b"a", b"b"]), told.append)
    assert [error.skippable for error in told[0].failures.values()] == [True, True]  # type: ignore[attr-defined]


GONE = KafkaError(KafkaError._DESTROY, "Local: Broker handle destroyed for termination")


def lose_partitions(cluster: Cluster) -> None:
    """All that waits is refused for its partition, as when its topic is made anew with fewer."""
    client = cluster.clients[-1]
    waiting, client.queue = client.queue, deque()
    for message, report in waiting:
        report(GONE, message)


def test_rows_whose_partition_is_gone_go_to_another_and_none_is_told_before(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"a", b"b"]), told.append)
    lose_partitions(cluster)
    assert told == []
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert [delivered.failures for delivered in told] == [{}]
    assert cluster.written == [("t", BY_KEY, value) for value in (b"a", b"a", b"b")]
    assert caplog.text.count("topic 't' was deleted, and perhaps made anew: rows that waited") == 1


def test_that_rows_are_astray_is_said_once_for_each_time_that_a_topic_is_made_anew(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer, told = producer_on(cluster), []
    for number, seconds in enumerate((1.0, 30.0, 30.0, 60.0)):
        cluster.away = True
        producer.send(Outgoing("t", [b"%d" % number]), told.append)
        lose_partitions(cluster)
        cluster.away = False
        assert producer.flush(1.0) == 0
        assert caplog.text.count("was deleted, and perhaps made anew") == 1
        cluster.clock.advance(seconds)
    cluster.at_once = {b"late": KafkaError._UNKNOWN_PARTITION}
    producer.send(Outgoing("t", [b"late"]), told.append)
    assert producer.flush(1.0) == 0
    assert caplog.text.count("was deleted, and perhaps made anew") == 2
    assert [delivered.failures for delivered in told] == [{}] * 5


def test_rows_that_librdkafka_does_not_take_for_their_partition_go_to_another(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.at_once = {b"b": KafkaError._UNKNOWN_PARTITION}
    producer.send(Outgoing("t", [b"a", b"b", b"c"]), told.append)
    assert producer.flush(1.0) == 0
    assert [delivered.failures for delivered in told] == [{}]
    assert sorted(cluster.values) == [b"a", b"b", b"c"]


def test_a_row_for_a_partition_that_was_named_is_refused_when_that_is_gone(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"b"], None, [2, None]), told.append)
    lose_partitions(cluster)
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert list(told[0].failures) == [0]
    assert cluster.values == [b"b"]


def test_rows_astray_are_told_as_failed_when_the_producer_is_closed(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    producer.send(Outgoing("t", [b"b"]), told.append)
    client = cluster.clients[-1]
    message, report = client.queue.popleft()
    report(GONE, message)
    producer.close(0.0)
    assert [list(delivered.failures) for delivered in told] == [[0], [0]]
    assert cluster.values == []


def unled(cluster: Cluster) -> None:
    """The topic is made anew, and its leader passed over, as librdkafka logs it."""
    for said in (
        "[thrd:main]: Topic t changed id from 0JMqBdzBRVyCnkM/A6hlUQ to 2bUDLCwKRJqHvAQyzlQbUg",
        "[thrd:main]: t [0]: ignoring outdated metadata update with leader epoch 0 which is older than our cached "
        "epoch 2",
    ):
        cluster.clients[-1].lines.log(logging.DEBUG, "%s [%s] %s", "METADATA", "p#producer-1", said)


def test_rows_for_a_topic_made_anew_whose_leader_is_passed_over_are_sent_by_another_client(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"a", b"b"]), told.append)
    producer.send(Outgoing("t", [b"named"], partitions=[2]), told.append)
    unled(cluster)
    producer.poll()
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert [delivered.failures for delivered in told] == [{}, {}]
    assert cluster.written == [*(("t", BY_KEY, value) for value in (b"a", b"a", b"b")), ("t", 2, b"named")]
    assert len(cluster.clients) == 2
    assert "'t': deleted and made anew; this client knows later leaders of the former" in caplog.text


def test_a_client_that_is_heard_to_pass_a_leader_over_is_let_go_within_a_flush(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    first = cluster.clients[-1]
    flush = first.flush

    def hearing(seconds: float) -> int:
        unled(cluster)
        return flush(seconds)

    monkeypatch.setattr(first, "flush", hearing)
    cluster.made.append(lambda: setattr(cluster, "away", False))
    assert producer.flush(60.0) == 0
    assert cluster.clock.monotonic() < 10.0
    assert [delivered.failures for delivered in told] == [{}]


def test_rows_of_other_topics_that_were_out_are_sent_by_the_other_client_and_not_said_to_be_of_one_that_was_deleted(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    for topic in ("t", "other"):
        producer.send(Outgoing(topic, [b"a"]), told.append)
    unled(cluster)
    producer.poll()
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert [delivered.failures for delivered in told] == [{}, {}]
    assert [(topic, value) for topic, _, value in cluster.written] == [("t", b"a"), ("other", b"a")]
    assert len(caplog.records) == 1
    assert "'t': deleted and made anew; this client knows later leaders" in caplog.text


def test_a_transaction_keeps_its_client_and_the_next_one_has_another_where_a_leader_is_passed_over(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer = producer_on(cluster, "id")
    producer.begin()
    unled(cluster)
    producer.poll()
    producer.abort()
    assert len(cluster.clients) == 1
    assert transacted(producer, Outgoing("t", [b"a"])) == [Delivered({})]
    assert transacted(producer, Outgoing("t", [b"b"])) == [Delivered({})]
    calls = [client.calls for client in cluster.clients]
    assert calls == [["init", "begin", "abort"], ["init", "begin", "commit", "begin", "commit"]]
    assert "'t': deleted and made anew; this client knows later leaders of the former" in caplog.text


def test_a_client_whose_topics_are_led_is_not_replaced(cluster: Cluster) -> None:
    producer = producer_on(cluster)
    said = "[thrd:main]: t [0]: ignoring outdated metadata update with leader epoch 0 which is older than our cached 1"
    cluster.clients[-1].lines.log(logging.DEBUG, "%s [%s] %s", "BROKER", "p#producer-1", said)
    producer.poll()
    assert len(cluster.clients) == 1


def test_rows_for_a_topic_that_went_and_does_not_come_again_are_refused_with_what_to_do(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    client = cluster.clients[-1]
    (message, report) = client.queue.popleft()
    report(KafkaError(KafkaError._UNKNOWN_TOPIC, "unknown topic"), message)
    producer.poll()
    error = told[0].failures[0]
    assert isinstance(error, UnknownTopicError)
    assert str(error).startswith(
        "writing to topic 't': it does not exist (unknown topic), and the brokers did not make"
    )
    assert "topic.creation.default.partitions" in str(error)
    assert str(error).endswith("then restart the task, which makes it when it may")
