"""A connector that talks to others than its worker does: what is wrong with that is in its status, and in time."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from running import WorkerProcess, until

from services.kafka import Kafka
from services.ports import HOST, free
from services.standalone import SINK, SOURCE, fails, lines, named, text_of, trusted, worker_on

pytestmark = pytest.mark.timeout(180)  # its own deadlines are those of a busy machine
WAIT_S = 40.0
SAID_S = 4.0
#: what may be added to the time of a setting by a machine that is busy: with it, it is far below the default of 60 s
MARGIN_S = 20.0
LIMITS = {"producer": "max.block.ms", "consumer": "default.api.timeout.ms"}


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


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_an_address_at_which_nobody_listens(worker: WorkerProcess, client: str) -> None:
    address = f"{HOST}:{free(1)[0]}"
    trace = fails_in_time(worker, client, {"bootstrap.servers": address})
    assert f"{client}.override.bootstrap.servers {address} did not answer" in trace
    assert "Connection refused" in trace
    assert f"Check {client}.override.bootstrap.servers and {client}.security.protocol" in trace
    healthy = worker.properties["bootstrap.servers"]
    assert f"{healthy} cannot be reached" not in worker.log


def test_an_address_at_which_nobody_listens_of_a_source_that_has_nothing_to_write(worker: WorkerProcess) -> None:
    empty = worker.folder / "empty.txt"
    empty.touch()
    fails_in_time(worker, "producer", {"bootstrap.servers": f"{HOST}:{free(1)[0]}"}, file=str(empty))


@pytest.mark.parametrize("client", ["producer", "consumer"])
@pytest.mark.parametrize(("listener", "protocol"), [("SSL", None), ("PLAINTEXT", "SSL")])
def test_a_listener_of_another_protocol(
    kafka: Kafka, worker: WorkerProcess, client: str, listener: str, protocol: str | None
) -> None:
    settings = {"bootstrap.servers": kafka.address(listener)} if protocol is None else {"security.protocol": protocol}
    trace = fails_in_time(worker, client, settings)
    named = f"{client}.override.bootstrap.servers" if protocol is None else "bootstrap.servers"
    assert f"{named} {kafka.address(listener)} did not answer" in trace
    assert "security.protocol" in trace


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_a_name_without_an_address_at_once(worker: WorkerProcess, client: str) -> None:
    name = create(worker, client, {"bootstrap.servers": "nowhere.invalid:9092"})
    setting = f"{client}.override.bootstrap.servers"
    assert f"No resolvable bootstrap urls given in {setting}: nowhere.invalid:9092" in fails(worker, name, MARGIN_S)


def test_the_address_of_what_makes_topics(worker: WorkerProcess) -> None:
    creation = {"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1"}
    address = f"{HOST}:{free(1)[0]}"
    own = {"admin.override.bootstrap.servers": address, "admin.override.default.api.timeout.ms": "4000"}
    began = time.monotonic()
    trace = fails(worker, create(worker, "producer", {}, **creation, **own), SAID_S + MARGIN_S)
    assert time.monotonic() - began >= SAID_S
    assert f"admin.override.bootstrap.servers {address} did not answer within 4 s" in trace
    assert "(admin.override.default.api.timeout.ms)" in trace


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_another_listener_that_answers_is_written_to_and_read_from_for_longer_than_that(
    kafka: Kafka, worker: WorkerProcess, client: str
) -> None:
    topic = named("elsewhere")
    copy = worker.folder / f"{topic}.copy.txt"
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    secured = {**trusted(kafka, "SASL_SSL", "SCRAM-SHA-512"), LIMITS[client]: "1000"}
    source = create(worker, "producer", secured if client == "producer" else {}, topic)
    create(worker, "consumer", secured if client == "consumer" else {}, topic, file=str(copy))
    until(lambda: text_of(copy) == lines(0, 3), "the copy", WAIT_S)
    with (worker.folder / f"{source}.txt").open("a") as file:
        file.write(lines(3, 1))
    until(lambda: text_of(copy) == lines(0, 4), "another line", WAIT_S)


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_a_broker_that_goes_away_after_its_first_answer_is_waited_for(
    kafka: Kafka, worker: WorkerProcess, client: str
) -> None:
    topic = named("elsewhere")
    copy = worker.folder / f"{topic}.copy.txt"
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    away = {"bootstrap.servers": kafka.address("PROXIED"), LIMITS[client]: "1000"}
    source = create(worker, "producer", away if client == "producer" else {}, topic)
    create(worker, "consumer", away if client == "consumer" else {}, topic, file=str(copy))
    until(lambda: text_of(copy) == lines(0, 3), "the copy", WAIT_S)
    kafka.proxy.refuse()
    try:
        with (worker.folder / f"{source}.txt").open("a") as file:
            file.write(lines(3, 1))
        sentence = f"{client}.override.bootstrap.servers {kafka.address('PROXIED')} cannot be reached"
        until(lambda: sentence in worker.log, "the outage to be said", WAIT_S)
    finally:
        kafka.proxy.heal()
    until(lambda: text_of(copy) == lines(0, 4), "the line of the outage", 2 * WAIT_S)


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_a_certificate_for_another_name_is_told_as_that(kafka: Kafka, worker: WorkerProcess, client: str) -> None:
    port = kafka.address("SSL").rpartition(":")[2]
    settings = {**trusted(kafka, "SSL"), "bootstrap.servers": f"127.1:{port}"}
    trace = fails(worker, create(worker, client, settings), MARGIN_S)
    own = f"{client}.override."
    assert f"TLS with {own}bootstrap.servers 127.1:{port} failed: its certificate is not for 127.1, but for" in trace
    assert "but for 127.0.0.1, localhost;" in trace
    assert f"{own}ssl.endpoint.identification.algorithm=" in trace
    assert "ssl.truststore" not in trace


def test_a_name_that_is_not_to_be_checked_is_not(kafka: Kafka, worker: WorkerProcess) -> None:
    port = kafka.address("SSL").rpartition(":")[2]
    settings = {**trusted(kafka, "SSL"), "bootstrap.servers": f"127.1:{port}"}
    source = create(worker, "producer", {**settings, "ssl.endpoint.identification.algorithm": ""})
    until(lambda: worker.offsets(source), "the lines to be written", WAIT_S)


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_a_certificate_of_another_ca(kafka: Kafka, worker: WorkerProcess, client: str) -> None:
    settings = {**trusted(kafka, "SSL"), "ssl.truststore.location": str(kafka.keys.other_ca)}
    trace = fails(worker, create(worker, client, settings), MARGIN_S)
    own = f"{client}.override."
    assert f"TLS with {own}bootstrap.servers {kafka.address('SSL')} failed" in trace
    assert f"check {own}ssl.truststore.location (or {own}ssl.truststore.certificates): it must hold the CA" in trace
