"""What is wrong on Kafka is said at start or in the status, with the setting and the remedy, and in time."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, NewTopic, ResourceType
from running import WorkerProcess, until

from services import rights
from services.abreast import abreast
from services.kafka import Kafka
from services.standalone import SINK, SOURCE, copies, fails, lines, named, text_of, trusted, worker_on

WAIT_S = 60.0
#: what may be added to the time of a setting by a machine that is busy: with it, it is below the default of 60 s
MARGIN_S = 45.0


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """On the plain listener, started; for all of these tests."""
    worker = worker_on(kafka.java_client(), tmp_path_factory.mktemp("conditions")).start()
    yield worker
    worker.stop()


def ends(worker: WorkerProcess, within: float = MARGIN_S) -> str:
    """What a worker that cannot start says; it ends by itself."""
    assert worker.launch().wait(within) == 2, worker.log
    return worker.log


def wrong(settings: dict[str, str]) -> dict[str, str]:
    return {name: text.replace("alice-secret", "guessed") for name, text in settings.items()}


def test_a_wrong_password_ends_the_worker_at_once(kafka: Kafka, tmp_path: Path) -> None:
    def case(mechanism: str) -> None:
        said = ends(worker_on(wrong(trusted(kafka, "SASL_PLAINTEXT", mechanism)), tmp_path / mechanism))
        assert f"logging in to bootstrap.servers {kafka.address('SASL_PLAINTEXT')} failed" in said
        assert "check admin.sasl.jaas.config and admin.sasl.mechanism" in said
        assert "guessed" not in said

    abreast(case, "PLAIN", "SCRAM-SHA-512")


def test_a_certificate_of_another_ca_ends_the_worker_at_once(kafka: Kafka, tmp_path: Path) -> None:
    settings = {**trusted(kafka, "SSL"), "ssl.truststore.location": str(kafka.keys.other_ca)}
    said = ends(worker_on(settings, tmp_path / "w"))
    assert f"TLS with bootstrap.servers {kafka.address('SSL')} failed" in said
    assert "check admin.ssl.truststore.location (or ssl.truststore.certificates): it must hold the CA" in said


def test_a_java_trust_store_is_refused_with_the_command_that_converts_it(kafka: Kafka, tmp_path: Path) -> None:
    said = ends(worker_on(kafka.java_client("SSL"), tmp_path / "w"))
    assert "ssl.truststore.location" in said
    assert "keytool -list -rfc -keystore" in said


def test_a_listener_of_another_protocol_is_said_within_the_time_of_the_setting(kafka: Kafka, tmp_path: Path) -> None:
    def case(tried: tuple[str, str]) -> None:
        listener, protocol = tried
        settings = {"bootstrap.servers": kafka.address(listener), "security.protocol": protocol}
        began = time.monotonic()
        said = ends(worker_on(settings, tmp_path / "-".join(tried), default_api_timeout_ms="3000"), 3 + MARGIN_S)
        assert time.monotonic() - began >= 3
        assert "could not be reached within 3 s (default.api.timeout.ms)" in said
        assert "security.protocol" in said or "PLAINTEXT broker listener" in said

    abreast(case, ("SASL_PLAINTEXT", "PLAINTEXT"), ("SSL", "PLAINTEXT"), ("PLAINTEXT", "SSL"))


def test_a_listener_that_requires_a_certificate(strict_kafka: Kafka, tmp_path: Path) -> None:
    said = ends(worker_on(trusted(strict_kafka, "SSL"), tmp_path / "none"))
    assert f"TLS with bootstrap.servers {strict_kafka.address('SSL')} failed" in said
    assert "they trust: check ssl.keystore.location (or ssl.keystore.certificate.chain)" in said
    store = strict_kafka.keys.key_store("client")
    wrong = {"ssl.keystore.location": str(store), "ssl.keystore.password": "guessed"}
    said = ends(worker_on({**trusted(strict_kafka, "SSL"), **wrong}, tmp_path / "wrong"))
    assert "ssl.keystore" in said
    assert "guessed" not in said


def test_a_certificate_without_rights_is_named_by_its_store(kafka: Kafka, worker: WorkerProcess) -> None:
    topic = named("forbidden")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    login = {**trusted(kafka, "SSL"), "ssl.keystore.location": str(kafka.keys.pem_store("stranger"))}
    sink = {"connector.class": SINK, "file": str(worker.folder / "out.txt"), "topics": topic}
    worker.create(topic, **sink, **{f"consumer.override.{key}": text for key, text in login.items()})
    trace = fails(worker, topic)
    assert "not authorized, as the certificate of consumer.override.ssl.keystore.location" in trace


def test_two_workers_on_one_offsets_file(kafka: Kafka, worker: WorkerProcess, tmp_path: Path) -> None:
    assert worker.process is not None
    file = str(worker.folder / "offsets.bin")
    said = ends(worker_on(kafka.java_client(), tmp_path / "w", offset_storage_file_filename=file))
    assert f"is in use by the worker with pid {worker.process.pid}" in said


def test_a_connectors_wrong_password_is_in_its_status(kafka: Kafka, worker: WorkerProcess) -> None:
    login = wrong(trusted(kafka, "SASL_PLAINTEXT"))
    original, source, sink = worker.folder / "refused.txt", named("source"), named("sink")
    original.write_text("line\n")
    reads = {"connector.class": SOURCE, "file": str(original), "topic": named("refused")}
    worker.create(source, **reads, **{f"producer.override.{name}": text for name, text in login.items()})
    writes = {"connector.class": SINK, "file": str(worker.folder / "refused.copy.txt"), "topics": named("refused")}
    worker.create(sink, **writes, **{f"consumer.override.{name}": text for name, text in login.items()})
    for name, own in ((source, "producer.override."), (sink, "consumer.override.")):
        trace = fails(worker, name)
        assert f"logging in to {own}bootstrap.servers {login['bootstrap.servers']} failed" in trace
        assert f"check {own}sasl.jaas.config and {own}sasl.mechanism" in trace
        assert "guessed" not in trace


GRANT = "kafka-acls.sh --add --allow-principal User:eve "


def test_a_sources_missing_rights_are_in_its_status(kafka: Kafka, worker: WorkerProcess) -> None:
    topic = named("forbidden")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    login = trusted(kafka, "SASL_PLAINTEXT", "PLAIN", "eve")
    original = worker.folder / f"{topic}.txt"
    original.write_text("line\n")
    source = {"connector.class": SOURCE, "file": str(original), "topic": topic}
    worker.create(topic, **source, **{f"producer.override.{name}": text for name, text in login.items()})
    trace = fails(worker, topic)
    assert "not authorized, as User:eve (producer.override.sasl.jaas.config)" in trace
    assert f"{GRANT}--operation Write --operation Describe --topic {topic}" in trace


@pytest.mark.parametrize("lacking", ["topic", "group"])
def test_a_sinks_missing_rights_are_in_its_status(kafka: Kafka, worker: WorkerProcess, lacking: str) -> None:
    topic, name = named("forbidden"), named("sink")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    resource, granted = (ResourceType.GROUP, f"connect-{name}") if lacking == "topic" else (ResourceType.TOPIC, topic)
    rights.granted(admin, "eve", resource, granted, [AclOperation.READ])
    login = trusted(kafka, "SASL_PLAINTEXT", "PLAIN", "eve")
    sink = {"connector.class": SINK, "file": str(worker.folder / f"{name}.txt"), "topics": topic}
    worker.create(name, **sink, **{f"consumer.override.{key}": text for key, text in login.items()})
    trace = fails(worker, name)
    assert "not authorized, as User:eve (consumer.override.sasl.jaas.config)" in trace
    if lacking == "topic":
        assert f"{GRANT}--operation Read --operation Describe --topic {topic}" in trace
    else:
        assert f"reading as a member of group 'connect-{name}'" in trace
        assert f"{GRANT}--operation Read --group connect-{name}" in trace


@pytest.mark.parametrize("tolerance", ["none", "all"])
def test_a_line_that_is_too_large_among_small_ones(kafka: Kafka, worker: WorkerProcess, tolerance: str) -> None:
    topic = named("large")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1, config={"max.message.bytes": "2000"})])[topic].result(WAIT_S)
    source, sink = f"{topic}-source", f"{topic}-sink"
    original, copy = worker.folder / f"{topic}.txt", worker.folder / f"{topic}.copy.txt"
    original.write_text(lines(0, 100) + "x" * 5_000 + "\n" + lines(100, 100))
    reads = {"connector.class": SOURCE, "file": str(original), "topic": topic, "errors.tolerance": tolerance}
    worker.create(source, **reads, **{"errors.log.enable": "true"})
    worker.create(sink, **{"connector.class": SINK, "file": str(copy), "topics": topic})
    if tolerance == "all":
        until(lambda: text_of(copy) == lines(0, 200), "all lines but the large one", WAIT_S)
        until(lambda: worker.states(source) == ["RUNNING", "RUNNING"], "its state to be told", WAIT_S)
        size = len(original.read_text())
        until(lambda: [each["offset"] for each in worker.offsets(source)] == [{"position": size}], "the position")
    else:
        trace = fails(worker, source)
        assert (
            f"a record of 5000 bytes for topic '{topic}' is larger than max.message.bytes of the topic, 2000" in trace
        )
        assert "raise max.message.bytes of the topic" in trace
        until(lambda: text_of(copy).startswith(lines(0, 100)), "the lines before it", WAIT_S)
        before = len(lines(0, 100))
        assert [each["offset"] for each in worker.offsets(source)] in ([], [{"position": before}])


def test_a_line_that_is_too_large_alone(kafka: Kafka, worker: WorkerProcess) -> None:
    topic = named("larger")
    original = worker.folder / f"{topic}.txt"
    original.write_text("x" * 1_200_000 + "\n")
    worker.create(topic, **{"connector.class": SOURCE, "file": str(original), "topic": topic})
    assert "a record of 1200000 bytes" in fails(worker, topic)


def test_topics_that_the_brokers_will_not_make(strict_kafka: Kafka, tmp_path: Path) -> None:
    # how long a topic is waited for is tested elsewhere; by default it is 10 s
    worker = worker_on(strict_kafka.java_client(), tmp_path / "w", producer_max_block_ms="2000").start()
    admin = AdminClient(strict_kafka.client())

    def make(topic: str) -> None:
        admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)

    def never_made() -> None:
        topic = named("unmade")
        original, copy = copies(worker, topic)
        original.write_text(lines(0, 3))
        trace = fails(worker, f"{topic}-source")
        assert f"topic '{topic}' does not exist" in trace
        assert "topic.creation.default.partitions" in trace
        until(lambda: f"topic '{topic}' does not exist; it is waited for" in worker.log, "the sink to say it", WAIT_S)
        until(lambda: worker.states(f"{topic}-sink") == ["RUNNING", "RUNNING"], "the sink to run", WAIT_S)
        make(topic)
        assert worker.call("POST", f"/connectors/{topic}-source/tasks/0/restart").status == 204
        until(lambda: text_of(copy) == lines(0, 3), "the copy, once the topic is there", WAIT_S)

    def deleted_under_a_source_that_tolerates_errors() -> None:
        topic = named("lenient")
        original = worker.folder / f"{topic}.txt"
        make(topic)
        original.write_text(lines(0, 3))
        source = {"connector.class": SOURCE, "file": str(original), "topic": topic, "errors.tolerance": "all"}
        worker.create(topic, **source)
        until(lambda: worker.offsets(topic), "the first lines to be written", WAIT_S)
        admin.delete_topics([topic])[topic].result(WAIT_S)
        with original.open("a") as file:
            file.write(lines(3, 3))
        assert topic in fails(worker, topic, 2 * WAIT_S)  # and no line is left out for it
        make(topic)
        assert worker.call("POST", f"/connectors/{topic}/tasks/0/restart").status == 204
        until(lambda: worker.consume(topic)[-3:] == lines(3, 3).splitlines(), "the other lines", WAIT_S, 0.5)

    try:
        abreast(lambda case: case(), never_made, deleted_under_a_source_that_tolerates_errors)
    finally:
        worker.stop()


def test_a_broker_that_is_away_is_waited_for_and_named_and_all_goes_on_when_it_is_back(
    own_kafka: Callable[..., Kafka], tmp_path: Path
) -> None:
    kafka = own_kafka()
    patient = {"admin_default_api_timeout_ms": "85000"}  # a broker may take its time to start; REST waits for 90 s
    worker = worker_on(kafka.java_client(), tmp_path / "w", producer_buffer_memory="20000", **patient).start()
    try:
        topic = named("away")
        original, copy = copies(worker, topic)
        original.write_text(lines(0, 100))
        until(lambda: text_of(copy) == lines(0, 100), "the first lines", WAIT_S)
        kafka.instance.kill()
        with original.open("a") as file:
            file.write(lines(100, 20_000))
        until(lambda: "Nothing is skipped; the task tries again until it succeeds" in worker.log, "an ERROR", WAIT_S)
        assert worker.states(f"{topic}-source") == ["RUNNING", "RUNNING"]
        assert "cannot be reached" in worker.log
        with ThreadPoolExecutor(1) as aside:
            asked = aside.submit(worker.call, "GET", f"/connectors/{topic}-sink/offsets")  # that needs the broker
            worker.call("PUT", f"/connectors/{topic}-sink/config", {"connector.class": "nonsense"})
            assert not asked.done()  # what needs none is done meanwhile
            kafka.restart()
            assert asked.result().status == 200
        wanted = lines(0, 20_100).splitlines()
        until(lambda: set(text_of(copy).splitlines()) == set(wanted), "every line", 3 * WAIT_S, 0.2)
        assert list(dict.fromkeys(text_of(copy).splitlines())) == wanted
    finally:
        worker.stop()


def test_a_topic_deleted_under_a_sink_and_made_again_is_read_again(kafka: Kafka, worker: WorkerProcess) -> None:
    topic = named("gone")
    original, copy = copies(worker, topic)
    original.write_text(lines(0, 3))
    until(lambda: text_of(copy) == lines(0, 3), "the first lines", WAIT_S)
    worker.call("PUT", f"/connectors/{topic}-source/stop")
    admin = AdminClient(kafka.client())
    former = id_of(admin, topic)
    admin.delete_topics([topic])[topic].result(WAIT_S)
    # the sink may have another one made at once
    until(lambda: id_of(admin, topic) != former, "the topic to go", WAIT_S)
    producer = Producer(kafka.client())
    producer.produce(topic, b"again")
    assert producer.flush(WAIT_S) == 0
    until(lambda: text_of(copy).endswith("again\n"), "the row in the new topic", WAIT_S)


def id_of(admin: AdminClient, topic: str) -> str:
    """Of the topic that has this name now, "" when there is none."""
    try:
        return str(admin.describe_topics(TopicCollection([topic]))[topic].result(WAIT_S).topic_id)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise
        return ""
