"""What is wrong on Kafka is said at start or in the status, with the setting and the remedy, and in time."""

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from running import WorkerProcess, until

from services.kafka import Kafka
from services.standalone import SINK, SOURCE, copies, fails, lines, named, text_of, trusted, worker_on

WAIT_S = 40.0
#: what may be added to the time of a setting by a machine that is busy: with it, it is far below the default of 60 s
MARGIN_S = 20.0


@pytest.fixture
def worker(kafka: Kafka, tmp_path: Path) -> Iterator[WorkerProcess]:
    """On the plain listener, started."""
    worker = worker_on(kafka.java_client(), tmp_path / "worker").start()
    yield worker
    worker.stop()


def ends(worker: WorkerProcess, code: int, within: float) -> str:
    """What a worker that cannot start says; it ends by itself."""
    began = time.monotonic()
    assert worker.launch().wait(within) == code, worker.log
    assert time.monotonic() - began < within
    return worker.log


def wrong(settings: dict[str, str]) -> dict[str, str]:
    return {name: text.replace("alice-secret", "guessed") for name, text in settings.items()}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_ends_the_worker_at_once(kafka: Kafka, tmp_path: Path, mechanism: str) -> None:
    said = ends(worker_on(wrong(trusted(kafka, "SASL_PLAINTEXT", mechanism)), tmp_path / "w"), 2, WAIT_S)
    assert f"logging in to bootstrap.servers {kafka.address('SASL_PLAINTEXT')} failed" in said
    assert "check admin.sasl.jaas.config and admin.sasl.mechanism" in said
    assert "guessed" not in said


def test_a_certificate_of_another_ca_ends_the_worker_at_once(kafka: Kafka, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    subject = ["-nodes", "-days", "2", "-subj", "/CN=other", "-keyout", str(tmp_path / "other.key"), "-out", str(other)]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject], check=True, capture_output=True)
    settings = {**trusted(kafka, "SSL"), "ssl.truststore.location": str(other)}
    said = ends(worker_on(settings, tmp_path / "w"), 2, WAIT_S)
    assert f"TLS with bootstrap.servers {kafka.address('SSL')} failed" in said
    assert "check admin.ssl.truststore.location (or ssl.truststore.certificates): it must hold the CA" in said


def test_a_java_trust_store_is_refused_with_the_command_that_converts_it(kafka: Kafka, tmp_path: Path) -> None:
    said = ends(worker_on(kafka.java_client("SSL"), tmp_path / "w"), 2, WAIT_S)
    assert "ssl.truststore.location" in said
    assert "keytool -list -rfc -keystore" in said


@pytest.mark.parametrize(
    ("listener", "protocol"), [("SASL_PLAINTEXT", "PLAINTEXT"), ("SSL", "PLAINTEXT"), ("PLAINTEXT", "SSL")]
)
def test_a_listener_of_another_protocol_is_said_within_the_time_of_the_setting(
    kafka: Kafka, tmp_path: Path, listener: str, protocol: str
) -> None:
    settings = {"bootstrap.servers": kafka.address(listener), "security.protocol": protocol}
    began = time.monotonic()
    said = ends(worker_on(settings, tmp_path / "w", default_api_timeout_ms="3000"), 2, 3 + MARGIN_S)
    assert time.monotonic() - began >= 3
    assert "could not be reached within 3 s (default.api.timeout.ms)" in said
    assert "security.protocol" in said or "PLAINTEXT broker listener" in said


@pytest.mark.timeout(300)
def test_a_listener_that_requires_a_certificate(own_kafka: Callable[..., Kafka], tmp_path: Path) -> None:
    kafka = own_kafka({"listener.name.ssl.ssl.client.auth": "required"})
    said = ends(worker_on(trusted(kafka, "SSL"), tmp_path / "none"), 2, MARGIN_S)
    assert f"TLS with bootstrap.servers {kafka.address('SSL')} failed" in said
    assert "they trust: check ssl.keystore.location (or ssl.keystore.certificate.chain)" in said
    wrong = {"ssl.keystore.location": str(kafka.keys.key_store("client")), "ssl.keystore.password": "guessed"}
    said = ends(worker_on({**trusted(kafka, "SSL"), **wrong}, tmp_path / "wrong"), 2, WAIT_S)
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
    said = ends(worker_on(kafka.java_client(), tmp_path / "w", offset_storage_file_filename=file), 2, WAIT_S)
    assert f"is in use by the worker with pid {worker.process.pid}" in said


def test_a_connectors_wrong_password_is_in_its_status(kafka: Kafka, worker: WorkerProcess) -> None:
    login = wrong(trusted(kafka, "SASL_PLAINTEXT"))
    source = {"connector.class": SOURCE, "file": str(worker.folder / "in.txt"), "topic": named("refused")}
    (worker.folder / "in.txt").write_text("line\n")
    worker.create("source", **source, **{f"producer.override.{name}": text for name, text in login.items()})
    sink = {"connector.class": SINK, "file": str(worker.folder / "out.txt"), "topics": named("refused")}
    worker.create("sink", **sink, **{f"consumer.override.{name}": text for name, text in login.items()})
    for name in ("source", "sink"):
        trace = fails(worker, name)
        own = "producer.override." if name == "source" else "consumer.override."
        assert f"logging in to {own}bootstrap.servers {login['bootstrap.servers']} failed" in trace
        assert f"check {own}sasl.jaas.config and {own}sasl.mechanism" in trace
        assert "guessed" not in trace


GRANT = "kafka-acls.sh --add --allow-principal User:eve "


def test_a_sources_missing_rights_are_in_its_status(kafka: Kafka, worker: WorkerProcess) -> None:
    topic = named("forbidden")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    login = trusted(kafka, "SASL_PLAINTEXT", "PLAIN", "eve")
    (worker.folder / "in.txt").write_text("line\n")
    source = {"connector.class": SOURCE, "file": str(worker.folder / "in.txt"), "topic": topic}
    worker.create("source", **source, **{f"producer.override.{name}": text for name, text in login.items()})
    trace = fails(worker, "source")
    assert "not authorized, as User:eve (producer.override.sasl.jaas.config)" in trace
    assert f"{GRANT}--operation Write --operation Describe --topic {topic}" in trace


@pytest.mark.parametrize("lacking", ["topic", "group"])
def test_a_sinks_missing_rights_are_in_its_status(kafka: Kafka, worker: WorkerProcess, lacking: str) -> None:
    topic, name = named("forbidden"), named("sink")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
    resource, granted = (ResourceType.GROUP, f"connect-{name}") if lacking == "topic" else (ResourceType.TOPIC, topic)
    right = (ResourcePatternType.LITERAL, "User:eve", "*", AclOperation.READ, AclPermissionType.ALLOW)
    for future in admin.create_acls([AclBinding(resource, granted, *right)]).values():
        future.result(WAIT_S)
    login = trusted(kafka, "SASL_PLAINTEXT", "PLAIN", "eve")
    sink = {"connector.class": SINK, "file": str(worker.folder / "out.txt"), "topics": topic}
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
    original, copy = worker.folder / "in.txt", worker.folder / "out.txt"
    original.write_text(lines(0, 100) + "x" * 5_000 + "\n" + lines(100, 100))
    source = {"connector.class": SOURCE, "file": str(original), "topic": topic, "errors.tolerance": tolerance}
    worker.create("source", **source, **{"errors.log.enable": "true"})
    worker.create("sink", **{"connector.class": SINK, "file": str(copy), "topics": topic})
    if tolerance == "all":
        until(lambda: text_of(copy) == lines(0, 200), "all lines but the large one", WAIT_S)
        assert worker.states("source") == ["RUNNING", "RUNNING"]
        size = len(original.read_text())
        until(lambda: [each["offset"] for each in worker.offsets("source")] == [{"position": size}], "the position")
    else:
        trace = fails(worker, "source")
        assert (
            f"a record of 5000 bytes for topic '{topic}' is larger than max.message.bytes of the topic, 2000" in trace
        )
        assert "raise max.message.bytes of the topic" in trace
        until(lambda: text_of(copy).startswith(lines(0, 100)), "the lines before it", WAIT_S)
        before = len(lines(0, 100))
        assert [each["offset"] for each in worker.offsets("source")] in ([], [{"position": before}])


def test_a_line_that_is_too_large_alone(kafka: Kafka, worker: WorkerProcess) -> None:
    (worker.folder / "in.txt").write_text("x" * 1_200_000 + "\n")
    source = {"connector.class": SOURCE, "file": str(worker.folder / "in.txt"), "topic": named("larger")}
    worker.create("source", **source)
    assert "a record of 1200000 bytes" in fails(worker, "source")


@pytest.mark.timeout(300)
def test_topics_that_the_brokers_will_not_make(own_kafka: Callable[..., Kafka], tmp_path: Path) -> None:
    kafka = own_kafka({"auto.create.topics.enable": "false"})
    worker = worker_on(kafka.java_client(), tmp_path / "w").start()
    try:
        topic = named("unmade")
        original, copy = copies(worker, topic)
        original.write_text(lines(0, 3))
        trace = fails(worker, f"{topic}-source")
        assert f"topic '{topic}' does not exist" in trace
        assert "topic.creation.default.partitions" in trace
        until(lambda: f"topic '{topic}' does not exist; it is waited for" in worker.log, "the sink to say it", WAIT_S)
        assert worker.states(f"{topic}-sink") == ["RUNNING", "RUNNING"]
        admin = AdminClient(kafka.client())
        admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
        assert worker.call("POST", f"/connectors/{topic}-source/tasks/0/restart").status == 204
        until(lambda: text_of(copy) == lines(0, 3), "the copy, once the topic is there", WAIT_S)
        lenient, other = named("lenient"), worker.folder / "other.txt"
        admin.create_topics([NewTopic(lenient, 1)])[lenient].result(WAIT_S)
        other.write_text(lines(0, 3))
        source = {"connector.class": SOURCE, "file": str(other), "topic": lenient, "errors.tolerance": "all"}
        worker.create(lenient, **source)
        until(lambda: worker.offsets(lenient), "the first lines to be written", WAIT_S)
        admin.delete_topics([lenient])[lenient].result(WAIT_S)
        with other.open("a") as file:
            file.write(lines(3, 3))
        assert lenient in fails(worker, lenient)  # and no line is left out for it
        admin.create_topics([NewTopic(lenient, 1)])[lenient].result(WAIT_S)
        assert worker.call("POST", f"/connectors/{lenient}/tasks/0/restart").status == 204
        until(lambda: worker.consume(lenient)[-3:] == lines(3, 3).splitlines(), "the other lines", WAIT_S)
    finally:
        worker.stop()


@pytest.mark.timeout(300)
def test_a_broker_that_is_away_is_waited_for_and_named_and_all_goes_on_when_it_is_back(
    own_kafka: Callable[..., Kafka], tmp_path: Path
) -> None:
    kafka = own_kafka()
    worker = worker_on(kafka.java_client(), tmp_path / "w", producer_buffer_memory="20000").start()
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
            began = time.monotonic()
            worker.call("PUT", f"/connectors/{topic}-sink/config", {"connector.class": "nonsense"})
            assert time.monotonic() - began < 10  # what needs none is done meanwhile
            assert not asked.done()
            kafka.restart()
            assert asked.result(2 * WAIT_S).status == 200
        wanted = lines(0, 20_100).splitlines()
        until(lambda: set(text_of(copy).splitlines()) == set(wanted), "every line", 3 * WAIT_S)
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
    admin.delete_topics([topic])[topic].result(WAIT_S)
    until(lambda: topic not in admin.list_topics(timeout=WAIT_S).topics, "the topic to go", WAIT_S)
    producer = Producer(kafka.client())
    producer.produce(topic, b"again")
    assert producer.flush(WAIT_S) == 0
    until(lambda: text_of(copy).endswith("again\n"), "the row in the new topic", WAIT_S)
