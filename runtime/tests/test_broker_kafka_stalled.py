"""What is said while brokers take no rows in, though they can be reached."""

import logging

import pytest
from confluent_kafka import KafkaError
from producer_bench import Cluster, producer_on

from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.writing.flight import Flight
from millstream.broker.kafka.writing.stalled import Stalled
from millstream.broker.ports import Outgoing
from millstream.lifecycle import ManualClock


def test_that_brokers_take_no_rows_in_is_said_every_30_seconds_and_once_when_they_do_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    cluster, told = Cluster(), []
    producer = producer_on(cluster)
    cluster.away = True
    cluster.clock.advance(1_000.0)
    producer.send(Outgoing("t", [b"a", b"b"]), told.append)
    producer.poll()
    cluster.clock.advance(29.0)
    producer.poll()
    assert caplog.text == ""
    for _ in range(4):
        cluster.clock.advance(15.0)
        producer.poll()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("2 rows for 't' wait, and for 44 s the brokers have taken none of them in")
    assert "min.insync.replicas" in said[0]
    cluster.away = False
    producer.poll()
    producer.poll()
    assert [delivered.failures for delivered in told] == [{}]
    assert caplog.messages[2:] == ["rows are taken in again"]


def test_slow_brokers_and_those_that_cannot_be_reached_are_not_told_as_ones_that_take_nothing_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    watch = Watch("p", "127.0.0.1:1", clock)
    stalled, flight = Stalled(watch, clock), Flight(lambda: 0)
    for held in (9, 8, 7, 7, 6, 0, 9):
        stalled.look(held, flight, landed=False)
        clock.advance(20.0)
    stalled.look(3, flight, landed=False)
    for _ in range(9):
        watch.heard(KafkaError(KafkaError._TRANSPORT, "refused"))
        clock.advance(20.0)
        stalled.look(3, flight, landed=False)
    assert "taken none" not in caplog.text
    clock.advance(60.0)
    stalled.look(3, flight, landed=False)
    clock.advance(30.0)
    stalled.look(3, flight, landed=False)
    assert "taken none" in caplog.text


def test_a_source_that_sends_as_many_rows_as_were_taken_in_since_its_last_look_is_not_told_as_one_that_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it sends is out at each look: librdkafka's answers come between two, and it looks behind each send."""
    cluster, told = Cluster(), []
    producer = producer_on(cluster)
    cluster.away = True
    for _ in range(10):
        producer.send(Outgoing("t", [b"a"]), told.append)
        producer.poll()
        cluster.clock.advance(20.0)
        for client in cluster.clients:
            client.queue.clear()  # written, and only what is refused is reported
    assert len(told) == 9
    assert caplog.text == ""
