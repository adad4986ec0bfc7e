"""A connector that talks to others than its worker does: what is wrong with that is in its status, and in time."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from running import WorkerProcess, until

from services.abreast import abreast
from services.kafka import Kafka
from services.ports import HOST, free
from services.proxy import Proxy
from services.standalone import SINK, SOURCE, fails, lines, named, text_of, trusted, worker_on

WAIT_S = 60.0
SAID_S = 4.0
#: what may be added to the time of a setting by a machine that is busy: with it, it is below the default of 60 s
MARGIN_S = 45.0
LIMITS = {"producer": "max.block.ms", "consumer": "default.api.timeout.ms"}
CLIENTS = ("producer", "consumer")
#: for brokers that do answer: what a busy machine needs for the first one
ANSWER_S = 5.0


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """On the plain listener, started; for all of these tests."""
    worker = worker_on(kafka.java_client(), tmp_path_factory.mktemp("addresses")).start()
    yield worker
    worker.stop()


def create(worker: WorkerProcess, client: str, settings: dict[str, str], topic: str = "", **more: str) -> str:
    """A source or a sink, with settings of its own for its client; gives its name."""
    name, topic = named(client), topic or named("elsewhere")
    (worker.folder / f"{name}.txt").write_text(lines(0, 3))
    base = {"connector.class": SOURCE, "topic": topic}
    if client == "consumer":
        base = {"connector.class": SINK, "topics": topic}
    overrides = {f"{client}.override.{key}": text for key, text in settings.items()}
    worker.create(name, **{**base, "file": str(worker.folder / f"{name}.txt"), **overrides, **more})
    return name


def fails_in_time(worker: WorkerProcess, client: str, settings: dict[str, str], **more: str) -> str:
    """Not before the time of the setting, and not much later."""
    began = time.monotonic()
    name = create(worker, client, {LIMITS[client]: str(int(SAID_S * 1000)), **settings}, **more)
    trace = fails(worker, name, SAID_S + MARGIN_S)
    assert time.monotonic() - began >= SAID_S
    assert f"did not answer within {SAID_S:g} s ({client}.override.{LIMITS[client]})" in trace
    return trace


def test_an_address_at_which_nobody_listens(worker: WorkerProcess) -> None:
    def of(client: str) -> None:
        address = f"{HOST}:{free(1)[0]}"
        trace = fails_in_time(worker, client, {"bootstrap.servers": address})
        assert f"{client}.override.bootstrap.servers {address} did not answer" in trace
        assert "Connection refused" in trace
        assert f"Check {client}.override.bootstrap.servers and {client}.security.protocol" in trace

    def of_a_source_that_has_nothing_to_write(client: str) -> None:
        empty = worker.folder / "empty.txt"
        empty.touch()
        fails_in_time(worker, client, {"bootstrap.servers": f"{HOST}:{free(1)[0]}"}, file=str(empty))

    def of_what_makes_topics(client: str) -> None:
        creation = {"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1"}
        address = f"{HOST}:{free(1)[0]}"
        own = {"admin.override.bootstrap.servers": address, "admin.override.default.api.timeout.ms": "4000"}
        began = time.monotonic()
        trace = fails(worker, create(worker, client, {}, **creation, **own), SAID_S + MARGIN_S)
        assert time.monotonic() - began >= SAID_S
        assert f"admin.override.bootstrap.servers {address} did not answer within 4 s" in trace
        assert "(admin.override.default.api.timeout.ms)" in trace

    sources = (of, of_a_source_that_has_nothing_to_write, of_what_makes_topics)
    abreast(lambda tried: tried[0](tried[1]), *((each, "producer") for each in sources), (of, "consumer"))
    healthy = worker.properties["bootstrap.servers"]
    assert f"{healthy} cannot be reached" not in worker.log


def test_a_listener_of_another_protocol(kafka: Kafka, worker: WorkerProcess) -> None:
    def case(tried: tuple[str, str, str | None]) -> None:
        client, listener, protocol = tried
        address = kafka.address(listener)
        settings = {"bootstrap.servers": address} if protocol is None else {"security.protocol": protocol}
        trace = fails_in_time(worker, client, settings)
        named = f"{client}.override.bootstrap.servers" if protocol is None else "bootstrap.servers"
        assert f"{named} {address} did not answer" in trace
        assert "security.protocol" in trace

    abreast(case, *((client, *other) for client in CLIENTS for other in (("SSL", None), ("PLAINTEXT", "SSL"))))


def test_a_name_without_an_address_at_once(worker: WorkerProcess) -> None:
    def case(client: str) -> None:
        name = create(worker, client, {"bootstrap.servers": "nowhere.invalid:9092"})
        setting = f"{client}.override.bootstrap.servers"
        assert f"No resolvable bootstrap urls given in {setting}: nowhere.invalid:9092" in fails(worker, name, MARGIN_S)

    abreast(case, *CLIENTS)


def test_another_listener_that_answers_is_written_to_and_read_from_for_longer_than_that(
    kafka: Kafka, worker: WorkerProcess
) -> None:
    def case(client: str) -> None:
        secured = {**trusted(kafka, "SASL_SSL", "SCRAM-SHA-512"), LIMITS[client]: str(int(ANSWER_S * 1000))}
        original, copy = through(kafka, worker, {client: secured})
        began = time.monotonic()
        until(lambda: text_of(copy) == lines(0, 3), "the copy", WAIT_S)
        until(lambda: time.monotonic() > began + ANSWER_S, "the time of the setting to be over")
        with original.open("a") as file:
            file.write(lines(3, 1))
        until(lambda: text_of(copy) == lines(0, 4), "another line", WAIT_S)

    abreast(case, *CLIENTS)


def test_a_broker_that_goes_away_after_its_first_answer_is_waited_for(
    kafka: Kafka, kafka_proxy: Proxy, worker: WorkerProcess
) -> None:
    away, said = {"bootstrap.servers": kafka.address("PROXIED")}, str(int(ANSWER_S * 1000))
    made = {client: through(kafka, worker, {client: {**away, LIMITS[client]: said}}) for client in CLIENTS}
    for _, copy in made.values():
        until(lambda copy=copy: text_of(copy) == lines(0, 3), "the copy", WAIT_S)  # type: ignore[misc]
    kafka_proxy.refuse()
    began = time.monotonic()
    for original, _ in made.values():
        with original.open("a") as file:
            file.write(lines(3, 1))
    for client in CLIENTS:
        sentence = f"{client}.override.bootstrap.servers {away['bootstrap.servers']} cannot be reached"
        until(lambda sentence=sentence: sentence in worker.log, "the outage to be said", WAIT_S)  # type: ignore[misc]
    until(lambda: time.monotonic() > began + ANSWER_S + 1.0, "the time of the setting to be over")
    kafka_proxy.heal()
    for _, copy in made.values():
        until(lambda copy=copy: text_of(copy) == lines(0, 4), "the line of the outage", 2 * WAIT_S)  # type: ignore[misc]


def test_brokers_that_answer_and_give_addresses_that_cannot_be_reached(
    kafka: Kafka, kafka_proxy: Proxy, worker: WorkerProcess, tmp_path: Path
) -> None:
    """As in front of a container whose port is mapped: the listener itself is reached, what it advertises is not."""
    direct, given = f"{HOST}:{kafka.ports['PROXIED']}", kafka.address("PROXIED")

    def of(client: str) -> None:
        limit = {LIMITS[client]: str(int(SAID_S * 1000))}
        trace = fails(worker, create(worker, client, {"bootstrap.servers": direct, **limit}), SAID_S + MARGIN_S)
        assert f"{client}.override.bootstrap.servers {direct}" in trace
        assert f"within {SAID_S:g} s ({client}.override.{LIMITS[client]})" in trace
        assert given in trace
        assert "set advertised.listeners of the brokers" in trace

    def of_the_worker(_: str) -> None:
        other = worker_on({"bootstrap.servers": direct}, tmp_path / "w", default_api_timeout_ms="4000")
        assert other.launch().wait(SAID_S + MARGIN_S) == 2, other.log
        assert f"bootstrap.servers {direct} could not be reached within 4 s (default.api.timeout.ms)" in other.log
        assert given in other.log
        assert "set advertised.listeners of the brokers" in other.log

    kafka_proxy.refuse()
    try:
        abreast(lambda tried: tried[0](tried[1]), *((of, client) for client in CLIENTS), (of_the_worker, ""))
    finally:
        kafka_proxy.heal()


def through(kafka: Kafka, worker: WorkerProcess, settings: dict[str, dict[str, str]]) -> tuple[Path, Path]:
    """A source with three lines and a sink over a topic; gives the file read and the file written.

    settings: of the clients "producer" and "consumer"."""
    topic = named("elsewhere")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    copy = worker.folder / f"{topic}.copy.txt"
    source = create(worker, "producer", settings.get("producer", {}), topic)
    create(worker, "consumer", settings.get("consumer", {}), topic, file=str(copy))
    return worker.folder / f"{source}.txt", copy


def test_a_certificate_for_another_name_is_told_as_that(kafka: Kafka, worker: WorkerProcess) -> None:
    port = kafka.address("SSL").rpartition(":")[2]
    settings = {**trusted(kafka, "SSL"), "bootstrap.servers": f"127.1:{port}"}

    def case(client: str) -> None:
        trace = fails(worker, create(worker, client, settings), MARGIN_S)
        own = f"{client}.override."
        assert f"TLS with {own}bootstrap.servers 127.1:{port} failed: its certificate is not for 127.1, but" in trace
        assert "but for 127.0.0.1, localhost;" in trace
        assert f"{own}ssl.endpoint.identification.algorithm=" in trace
        assert "ssl.truststore" not in trace

    abreast(case, *CLIENTS)


def test_a_name_that_is_not_to_be_checked_is_not(kafka: Kafka, worker: WorkerProcess) -> None:
    port = kafka.address("SSL").rpartition(":")[2]
    settings = {**trusted(kafka, "SSL"), "bootstrap.servers": f"127.1:{port}"}
    source = create(worker, "producer", {**settings, "ssl.endpoint.identification.algorithm": ""})
    until(lambda: worker.offsets(source), "the lines to be written", WAIT_S)


def test_a_certificate_of_another_ca(kafka: Kafka, worker: WorkerProcess) -> None:
    settings = {**trusted(kafka, "SSL"), "ssl.truststore.location": str(kafka.keys.other_ca)}

    def case(client: str) -> None:
        trace = fails(worker, create(worker, client, settings), MARGIN_S)
        own = f"{client}.override."
        assert f"TLS with {own}bootstrap.servers {kafka.address('SSL')} failed" in trace
        assert f"check {own}ssl.truststore.location (or {own}ssl.truststore.certificates): it must hold the CA" in trace

    abreast(case, *CLIENTS)
