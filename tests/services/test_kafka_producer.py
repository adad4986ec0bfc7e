"""What becomes of rows on a real broker: where they go, when they are told, what is said while it is away."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions
from running import until

from millstream.broker.connect import open_broker
from millstream.broker.kafka.writing import producer as kafka_producer
from millstream.broker.kafka.writing import rounds, sending
from millstream.broker.kafka.writing.flight import Flight
from millstream.broker.ports import Broker, Delivered, Outgoing, Producer, ProducerSettings
from millstream.errors import BrokerError, UnknownTopicError
from millstream.lifecycle import StopToken, spawn
from millstream_api.records import TopicPartition
from services.kafka import Kafka
from services.producing import WAIT_S, admin_of, made, numbered, producer_of, read, sent, values

pytestmark = pytest.mark.usefixtures("patient")


def test_many_batches_come_in_order_and_each_is_told_once(broker: Broker, topic: str) -> None:
    made(broker, topic)
    rows = numbered(20_000)
    told = sent(producer_of(broker), *(Outgoing(topic, rows[at : at + 500]) for at in range(0, 20_000, 500)))
    assert [one.failures for one in told] == [{}] * 40
    assert values(read(broker, topic)) == rows


def test_at_full_speed_a_second_round_goes_behind_the_first_and_all_come_once_in_order(
    broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted: list[int] = []
    part = Flight.part
    monkeypatch.setattr(rounds, "QUICK_SECONDS", WAIT_S)  # on a machine that is busy
    monkeypatch.setattr(Flight, "part", lambda flight: (parted.append(flight.rows), part(flight))[1])
    made(broker, topic)
    producer = producer_of(broker)
    told: list[Delivered] = []
    count, size = 100, 2_000
    for number in range(count):
        producer.send(Outgoing(topic, [b"%097d" % (number * size + row) for row in range(size)]), told.append)
        producer.poll()
    assert producer.flush(WAIT_S) == 0
    assert len(told) == count
    assert not any(delivered.failures for delivered in told)
    assert parted
    rows = [int(value or b"") for value in values(read(broker, topic))]
    assert rows == list(range(count * size))


def test_rows_are_told_while_others_are_still_going_out(broker: Broker, topic: str) -> None:
    made(broker, topic)
    producer, told = producer_of(broker), []
    producer.send(Outgoing(topic, numbered(10)), told.append)
    until(lambda: (producer.poll(), told)[1], "the rows to be told without a flush", WAIT_S)
    producer.close(WAIT_S)


def test_a_buffer_that_is_full_waits_for_the_brokers(broker: Broker, topic: str) -> None:
    made(broker, topic, 3)
    rows = numbered(5_000)
    keys: list[bytes | None] = [b"%d" % (number % 50) for number in range(5_000)]
    batches = [Outgoing(topic, rows[at : at + 500], keys[at : at + 500]) for at in range(0, 5_000, 500)]
    told = sent(producer_of(broker, buffer_memory="60000"), *batches)
    assert [one.failures for one in told] == [{}] * 10
    found = read(broker, topic, 3)
    assert sorted(values(found)) == rows  # type: ignore[type-var]  # none is null
    for partition in range(3):  # a key's rows keep their order
        mine = values([each for each in found if each.partition == partition])
        assert mine == sorted(mine)  # type: ignore[type-var]  # none is null


def test_keyless_batches_go_whole_and_in_turn(broker: Broker, topic: str) -> None:
    made(broker, topic, 2)
    batches = [Outgoing(topic, [b"%d" % number] * 50) for number in range(8)]
    sent(producer_of(broker, batch_size="40"), *batches)
    found = read(broker, topic, 2)
    where = {(value, rows.partition) for rows in found for value in rows.values}
    assert len(where) == 8
    assert {partition for _, partition in where} == {0, 1}


def test_a_topic_that_grows_gets_rows_in_its_new_partitions(broker: Broker, topic: str, kafka: Kafka) -> None:
    made(broker, topic)
    producer = producer_of(broker, metadata_max_age_ms="200", batch_size="1")
    producer.send(Outgoing(topic, [b"a"]), lambda delivered: None)
    admin = AdminClient(kafka.client())
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(WAIT_S)

    def spread() -> bool:
        producer.send(Outgoing(topic, [b"b"]), lambda delivered: None)
        producer.flush(WAIT_S)
        third = TopicPartition(topic, 2)
        return producer.partitions(topic) == 3 and admin_of(broker).end_offsets([third])[third] > 0

    until(spread, "rows in the third partition", WAIT_S)
    producer.close(WAIT_S)


def test_brokers_that_are_away_are_an_error_that_may_pass_and_nothing_is_lost(
    kafka: Kafka, topic: str, kafka_proxy: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_broker(kafka.address())
    made(plain, topic)
    broker = open_broker(kafka.address("PROXIED"))
    producer = producer_of(broker, buffer_memory="2000")
    told: list[Delivered] = []
    producer.send(Outgoing(topic, [b"0"]), told.append)
    assert producer.flush(WAIT_S) == 0
    kafka.proxy.refuse()
    monkeypatch.setattr(sending, "STALL_SECONDS", 1.0)
    rows: list[bytes | None] = [b"%d" % number + b"x" * 1_500 for number in range(1, 4)]
    producer.send(Outgoing(topic, rows[:1]), told.append)
    with pytest.raises(
        BrokerError, match=r"1 rows wait for the brokers .*bootstrap\.servers .* cannot be reached"
    ) as e:
        producer.send(Outgoing(topic, rows[1:2]), told.append)
    assert e.value.retriable
    assert producer.flush(0.1) == 1
    kafka.proxy.heal()
    for row in rows[1:]:
        until(lambda row=row: taken(producer, Outgoing(topic, [row]), told), "rows to be taken again", WAIT_S)  # type: ignore[misc]
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)
    assert [one.failures for one in told] == [{}] * 4
    assert values(read(plain, topic)) == [b"0", *rows]
    broker.close()
    plain.close()


def taken(producer: Producer, batch: Outgoing, told: list[Delivered]) -> bool:
    try:
        producer.send(batch, told.append)
    except BrokerError as error:
        if not error.retriable:
            raise
        return False
    return True


def brokers_thread_seconds() -> float:
    """Processor time of librdkafka's threads for brokers."""
    ticks = 0
    for stat in Path("/proc/self/task").glob("*/stat"):
        with suppress(OSError):  # it ended meanwhile
            name, _, fields = stat.read_text().partition("(")[2].rpartition(")")
            ticks += sum(map(int, fields.split()[11:13])) if name.startswith("rdk:broker") else 0
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("delay_s", [None, 0.1], ids=["frozen", "slow"])
def test_rows_that_wait_for_a_broker_cost_no_processor(
    kafka: Kafka, topic: str, kafka_proxy: object, delay_s: float | None
) -> None:
    """librdkafka's thread does not sleep while rows wait behind an idempotent request that is out: 67 % of a core."""
    plain, broker = open_broker(kafka.address()), open_broker(kafka.address("PROXIED"))
    made(plain, topic)
    producer = producer_of(broker)
    told: list[Delivered] = []
    producer.send(Outgoing(topic, numbered(1)), told.append)
    assert producer.flush(WAIT_S) == 0
    if delay_s is None:
        kafka.proxy.freeze()
    else:
        kafka.proxy.delay(delay_s)
    rows, count, used = numbered(100), 0, brokers_thread_seconds()
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        producer.send(Outgoing(topic, rows), told.append)
        producer.poll()
        count += 1
        time.sleep(0.01)  # a plugin's poll
    assert brokers_thread_seconds() - used < 0.5  # of 2 that it was
    kafka.proxy.heal()
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)
    assert [one.failures for one in told] == [{}] * (count + 1)
    assert values(read(plain, topic)) == numbered(1) + rows * count
    broker.close()
    plain.close()


def test_what_waits_behind_a_slow_answer_is_written_while_the_plugin_blocks(
    kafka: Kafka, topic: str, kafka_proxy: object
) -> None:
    plain, broker = open_broker(kafka.address()), open_broker(kafka.address("PROXIED"))
    made(plain, topic)
    producer = producer_of(broker)
    told: list[Delivered] = []
    producer.send(Outgoing(topic, [b"0"]), told.append)
    assert producer.flush(WAIT_S) == 0
    kafka.proxy.delay(0.1)
    for number in range(1, 6):
        producer.send(Outgoing(topic, [b"%d" % number]), told.append)
        time.sleep(0.01)
    end, partition = admin_of(plain).end_offsets, TopicPartition(topic, 0)
    until(lambda: end([partition])[partition] == 6, "all rows to be written, though nobody calls", WAIT_S)
    assert len(told) == 1
    producer.poll()
    assert producer.flush(WAIT_S) == 0
    assert len(told) == 6
    producer.close(WAIT_S)
    broker.close()
    plain.close()


@pytest.mark.parametrize("idempotent", ["true", "false"])
@pytest.mark.parametrize("partitions", [1, 3])
def test_rows_are_told_although_there_are_always_some_out(
    kafka: Kafka, topic: str, kafka_proxy: object, idempotent: str, partitions: int
) -> None:
    """What is told is what offsets are committed by."""
    plain, broker = open_broker(kafka.address()), open_broker(kafka.address("PROXIED"))
    made(plain, topic, partitions)
    producer = producer_of(broker, enable_idempotence=idempotent)
    told: list[Delivered] = []
    keys: list[bytes | None] = [b"%d" % number for number in range(10)]
    producer.send(Outgoing(topic, numbered(10), keys), told.append)
    assert producer.flush(WAIT_S) == 0
    kafka.proxy.delay(0.1)
    count, deadline, lag = 0, time.monotonic() + WAIT_S, []
    # there is an answer every 0.2 s: ten of them come in 300 rounds, and a machine that is busy may need more
    while count < 300 or len(told) <= 100 or min(lag[150:]) >= 100:
        assert time.monotonic() < deadline, f"{len(told)} of {count + 1} batches were told"
        producer.send(Outgoing(topic, numbered(10), keys), told.append)
        count += 1
        producer.poll()
        lag.append(count + 1 - len(told))
        time.sleep(0.01)
    kafka.proxy.heal()
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)
    assert [one.failures for one in told] == [{}] * (count + 1)
    broker.close()
    plain.close()


def test_what_is_out_at_the_end_is_told_as_failed(kafka: Kafka, topic: str, kafka_proxy: object) -> None:
    broker = open_broker(kafka.address("PROXIED"))
    producer = producer_of(broker)
    told: list[Delivered] = []
    producer.send(Outgoing(topic, [b"0"]), told.append)
    assert producer.flush(WAIT_S) == 0
    kafka.proxy.refuse()
    producer.send(Outgoing(topic, [b"a", b"b"]), told.append)
    producer.close(0.2)
    assert [sorted(one.failures) for one in told] == [[], [0, 1]]
    broker.close()


def test_a_topic_that_the_brokers_will_not_make_names_the_remedy(strict_kafka: Kafka, topic: str) -> None:
    broker = open_broker(strict_kafka.address())
    producer, told = producer_of(broker, max_block_ms="2000"), []

    def failed() -> UnknownTopicError | None:
        try:
            producer.send(Outgoing(topic, [b"a"]), told.append)
        except UnknownTopicError as error:
            return error
        except BrokerError as error:
            if not error.retriable:
                raise
        return None

    said = str(until(failed, "the producer to give up", WAIT_S))
    assert f"topic {topic!r} does not exist, also after 2 s (max.block.ms)" in said
    assert "topic.creation.default.partitions" in said
    assert told == []
    made(broker, topic)
    assert [one.failures for one in sent(producer, Outgoing(topic, [b"a"]))] == [{}]
    assert values(read(broker, topic)) == [b"a"]
    broker.close()


def test_a_transaction_that_needs_smaller_batches_is_begun_anew_and_written_once(broker: Broker, topic: str) -> None:
    made(broker, topic)
    made(broker, f"{topic}-small", max_message_bytes="2000")
    producer = broker.producer(ProducerSettings("test", transactional_id=topic))
    told: list[Delivered] = []

    def transacted() -> None:
        producer.begin()
        producer.send(Outgoing(topic, [b"before"]), told.append)
        producer.send(Outgoing(f"{topic}-small", numbered(500)), told.append)
        producer.commit()

    with pytest.raises(BrokerError, match="begin another") as caught:
        transacted()
    assert caught.value.retriable
    producer.abort()
    told.clear()
    transacted()
    producer.close(WAIT_S)
    assert [one.failures for one in told] == [{}, {}]
    assert values(read(broker, topic)) == [b"before"]
    assert values(read(broker, f"{topic}-small")) == numbered(500)


def test_a_commit_whose_answer_is_lost_for_a_while_is_asked_for_until_it_is_answered(
    kafka: Kafka, topic: str, kafka_proxy: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "SLOW_SECONDS", 1.0)
    plain = open_broker(kafka.address())
    made(plain, topic)
    broker = open_broker(kafka.address("PROXIED"))
    producer = broker.producer(ProducerSettings("test", transactional_id=topic))
    told: list[Delivered] = []

    def healed(stop: StopToken) -> None:
        stop.wait(3.0)
        kafka.proxy.heal()

    for number in range(2):
        producer.begin()
        producer.send(Outgoing(topic, [b"%d" % number]), told.append)
        assert producer.flush(WAIT_S) == 0
        if number:
            kafka.proxy.freeze()
            spawn("heal", healed)
        producer.commit()
    producer.close(WAIT_S)
    assert [one.failures for one in told] == [{}, {}]
    assert values(read(plain, topic)) == [b"0", b"1"]
    broker.close()
    plain.close()
