"""A client whose last broker told of none is given its brokers again."""

import _ctypes
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from running import until

from millstream.broker.connect import open_broker
from millstream.broker.kafka.admin import KafkaAdmin
from millstream.broker.kafka.client import forgotten
from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.forgotten import Reminder, introduce
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.client.renewable import Renewable
from millstream.broker.kafka.reading import questions
from millstream.broker.kafka.writing import topics
from millstream.broker.kafka.writing.clients import Line, Terms
from millstream.broker.kafka.writing.topics import Topics, Waiting
from millstream.broker.ports import ConsumerSettings, ProducerSettings
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock, SystemClock
from millstream_api.records import TopicPartition

LEADER_NOT_AVAILABLE = 5
NOBODY = "127.0.0.1:1"
TOPIC = b"t" * 200  # librdkafka makes room by the length of an answer, and for a short one not enough


class Alone(ThreadingTCPServer):
    """A broker of Kafka 0.9 that answers every question with metadata: itself and a topic without a leader."""

    daemon_threads = True
    leaving = False  # then it does not tell of itself
    told = 0  # answers that tell of no broker

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def metadata(self, leaving: bool) -> bytes:
        host = b"127.0.0.1"
        mine = struct.pack(">iih", 1, 1, len(host)) + host + struct.pack(">i", self.server_address[1])
        brokers = struct.pack(">i", 0) if leaving else mine
        return brokers + struct.pack(">ihh", 1, LEADER_NOT_AVAILABLE, len(TOPIC)) + TOPIC + struct.pack(">i", 0)


class Talk(StreamRequestHandler):
    server: Alone

    def handle(self) -> None:
        while len(head := self.rfile.read(4)) == 4:
            request = self.rfile.read(struct.unpack(">i", head)[0])
            leaving = self.server.leaving
            answer = request[4:8] + self.server.metadata(leaving)  # the correlation id
            self.wfile.write(struct.pack(">i", len(answer)) + answer)
            self.server.told += leaving


@contextmanager
def serving() -> Iterator[Alone]:
    with Alone(("127.0.0.1", 0), Talk) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def knows(client: Any) -> bool:
    try:
        return bool(client.list_topics(timeout=0.5).brokers)
    except KafkaException:
        return False


def forgets(client: Any, server: Alone) -> bool:
    """Tell that there is no broker. It may go on to ask on a connection of bootstrap's: then all is as before."""
    server.leaving, server.told = True, 0
    until(lambda: not knows(client) and server.told, "that to be heard")
    server.leaving = False
    return not any(knows(client) for _ in range(3))


def forgetful(kind: Any, server: Alone) -> Any:
    """A client that its only broker has told that there is none."""
    old = {"api.version.request": False, "broker.version.fallback": "0.9.0", "log_level": 0}
    client = kind({"bootstrap.servers": server.address, "group.id": "g", **old})
    until(lambda: knows(client), "the broker to be known")
    until(lambda: forgets(client, server), "the broker to be forgotten; if librdkafka does not any more, this can go")
    return client


@pytest.mark.parametrize("kind", [Producer, Consumer, AdminClient])
def test_brokers_that_a_client_has_forgotten_are_known_again_once_they_are_introduced(kind: Any) -> None:
    with serving() as server:
        client = forgetful(kind, server)
        introduce(client, server.address)
        until(lambda: knows(client), "the broker to be known again")
        if kind is Consumer:
            client.close()
            introduce(client, server.address)  # nothing to do


def test_brokers_are_introduced_to_the_consumer_that_stands_in_for_another() -> None:
    with serving() as server:
        client = Renewable(lambda: forgetful(Consumer, server))
        introduce(client, server.address)
        until(lambda: knows(client.inner), "the broker to be known again")
        client.close()


def test_where_the_binding_does_not_show_librdkafka_nothing_is_introduced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgotten.cimpl, "__file__", _ctypes.__file__)  # a library without it
    forgotten._brokers_add.cache_clear()
    introduce(Producer({"bootstrap.servers": NOBODY, "log_level": 0}), NOBODY)
    assert forgotten._brokers_add(_ctypes.__file__) is None
    forgotten._brokers_add.cache_clear()


def test_an_admin_that_no_broker_answers_introduces_them_for_the_next_question() -> None:
    with serving() as server:
        client = forgetful(AdminClient, server)
        admin = KafkaAdmin(client, Watch("c", server.address), 0.5, SystemClock())

        def answered() -> bool:
            try:
                return admin.names() == frozenset()
            except BrokerError:
                return False

        until(answered, "an answer")


def test_a_question_of_a_consumer_that_no_broker_answers_introduces_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, str]] = []
    monkeypatch.setattr(questions, "introduce", lambda client, servers: told.append((client, servers)))
    broker = open_broker(NOBODY, {})
    consumer = broker.consumer(ConsumerSettings("c", "g", overrides={"default.api.timeout.ms": "100"}))
    with pytest.raises(BrokerError):
        consumer.end_offsets([TopicPartition("t", 0)])
    consumer.close()
    broker.close()
    assert [(isinstance(client.inner, Consumer), servers) for client, servers in told] == [(True, NOBODY)]


@pytest.fixture
def introduced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    """Whom brokers were introduced to; who waits is reminded each time."""
    told: list[tuple[Any, str]] = []
    for seconds in ("SECONDS", "AWAY_SECONDS"):
        monkeypatch.setattr(forgotten, seconds, 0.0)
    monkeypatch.setattr(forgotten, "introduce", lambda client, servers: told.append((client, servers)))
    return told


def test_a_consumer_that_gets_nothing_introduces_them(introduced: list[tuple[Any, str]]) -> None:
    broker = open_broker(NOBODY, {})
    consumer = broker.consumer(ConsumerSettings("c"))
    consumer.poll(1, 0.0)
    consumer.close()
    broker.close()
    assert [(isinstance(client.inner, Consumer), servers) for client, servers in introduced] == [(True, NOBODY)]


def test_a_producer_whose_rows_are_out_introduces_them(introduced: list[tuple[Any, str]]) -> None:
    making, watch = Making(NOBODY, {}), Watch("p", NOBODY)
    settings = ProducerSettings("p")
    line = Line(making, settings, Terms.of(making, settings), watch)
    line.client.produce("lines", b"x")
    line.serve(0.0)
    assert introduced[-1] == (line.client, NOBODY)
    line.client.purge()


def test_a_producer_that_looks_for_a_topic_in_vain_introduces_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        client = forgetful(Producer, server)
        monkeypatch.setattr(topics, "LOOK_SECONDS", 0.5)
        waiting = Waiting(60.0, 60.0, "")
        found = Topics(Watch("p", server.address), SystemClock(), lambda topic: None, waiting)

        def answered() -> bool:
            try:
                return found.find(client, TOPIC.decode(), create=False) is not None
            except BrokerError as error:
                return "has no leader yet" in str(error)

        until(answered, "an answer")


def test_who_waits_is_reminded_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = ManualClock(), []
    monkeypatch.setattr(forgotten, "introduce", lambda client, servers: told.append((client, servers)))
    reminder = Reminder(Watch("c", "a:1", clock), clock)
    for seconds in (29.0, 1.5, 1.0, 29.0):
        clock.advance(seconds)
        reminder.waiting("c")
    assert told == [("c", "a:1")] * 2
    clock.advance(29.0)
    reminder.answered()
    clock.advance(29.0)
    reminder.waiting("c")
    assert len(told) == 2


def test_who_has_seen_brokers_go_is_reminded_sooner_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = ManualClock(), []
    monkeypatch.setattr(forgotten, "introduce", lambda client, servers: told.append(clock.monotonic()))
    watch = Watch("c", "a:1", clock)
    reminder = Reminder(watch, clock)
    watch.heard(KafkaError(KafkaError._TRANSPORT, "a:1/1: Disconnected"))
    began = clock.monotonic()
    for _ in range(100):
        clock.advance(1.0)
        reminder.waiting("c")
    assert [at - began for at in told] == [*range(5, 60, 5), 85]
