"""What becomes of rows on a real broker: where they go, how refused ones are found, what is said while it is away."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation, AdminClient, NewPartitions, ResourceType
from running import until

from millstream.broker.connect import open_broker
from millstream.broker.kafka import producer as kafka_producer
from millstream.broker.kafka import rounds, sending
from millstream.broker.kafka.flight import Flight
from millstream.broker.ports import (
    Admin,
    AdminSettings,
    Broker,
    ConsumerSettings,
    Delivered,
    Incoming,
    NewTopic,
    Outgoing,
    Producer,
    ProducerSettings,
)
from millstream.errors import BrokerError, RecordTooLargeError, UnknownTopicError
from millstream.lifecycle import StopToken, spawn
from millstream_api.records import TopicPartition
from services import rights
from services.kafka import Kafka

pytestmark = pytest.mark.usefixtures("patient")
WAIT_S = 60.0
Granting = Callable[..., None]
SMALL, LARGE = 100, 5_000
#: what is handed over leaves with the flush, all together however slow the machine is: of two batches of a round the
#: second would be there before the rows of the first, when those are sent again (docs/reference/deviations.md)
TOGETHER = {"linger_ms": "10000"}


@pytest.fixture
def broker(kafka: Kafka) -> Iterator[Broker]:
    broker = open_broker(kafka.address())
    yield broker
    broker.close()


@pytest.fixture
def topic(broker: Broker) -> str:
    return f"rows-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def granted(kafka: Kafka) -> Iterator[Granting]:
    """Gives rights on a topic to eve, who has none else, until the end of the test."""
    admin, given = AdminClient(kafka.client()), []

    def grant(topic: str, *operations: AclOperation) -> None:
        rights.granted(admin, "eve", ResourceType.TOPIC, topic, operations)
        given.append(topic)

    yield grant
    for topic in given:
        rights.withdrawn(admin, ResourceType.TOPIC, topic)


def made(broker: Broker, name: str, partitions: int = 1, **config: str) -> None:
    settings = {key.replace("_", "."): text for key, text in config.items()}
    assert admin_of(broker).create_topics([NewTopic(name, partitions, -1, settings)]) == {name: None}


def admin_of(broker: Broker) -> Admin:
    return broker.admin(AdminSettings("test"))


def producer_of(broker: Broker, **overrides: str) -> Producer:
    settings = {key.replace("_", "."): text for key, text in overrides.items()}
    return broker.producer(ProducerSettings("test", overrides=settings))


def sent(producer: Producer, *batches: Outgoing) -> list[Delivered]:
    """All of them, and what became of each."""
    told: dict[int, Delivered] = {}
    for number, batch in enumerate(batches):
        producer.send(batch, lambda delivered, number=number: told.setdefault(number, delivered))  # type: ignore[misc]
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)
    return [told[number] for number in range(len(batches))]


def read(broker: Broker, topic: str, partitions: int = 1) -> list[Incoming]:
    """Every row there is now."""
    every = [TopicPartition(topic, number) for number in range(partitions)]
    ends = admin_of(broker).end_offsets(every)
    consumer = broker.consumer(ConsumerSettings("test"))
    consumer.assign(dict.fromkeys(every, "beginning"))
    found: list[Incoming] = []
    deadline = time.monotonic() + WAIT_S
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        assert time.monotonic() < deadline
        found.extend(consumer.poll(1000, 0.5))
    consumer.close()
    return found


def values(found: list[Incoming]) -> list[bytes | None]:
    return [value for rows in found for value in rows.values]


def numbered(count: int) -> list[bytes | None]:
    return [b"%06d" % number + b"x" * SMALL for number in range(count)]


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


@pytest.mark.parametrize("at", [0, 250, 499], ids=["first", "in the middle", "last"])
def test_a_row_larger_than_its_topic_takes_is_refused_alone(broker: Broker, topic: str, at: int) -> None:
    made(broker, topic, max_message_bytes="2000")
    rows = numbered(500)
    rows[at] = b"y" * LARGE
    (told,) = sent(producer_of(broker), Outgoing(topic, rows))
    assert list(told.failures) == [at]
    assert isinstance(told.failures[at], RecordTooLargeError)
    assert f"{LARGE} bytes for topic '{topic}'" in str(told.failures[at])
    assert values(read(broker, topic)) == rows[:at] + rows[at + 1 :]


def test_a_row_that_only_compression_makes_small_enough_is_taken(broker: Broker, topic: str) -> None:
    made(broker, topic, max_message_bytes="2000")
    rows: list[bytes | None] = [b"a", b"y" * LARGE, b"b"]
    (told,) = sent(producer_of(broker, compression_type="gzip"), Outgoing(topic, rows))
    assert told.failures == {}
    assert values(read(broker, topic)) == rows


def test_a_row_larger_than_a_request_may_be_names_the_setting(broker: Broker, topic: str) -> None:
    made(broker, topic)
    rows: list[bytes | None] = [b"a", b"y" * LARGE, b"b"]
    (told,) = sent(producer_of(broker, max_request_size="2000"), Outgoing(topic, rows))
    assert list(told.failures) == [1]
    assert "producer.max.request.size" in str(told.failures[1])
    assert values(read(broker, topic)) == [b"a", b"b"]


def test_an_unknown_limit_is_found_out_by_sending_each_row_of_a_refused_batch_alone(
    kafka: Kafka, topic: str, granted: Granting
) -> None:
    """A user who may not read the topic's settings: the brokers refuse a whole batch for one large row in it."""
    plain = open_broker(kafka.address())
    made(plain, topic, max_message_bytes="2000")
    granted(topic, AclOperation.WRITE, AclOperation.DESCRIBE)
    eve = kafka.java_client("SASL_PLAINTEXT", user="eve")
    broker = open_broker(eve["bootstrap.servers"], {f"producer.{name}": text for name, text in eve.items()})
    rows = numbered(60)
    rows[27] = b"y" * LARGE
    told = sent(producer_of(broker, **TOGETHER), Outgoing(topic, rows), Outgoing(topic, [b"later"]))
    assert [list(one.failures) for one in told] == [[27], []]
    assert isinstance(told[0].failures[27], RecordTooLargeError)
    assert values(read(plain, topic)) == [*rows[:27], *rows[28:], b"later"]
    broker.close()
    plain.close()


HOUR_MS = 3_600_000


def with_one_at_fault(topic: str, fault: str) -> Outgoing:
    """500 rows; the topic does not take the 77th."""
    if fault == "too old":
        now = int(time.time() * 1000)
        return Outgoing(topic, numbered(500), timestamps=[now - 2 * HOUR_MS * (row == 77) for row in range(500)])
    return Outgoing(topic, numbered(500), [None if row == 77 else b"k" for row in range(500)], partitions=[0] * 500)


FAULTS = pytest.mark.parametrize(
    ("fault", "config"),
    [
        ("too old", {"message_timestamp_before_max_ms": str(HOUR_MS)}),
        ("no key in a compacted topic", {"cleanup_policy": "compact"}),
    ],
    ids=["timestamp", "record"],
)


@FAULTS
def test_a_row_that_its_topic_does_not_take_is_left_out_alone_although_brokers_refuse_its_batch(
    broker: Broker, topic: str, fault: str, config: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    made(broker, topic, **config)
    producer = producer_of(broker, **TOGETHER)
    told = sent(producer, with_one_at_fault(topic, fault), Outgoing(topic, [b"later"], [b"k"]))
    assert [list(one.failures) for one in told] == [[77], []]
    error = told[0].failures[77]
    assert isinstance(error, BrokerError)
    assert error.skippable
    rows = numbered(500)
    assert values(read(broker, topic)) == [*rows[:77], *rows[78:], b"later"]
    assert "held a row that the topic does not take; each is sent again, alone" in caplog.text


@FAULTS
def test_in_a_transaction_no_row_is_left_out_for_another_of_its_batch(
    broker: Broker, topic: str, fault: str, config: dict[str, str]
) -> None:
    made(broker, topic, **config)
    producer = broker.producer(ProducerSettings("test", transactional_id=topic))
    told: list[Delivered] = []
    producer.begin()
    producer.send(with_one_at_fault(topic, fault), told.append)
    with pytest.raises(BrokerError):
        producer.commit()
    producer.abort()
    producer.close(WAIT_S)
    assert set(told[0].failures) >= set(range(77, 500))
    assert not any(isinstance(error, BrokerError) and error.skippable for error in told[0].failures.values())
    assert "another of its batch" in str(told[0].failures[77])
    assert values(read(broker, topic)) == []


def test_batches_become_smaller_until_a_topic_of_unknown_limit_takes_them(
    kafka: Kafka, topic: str, granted: Granting, caplog: pytest.LogCaptureFixture
) -> None:
    plain = open_broker(kafka.address())
    made(plain, topic, max_message_bytes="20000")
    granted(topic, AclOperation.WRITE, AclOperation.DESCRIBE)
    eve = kafka.java_client("SASL_PLAINTEXT", user="eve")
    broker = open_broker(eve["bootstrap.servers"], {f"producer.{name}": text for name, text in eve.items()})
    producer, told = producer_of(broker, batch_size="100000"), []
    for _ in range(12):
        producer.send(Outgoing(topic, numbered(500)), told.append)
        assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)
    assert [one.failures for one in told] == [{}] * 12
    assert 1 <= caplog.text.count("each is sent again, alone") <= 3  # 53,000, 26,500, 13,250
    assert sorted(values(read(plain, topic))) == sorted(numbered(500) * 12)  # type: ignore[type-var]  # none is null
    broker.close()
    plain.close()


def test_a_missing_right_is_named_for_each_row(kafka: Kafka, topic: str, granted: Granting) -> None:
    plain = open_broker(kafka.address())
    made(plain, topic)
    granted(topic, AclOperation.DESCRIBE)
    eve = kafka.java_client("SASL_PLAINTEXT", user="eve")
    broker = open_broker(eve["bootstrap.servers"], {f"producer.{name}": text for name, text in eve.items()})
    producer = producer_of(broker, enable_idempotence="false")
    (told,) = sent(producer, Outgoing(topic, [b"a", b"b"]))
    assert sorted(told.failures) == [0, 1]
    assert (
        f"kafka-acls.sh --add --allow-principal User:eve --operation Write --operation Describe --topic {topic}"
        in str(told.failures[0])
    )
    broker.close()
    plain.close()


def test_a_missing_right_to_write_idempotently_names_the_setting_that_does_without(kafka: Kafka, topic: str) -> None:
    eve = kafka.java_client("SASL_PLAINTEXT", user="eve")
    broker = open_broker(eve["bootstrap.servers"], {f"producer.{name}": text for name, text in eve.items()})
    producer = producer_of(broker)

    def refused() -> str:
        try:
            producer.poll()
        except BrokerError as error:
            return str(error)
        return ""

    said = until(refused, "the producer to hear that it may not", WAIT_S)
    assert "--operation IdempotentWrite" in said
    assert "producer.enable.idempotence=false" in said
    producer.close(0.1)
    broker.close()


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
