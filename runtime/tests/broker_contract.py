"""What every broker behind the ports must do. A test subclasses `BrokerContract` and gives a fixture `broker`."""

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

import pytest

from millstream.broker.ports import (
    AdminSettings,
    Broker,
    Consumer,
    ConsumerSettings,
    Delivered,
    Incoming,
    NewTopic,
    Outgoing,
    Producer,
    ProducerSettings,
    RebalanceListener,
)
from millstream.errors import BrokerError, ConflictError, RecordTooLargeError, UnknownTopicError
from millstream_api.records import Origin, TopicPartition

T = TypeVar("T")
SECONDS = 20.0  # for what takes milliseconds on a machine that has nothing else to do; a test as a whole has 30


class Listener:
    def __init__(self) -> None:
        self.events: list[tuple[str, list[TopicPartition]]] = []

    def ports(self) -> RebalanceListener:
        return RebalanceListener(*(self._teller(kind) for kind in ("assigned", "revoked", "lost")))

    def _teller(self, kind: str) -> Callable[[object], None]:
        return lambda partitions: self.events.append((kind, sorted(partitions)))  # type: ignore[call-overload]


def write(producer: Producer, batch: Outgoing) -> list[Delivered]:
    """Send in a transaction of its own, durable on return."""
    told: list[Delivered] = []
    producer.begin()
    producer.send(batch, told.append)
    producer.commit()
    producer.durable()
    return told


def read(consumer: Consumer, rows: int, max_rows: int = 500) -> list[Incoming]:
    """Poll until so many rows have come; fails when they do not."""
    found: list[Incoming] = []
    deadline = time.monotonic() + SECONDS
    while sum(len(incoming.values) for incoming in found) < rows:
        assert time.monotonic() < deadline, f"only {found!r} of {rows} rows came"
        polled = consumer.poll(max_rows, 0.2)
        assert sum(len(incoming.values) for incoming in polled) <= max_rows
        found.extend(polled)
    return found


def soon(look: Callable[[], T], fine: Callable[[T], bool]) -> T:
    """What `look` gives once it is `fine`: the end of a transaction is seen a little after its commit."""
    deadline = time.monotonic() + SECONDS
    while not fine(found := look()):
        assert time.monotonic() < deadline, found
    return found


def values(found: Sequence[Incoming]) -> list[bytes | None]:
    return [value for incoming in found for value in incoming.values]


def offsets(found: Sequence[Incoming]) -> list[int]:
    return [offset for incoming in found for offset in incoming.offsets]


class BrokerContract:
    @pytest.fixture
    def clients(self, broker: Broker) -> Iterator["Clients"]:
        clients = Clients(broker)
        yield clients
        clients.close()

    def test_rows_come_back_in_the_order_they_were_sent(self, clients: "Clients") -> None:
        producer, consumer = clients.producer(), clients.reader(clients.topic)
        for start in range(0, 1000, 100):
            write(producer, Outgoing(clients.topic, [b"%d" % i for i in range(start, start + 100)]))
        found = read(consumer, 1000, max_rows=70)
        assert values(found) == [b"%d" % i for i in range(1000)]
        assert offsets(found) == sorted(set(offsets(found)))

    def test_done_is_told_exactly_once_a_batch(self, clients: "Clients") -> None:
        producer = clients.producer(transactional=False)
        told: list[int] = []
        for number in range(20):
            producer.send(Outgoing(clients.topic, [b"x"]), lambda delivered, number=number: told.append(number))
        assert producer.flush(SECONDS) == 0
        producer.poll()
        producer.close(SECONDS)
        producer.close(SECONDS)
        assert sorted(told) == list(range(20))

    def test_a_producer_that_reports_each_says_where_every_row_is(self, clients: "Clients") -> None:
        producer, consumer = clients.producer(report_each=True), clients.reader(clients.topic)
        (told,) = write(producer, Outgoing(clients.topic, [b"a", b"b"]))
        assert told.origins is not None
        assert told.failures == {}
        found = read(consumer, 2)
        assert told.origins() == [Origin(clients.topic, 0, offset, "CreateTime") for offset in offsets(found)]

    def test_keys_values_headers_timestamps_and_tombstones_come_back_as_sent(self, clients: "Clients") -> None:
        producer, consumer = clients.producer(), clients.reader(clients.topic)
        headers = [[("h", b"\x00\xff"), ("h", None), ("ü", b"")], [], [("x", b"1")]]
        batch = Outgoing(
            clients.topic, [b"v", None, b""], [b"k", b"", None], None, [1_700_000_000_000, None, 5], headers
        )
        write(producer, batch)
        found = read(consumer, 3)
        assert values(found) == [b"v", None, b""]
        assert [key for incoming in found for key in incoming.keys or ()] == [b"k", b"", None]
        told = [[tuple(header) for header in row] for incoming in found for row in incoming.headers or ()]
        assert told == headers
        stamps = [stamp for incoming in found for stamp in incoming.timestamps]
        assert stamps[0] == 1_700_000_000_000
        assert stamps[1] > 1_600_000_000_000
        assert stamps[2] == 5
        assert {incoming.timestamp_type for incoming in found} == {"CreateTime"}

    def test_a_row_without_keys_or_headers_has_no_such_columns(self, clients: "Clients") -> None:
        write(clients.producer(), Outgoing(clients.topic, [b"v"]))
        (incoming,) = read(clients.reader(clients.topic), 1)
        assert not any(incoming.keys or ())
        assert not any(incoming.headers or ())

    def test_an_aborted_transaction_is_never_seen(self, clients: "Clients") -> None:
        producer, consumer = clients.producer(), clients.reader(clients.topic)
        told: list[Delivered] = []
        producer.begin()
        producer.send(Outgoing(clients.topic, [b"gone"] * 10), told.append)
        producer.abort()
        write(producer, Outgoing(clients.topic, [b"stays"]))
        assert values(read(consumer, 1)) == [b"stays"]
        assert len(told) == 1

    def test_an_open_transaction_is_not_seen_before_its_commit(self, clients: "Clients") -> None:
        producer, consumer = clients.producer(), clients.reader(clients.topic)
        producer.begin()
        producer.send(Outgoing(clients.topic, [b"a"]), lambda delivered: None)
        assert consumer.poll(10, 0.1) == []
        producer.send(Outgoing(clients.topic, [b"b"]), lambda delivered: None)
        producer.commit()
        assert values(read(consumer, 2)) == [b"a", b"b"]

    def test_a_transaction_spans_topics(self, clients: "Clients") -> None:
        producer = clients.producer()
        clients.create(NewTopic("offsets", 1, -1, {"cleanup.policy": "compact"}))
        producer.begin()
        producer.send(Outgoing(clients.topic, [b"row"]), lambda delivered: None)
        producer.send(Outgoing("offsets", [b"1"], [b"k"]), lambda delivered: None)
        producer.commit()
        assert values(read(clients.reader(clients.topic), 1)) == [b"row"]
        assert values(read(clients.reader("offsets"), 1)) == [b"1"]

    def test_a_record_too_large_is_refused_by_name_and_the_others_are_written(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 1, -1, {"max.message.bytes": "2000"}))
        told: list[Delivered] = []
        producer = clients.producer(transactional=False)
        producer.send(Outgoing(clients.topic, [b"a", b"x" * 3000, b"b"]), told.append)
        producer.flush(SECONDS)
        assert list(told[0].failures) == [1]
        error = told[0].failures[1]
        assert isinstance(error, RecordTooLargeError)
        assert "3000 bytes" in str(error)
        assert repr(clients.topic) in str(error)
        assert "max.message.bytes" in str(error)
        assert values(read(clients.reader(clients.topic), 2)) == [b"a", b"b"]

    def test_an_unknown_topic_is_an_error_where_creation_is_forbidden(self, clients: "Clients") -> None:
        told: list[Delivered] = []
        producer = clients.producer(create_topics=False, transactional=False)
        producer.send(Outgoing("nowhere", [b"a", b"b"]), told.append)
        producer.flush(SECONDS)
        assert list(told[0].failures) == [0, 1]
        assert isinstance(told[0].failures[0], UnknownTopicError)
        assert "'nowhere'" in str(told[0].failures[0])
        assert "nowhere" not in clients.admin.topics()
        assert producer.partitions("nowhere") == 0

    def test_topics_are_created_once_and_described(self, clients: "Clients") -> None:
        new = NewTopic("many", 3, -1, {"retention.ms": "1000"})
        assert clients.admin.create_topics([new]) == {"many": None}
        error = clients.admin.create_topics([new])["many"]
        assert isinstance(error, ConflictError)
        assert "already exists" in str(error)
        found = clients.admin.topics()["many"]
        assert (found.partitions, found.config["retention.ms"], found.cleanup_policy) == (3, "1000", "delete")
        assert clients.admin.topics(["many", "nowhere"]) == {"many": found}
        assert clients.producer().partitions("many") == 3

    def test_a_topic_name_that_is_not_legal_is_refused(self, clients: "Clients") -> None:
        for name in ("", "a b", "..", "x" * 250):
            error = clients.admin.create_topics([NewTopic(name)])[name]
            assert isinstance(error, BrokerError)
            assert repr(name) in str(error)

    def test_keys_go_to_the_partition_of_javas_hash_and_keyless_batches_to_one(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 5))
        producer = clients.producer()
        keys = [
            b"status-connector-local-file-source",
            b"status-task-local-file-source-0",
            b"status-topic-t:connector-c",
        ]
        write(producer, Outgoing(clients.topic, [b"0", b"4", b"0"], keys))
        for incoming in read(clients.reader(clients.topic, 5), 3):
            assert all(value == b"%d" % incoming.partition for value in incoming.values)
        every, third = [TopicPartition(clients.topic, p) for p in range(5)], TopicPartition(clients.topic, 3)
        write(producer, Outgoing(clients.topic, [b"x"] * 50))
        before = soon(lambda: clients.admin.end_offsets(every), lambda ends: max(ends.values()) >= 50)
        write(producer, Outgoing(clients.topic, [b"y"], None, [3]))
        soon(lambda: clients.admin.end_offsets([third]), lambda ends: ends[third] > before[third])

    def test_a_group_goes_on_where_it_committed(self, clients: "Clients") -> None:
        write(clients.producer(), Outgoing(clients.topic, [b"%d" % i for i in range(10)]))
        first, listener = clients.member("g"), Listener()
        first.subscribe([clients.topic], None, listener.ports())
        assert len(values(read(first, 10))) == 10
        assert first.position(clients.first) == 10
        assert first.committed([clients.first]) == {}
        answers: list[Exception | None] = []
        first.commit({clients.first: 4}, answers.append)
        deadline = time.monotonic() + SECONDS
        while not answers and time.monotonic() < deadline:
            first.poll(1, 0.05)
        assert answers == [None]
        first.close()
        assert listener.events == [("assigned", [clients.first]), ("revoked", [clients.first])]
        second = clients.member("g")
        second.subscribe([clients.topic], None, Listener().ports())
        assert values(read(second, 6)) == [b"4", b"5", b"6", b"7", b"8", b"9"]
        assert second.committed([clients.first, TopicPartition("u", 0)]) == {clients.first: 4}

    def test_a_pattern_matches_whole_names_and_waits_for_topics(self, clients: "Clients") -> None:
        consumer, listener = clients.member("g"), Listener()
        consumer.subscribe(None, re.compile("t[0-9]"), listener.ports())
        assert consumer.poll(10, 0.05) == []
        producer = clients.producer()
        for topic in ("t1", "t12"):
            write(producer, Outgoing(topic, [topic.encode()]))
        assert values(read(consumer, 1)) == [b"t1"]
        assert consumer.assignment() == {TopicPartition("t1", 0)}

    def test_a_missing_topic_is_waited_for(self, clients: "Clients") -> None:
        consumer, listener = clients.member("g"), Listener()
        consumer.subscribe(["later"], None, listener.ports())
        assert consumer.poll(10, 0.05) == []
        write(clients.producer(), Outgoing("later", [b"here"]))
        assert values(read(consumer, 1)) == [b"here"]
        assert listener.events == [("assigned", [TopicPartition("later", 0)])]

    def test_latest_starts_at_the_end(self, clients: "Clients") -> None:
        producer = clients.producer()
        write(producer, Outgoing(clients.topic, [b"old"]))
        consumer = clients.member("g", reset="latest")
        consumer.subscribe([clients.topic], None, Listener().ports())
        deadline = time.monotonic() + SECONDS
        while not consumer.assignment() and time.monotonic() < deadline:
            consumer.poll(1, 0.05)
        consumer.poll(1, 0.05)
        write(producer, Outgoing(clients.topic, [b"new"]))
        assert values(read(consumer, 1)) == [b"new"]

    def test_none_goes_on_from_a_committed_position_and_fails_without_one(self, clients: "Clients") -> None:
        write(clients.producer(), Outgoing(clients.topic, [b"a", b"b"]))
        strange = clients.member("g", reset="none")
        strange.subscribe([clients.topic], None, Listener().ports())
        with pytest.raises(BrokerError, match=r"-0: .*auto\.offset\.reset is none.*earliest or latest") as caught:
            read(strange, 1)
        assert not caught.value.retriable
        strange.close()
        first = clients.member("known")
        first.subscribe([clients.topic], None, Listener().ports())
        read(first, 1, max_rows=1)
        first.commit_now({clients.first: 1})
        first.close()
        second = clients.member("known", reset="none")
        second.subscribe([clients.topic], None, Listener().ports())
        assert values(read(second, 1)) == [b"b"]

    def test_seek_goes_back_and_forward(self, clients: "Clients") -> None:
        write(clients.producer(), Outgoing(clients.topic, [b"%d" % i for i in range(10)]))
        consumer = clients.reader(clients.topic)
        read(consumer, 3, max_rows=3)
        assert consumer.position(clients.first) == 3
        consumer.seek(clients.first, 8)
        assert values(read(consumer, 2)) == [b"8", b"9"]
        consumer.seek(clients.first, 1)
        assert values(read(consumer, 1, max_rows=1)) == [b"1"]
        with pytest.raises(KeyError):
            consumer.seek(TopicPartition("other", 0), 1)

    def test_a_position_beyond_the_end_starts_anew(self, clients: "Clients") -> None:
        write(clients.producer(), Outgoing(clients.topic, [b"a"]))
        consumer = clients.reader(clients.topic)
        consumer.seek(clients.first, 100)
        assert values(read(consumer, 1)) == [b"a"]

    def test_a_paused_partition_gives_nothing_until_it_is_resumed(self, clients: "Clients") -> None:
        write(clients.producer(), Outgoing(clients.topic, [b"a"]))
        consumer = clients.reader(clients.topic)
        consumer.pause([clients.first])
        assert consumer.poll(10, 0.1) == []
        assert consumer.position(clients.first) == 0
        consumer.resume([clients.first])
        assert values(read(consumer, 1)) == [b"a"]

    def test_wakeup_ends_a_poll_from_another_thread(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 1))
        consumer = clients.reader(clients.topic)
        timer = threading.Timer(0.05, consumer.wakeup)
        timer.start()
        assert consumer.poll(10, 3600.0) == []
        timer.join()
        consumer.wakeup()
        assert consumer.poll(10, 3600.0) == []  # one that comes before the poll ends it, too

    def test_end_offsets_are_those_of_the_log(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 2))
        producer, consumer = clients.producer(), clients.reader(clients.topic, 2)
        one = TopicPartition(clients.topic, 1)
        assert consumer.end_offsets([clients.first, one]) == {clients.first: 0, one: 0}
        write(producer, Outgoing(clients.topic, [b"a"] * 3, None, [1, 1, 1]))
        found = read(consumer, 3)
        end = consumer.end_offsets([one])[one]
        assert end > offsets(found)[-1]
        assert clients.admin.end_offsets([one]) == {one: end}
        assert clients.admin.beginning_offsets([one]) == {one: 0}
        with pytest.raises(UnknownTopicError, match="'nowhere'"):
            clients.admin.end_offsets([TopicPartition("nowhere", 0)])

    def test_a_compacted_topic_read_to_its_end_gives_the_newest_of_each_key(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 1, -1, {"cleanup.policy": "compact"}))
        partition = clients.first
        producer, consumer = clients.producer(), clients.reader(clients.topic)
        write(producer, Outgoing(clients.topic, [b"1", b"1", b"2"], [b"a", b"b", b"a"]))
        write(producer, Outgoing(clients.topic, [None, b"3"], [b"b", b"d"]))
        newest: dict[bytes | None, bytes | None] = {}
        deadline = time.monotonic() + SECONDS
        end = consumer.end_offsets([partition])[partition]
        while consumer.position(partition) < end:
            assert time.monotonic() < deadline
            for incoming in consumer.poll(1, 0.1):
                newest.update(zip(incoming.keys or (), incoming.values, strict=True))
        assert newest == {b"a": b"2", b"b": None, b"d": b"3"}
        write(producer, Outgoing(clients.topic, [b"4"], [b"a"]))
        (incoming,) = read(consumer, 1)
        assert (list(incoming.keys or ()), values([incoming])) == ([b"a"], [b"4"])

    def test_a_compacted_topic_refuses_a_row_without_a_key(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 1, -1, {"cleanup.policy": "compact"}))
        told: list[Delivered] = []
        producer = clients.producer(transactional=False)
        producer.send(Outgoing(clients.topic, [b"v"]), told.append)
        producer.flush(SECONDS)
        assert isinstance(told[0].failures[0], BrokerError)

    def test_group_offsets_are_altered_deleted_and_forgotten(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 2))
        admin, one = clients.admin, TopicPartition(clients.topic, 1)
        assert admin.group_offsets("g") == {}
        admin.alter_group_offsets("g", {clients.first: 5, one: 7})
        assert admin.group_offsets("g") == {clients.first: 5, one: 7}
        admin.delete_group_offsets("g", [clients.first])
        assert admin.group_offsets("g") == {one: 7}
        admin.delete_group("g")
        assert admin.group_offsets("g") == {}
        admin.delete_group("g")

    def test_wrong_group_offsets_change_nothing(self, clients: "Clients") -> None:
        clients.create(NewTopic(clients.topic, 1))
        admin = clients.admin
        with pytest.raises(BrokerError, match="offset -1"):
            admin.alter_group_offsets("g", {clients.first: -1})
        with pytest.raises(UnknownTopicError, match="'nowhere'"):
            admin.alter_group_offsets("g", {clients.first: 1, TopicPartition("nowhere", 0): 1})
        with pytest.raises(UnknownTopicError, match="partition 9"):
            admin.alter_group_offsets("g", {clients.first: 1, TopicPartition(clients.topic, 9): 1})
        assert admin.group_offsets("g") == {}

    def test_the_cluster_id_has_22_characters_and_stays(self, broker: Broker, clients: "Clients") -> None:
        assert len(broker.cluster_id) == 22
        assert clients.admin.cluster_id() == broker.cluster_id


class Clients:
    """Makes clients of one broker, and closes them.

    topic: of this test alone; a question of a closed client that is still on its way may make a topic anew.
    first: its first partition.
    """

    def __init__(self, broker: Broker) -> None:
        self.topic = f"rows-{uuid.uuid4().hex[:8]}"
        self.first = TopicPartition(self.topic, 0)
        self._broker = broker
        self._closing: list[Callable[[], object]] = []
        self.admin = broker.admin(AdminSettings("admin"))
        self._closing.append(self.admin.close)

    def producer(self, report_each: bool = False, create_topics: bool = True, transactional: bool = True) -> Producer:
        transactional_id = "contract" if transactional else None
        settings = ProducerSettings("producer", report_each, create_topics, transactional_id=transactional_id)
        producer = self._broker.producer(settings)
        self._closing.append(lambda: producer.close(SECONDS))
        return producer

    def reader(self, topic: str, partitions: int = 1) -> Consumer:
        """Reads the whole topic, made here if it is missing, without a group."""
        self.admin.create_topics([NewTopic(topic, partitions)])
        consumer = self._broker.consumer(ConsumerSettings("reader"))
        self._closing.append(consumer.close)
        consumer.assign({TopicPartition(topic, partition): "beginning" for partition in range(partitions)})
        return consumer

    def member(self, group: str, reset: Literal["earliest", "latest", "none"] = "earliest") -> Consumer:
        consumer = self._broker.consumer(ConsumerSettings("member", group, reset))
        self._closing.append(consumer.close)
        return consumer

    def create(self, topic: NewTopic) -> None:
        error = self.admin.create_topics([topic])[topic.name]
        if error is not None:
            raise error

    def close(self) -> None:
        for close in reversed(self._closing):
            close()
