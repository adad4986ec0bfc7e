"""Brokers that answer, and give out addresses: one has to be reached, or it is said that none is, and what to do."""

import socket
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from millstream.broker.kafka.broker import KafkaBroker
from millstream.broker.kafka.client import advertised
from millstream.broker.kafka.client.advertised import REMEDY, remark, unreached
from millstream.broker.kafka.client.contact import Patience, await_contact
from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.writing.topics import Topics, Waiting
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock, StopToken

SERVERS = "127.0.0.1:1"


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of this machine at which nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def given(*ports: int, host: str = "127.0.0.1", topics: Sequence[str] = ()) -> Any:
    brokers = {number: SimpleNamespace(host=host, port=port) for number, port in enumerate(ports)}
    known = {name: SimpleNamespace(error=None, partitions={0: None}) for name in topics}
    return SimpleNamespace(brokers=brokers, cluster_id="cluster", topics=known)


class Answering:
    """An admin client whose brokers answer at once; each answer is a second later."""

    def __init__(self, clock: ManualClock, found: Callable[[int], Any]) -> None:
        self.clock = clock
        self.found = found
        self.asked = 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        self.clock.advance(1.0)
        self.asked += 1
        return self.found(self.asked)


@pytest.fixture(autouse=True)
def without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.broker.kafka.broker.AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("millstream.broker.kafka.client.contact.AGAIN_SECONDS", 0.0)


def test_one_address_that_takes_a_connection_is_enough(listening: int, silent: int) -> None:
    assert unreached(given(silent, listening).brokers, SERVERS, 5.0) == ""


def test_an_address_that_has_answered_is_not_tried(silent: int) -> None:
    for server in (f"127.0.0.1:{silent}", f"other:1, PLAINTEXT://127.0.0.1:{silent}"):
        assert unreached(given(silent).brokers, server, 5.0) == ""
    assert unreached(given().brokers, SERVERS, 5.0) == ""


class Far:
    """Connections to a host far away: each takes so long, or as long as it may."""

    def __init__(self, takes: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.takes = takes
        monkeypatch.setattr(socket, "create_connection", self.connect)
        monkeypatch.setattr(advertised, "monotonic", lambda: self.now)

    def connect(self, address: tuple[str, int], timeout: float) -> Any:
        self.now += min(self.takes, timeout)
        if timeout < self.takes:
            raise TimeoutError("timed out")
        return self

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_many_brokers_far_away_are_reached_and_those_that_take_nothing_do_not_take_longer_than_they_may(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = given(*range(1, 61), host="far").brokers
    far = Far(0.6, monkeypatch)
    assert unreached(many, SERVERS, seconds) == ""
    assert far.now == 0.6
    lost = Far(60.0, monkeypatch)
    assert "(timed out)" in unreached(many, SERVERS, seconds)
    assert lost.now <= seconds


def test_addresses_that_nobody_reaches_are_told_each_with_its_reason(silent: int) -> None:
    said = unreached(given(silent).brokers, SERVERS, 5.0)
    assert f"127.0.0.1:{silent} (Connection refused); set advertised.listeners of the brokers" in said
    assert "kafka.invalid:9092 (" in unreached(given(9092, host="kafka.invalid").brokers, SERVERS, 5.0)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("kafka:9092/1: Failed to resolve 'kafka:9092': Name or service not known", "kafka:9092"),
        ("sasl_ssl://[::1]:9092/12: Connect to ipv6#[::1]:9092 failed: Connection refused", "[::1]:9092"),
        ("kafka:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused", ""),
        ("named:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused", ""),
        ("no broker at all", ""),
    ],
)
def test_an_address_that_a_broker_gave_out_is_told_as_that(said: str, address: str) -> None:
    more = f". {address} is the address that this broker gives out; if it is a wrong one, {REMEDY}" if address else ""
    assert remark(said, "first:9092, SASL_SSL://named:9092") == said + more
    watch = Watch("c", "first:9092,named:9092")
    watch.heard(KafkaError(KafkaError._TRANSPORT, said))
    assert watch.problem == said + more


def test_a_topic_that_is_told_of_is_no_sign_that_its_brokers_can_be_reached(silent: int, listening: int) -> None:
    watch = Watch("c", SERVERS)
    topics = Topics(watch, ManualClock(), lambda name: None, Waiting(300.0, 10.0))
    for port, met in ((silent, False), (listening, True), (silent, True)):
        client: Any = SimpleNamespace(list_topics=lambda name, timeout, port=port: given(port, topics=("t",)))
        assert topics._count(client, "t") == 1
        assert watch.met is met


def test_a_connector_s_own_brokers_are_given_up_in_time_for_the_addresses_that_they_give(silent: int) -> None:
    clock, watch = ManualClock(), Watch("c", SERVERS)
    probe: Any = Answering(clock, lambda _: given(silent))
    await_contact(probe, watch, Patience(2.5, "producer.override.max.block.ms"), clock, StopToken())
    assert not watch.met
    with pytest.raises(BrokerError) as caught:
        watch.check()
    within = "could not be reached within 2.5 s (producer.override.max.block.ms): it answers"
    assert f"brokers of bootstrap.servers {SERVERS} {within}" in str(caught.value)
    assert "advertised.listeners" in str(caught.value)
    assert str(caught.value).endswith("; then restart the task")
    assert 2.5 <= clock.monotonic() < 5.0


def test_an_address_that_is_reached_later_is_waited_for(listening: int, silent: int) -> None:
    clock, watch = ManualClock(), Watch("c", SERVERS)
    probe: Any = Answering(clock, lambda asked: given(listening if asked == 3 else silent))
    await_contact(probe, watch, Patience(60.0, "x"), clock, StopToken())
    assert watch.met
    assert probe.asked == 3


def test_a_worker_says_what_addresses_it_does_not_reach_while_it_tries_and_in_the_end(
    silent: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(Making, "admin", lambda making, java, watch: Answering(clock, lambda _: given(silent)))
    kafka = KafkaBroker(SERVERS, {"default.api.timeout.ms": "9000"})
    kafka._clock = clock  # type: ignore[assignment]  # asking moves it
    with pytest.raises(BrokerError) as caught:
        kafka.check()
    said = (
        f"it answers, and gives addresses of its brokers at which they cannot be reached from here: 127.0.0.1:{silent}"
    )
    assert f"could not be reached within 9 s (default.api.timeout.ms): {said}" in str(caught.value)
    warned = [record.getMessage() for record in caplog.records]
    assert warned[0].startswith(f"brokers of bootstrap.servers {SERVERS} cannot be reached yet: {said}")


def test_a_worker_whose_brokers_are_reached_in_the_end_starts(
    listening: int, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    answering = Answering(clock, lambda asked: given(listening if asked == 2 else silent))
    monkeypatch.setattr(Making, "admin", lambda making, java, watch: answering)
    kafka = KafkaBroker(SERVERS, {})
    kafka._clock = clock  # type: ignore[assignment]  # asking moves it
    assert kafka.cluster_id == "cluster"
    assert answering.asked == 2


def test_a_connection_that_is_cut_before_any_answer_may_be_of_another_protocol():
    watch = Watch("c", "127.0.0.1:1")
    watch.heard(KafkaError(KafkaError._TRANSPORT, "127.0.0.1:1/bootstrap: Send failed: Broken pipe"))
    assert watch.problem.endswith("Broken pipe; security.protocol may be another than that of the brokers' listener")
    watch.met = True
    assert watch.problem.endswith("Broken pipe")
