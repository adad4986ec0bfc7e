"""A standalone worker on a real broker: the book's file example, positions, groups, what survives a kill."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, ResourceType
from running import WorkerProcess, until

from millstream.storage.java_map import dump, load
from services.abreast import abreast
from services.fixtures import Own, available
from services.java_connect import JavaWorker
from services.kafka import Kafka
from services.keys import PASSWORD
from services.maven import program
from services.standalone import SINK, SOURCE, assigned, copies, lines, named, text_of, trusted, worker_on

WAIT_S = 60.0
JVM_S = 120.0
Starting = Callable[..., WorkerProcess]


@pytest.fixture
def starting(kafka: Kafka, tmp_path: Path) -> Iterator[Starting]:
    """Starts workers, and ends them."""
    begun: list[WorkerProcess] = []
    number = count()

    def start(settings: dict[str, str] | None = None, **more: str) -> WorkerProcess:
        worker = worker_on(settings or kafka.java_client(), tmp_path / f"worker-{next(number)}", **more)
        begun.append(worker)
        return worker.start()

    yield start
    for worker in begun:
        if worker.process is not None and worker.process.poll() is None:
            worker.stop()


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """On the plain listener, started; for the tests that want nothing else of a worker."""
    worker = worker_on(kafka.java_client(), tmp_path_factory.mktemp("standalone")).start()
    yield worker
    worker.stop()


def test_the_file_example_of_the_book_by_connect_standalone_read_by_kcat(kafka: Kafka, tmp_path: Path) -> None:
    kcat = available(lambda: program("kcat", "a consumer that is not ours", "kcat"))
    topic, folder = named("connect-test"), tmp_path / "worker"
    worker = worker_on(kafka.java_client(), folder, value_converter="org.apache.kafka.connect.json.JsonConverter")
    folder.mkdir()
    (folder / "test.txt").write_text("foo\nbar\n")
    for name, kind, more in (("source", SOURCE, f"topic={topic}"), ("sink", SINK, f"topics={topic}")):
        file = "test.txt" if name == "source" else "test.sink.txt"
        text = f"name=local-file-{name}-{topic}\nconnector.class={kind}\ntasks.max=1\nfile={file}\n{more}\n"
        (folder / f"{name}.properties").write_text(text)
    worker.program = ("connect-standalone",)
    worker.arguments = ["source.properties", "sink.properties"]
    worker.start()
    try:
        until(lambda: text_of(folder / "test.sink.txt") == "foo\nbar\n", "the sink's file", WAIT_S)
        with (folder / "test.txt").open("a") as file:
            file.write("Another line\n")
        until(lambda: text_of(folder / "test.sink.txt").endswith("Another line\n"), "the new line", WAIT_S)
        command = [kcat, "-b", kafka.address(), "-C", "-t", topic, "-e", "-q", "-f", "%s\n"]
        read = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True).stdout
        assert [json.loads(line) for line in read.splitlines()] == [
            {"schema": {"type": "string", "optional": False}, "payload": line}
            for line in ("foo", "bar", "Another line")
        ]
    finally:
        assert worker.stop() == 0
    stored = load((folder / "offsets.bin").read_bytes())
    assert stored == {f'["local-file-source-{topic}",{{"filename":"test.txt"}}]'.encode(): b'{"position":21}'}


def test_a_position_of_the_java_worker_is_gone_on_from_and_ours_is_in_the_file(
    starting: Starting, tmp_path: Path
) -> None:
    topic, folder = named("taken-over"), tmp_path / "worker-0"
    folder.mkdir()
    original = folder / f"{topic}.txt"
    original.write_text(lines(0, 10))
    key = f'["{topic}-source",{{"filename":"{original}"}}]'.encode()
    (folder / "offsets.bin").write_bytes(dump({b'["other",{"a":1}]': None, key: b'{"position":35}'}))
    worker = starting()
    _, copy = copies(worker, topic)
    until(lambda: text_of(copy) == lines(5, 5), "the lines behind the position", WAIT_S)
    until(lambda: worker.offsets(f"{topic}-source")[0]["offset"] == {"position": 70}, "the new position", WAIT_S)
    assert worker.stop() == 0
    assert load((folder / "offsets.bin").read_bytes()) == {b'["other",{"a":1}]': None, key: b'{"position":70}'}


def test_a_position_goes_from_the_java_worker_to_ours_and_back(kafka: Kafka, starting: Starting, own: Own) -> None:
    """Each goes on where the other stopped, and the topic has every line once."""
    topic = named("over-and-back")
    java = own.java_worker({**kafka.java_client(), "offset.flush.interval.ms": "300"}, "standalone")
    original, position = java.folder / f"{topic}.txt", 0

    def copied_by(worker: JavaWorker | WorkerProcess, first: int) -> None:
        nonlocal position
        with original.open("a") as file:
            file.write(lines(first, 5))
        position += len(lines(first, 5))
        worker.create(f"{topic}-source", **{"connector.class": SOURCE, "file": str(original), "topic": topic})
        until(
            lambda: [each["offset"] for each in worker.offsets(f"{topic}-source")] == [{"position": position}],
            "it",
            JVM_S,
        )

    copied_by(java, 0)
    file = java.properties["offset.storage.file.filename"]
    java.instance.stop()
    ours = starting(offset_storage_file_filename=file)
    copied_by(ours, 5)
    read = ours.consume(topic)
    assert ours.stop() == 0
    java.restart()
    copied_by(java, 10)
    payloads = [json.loads(line)["payload"] if line.startswith("{") else line for line in ours.consume(topic)]
    assert payloads == lines(0, 15).splitlines()
    assert len(read) == 10


def test_kill_9_of_the_worker_loses_no_line(starting: Starting) -> None:
    def case(isolation: str) -> None:
        topic = named("killed")
        # the group waits for the members that were killed as long as their session lasts
        worker = starting(task_isolation=isolation, consumer_session_timeout_ms="6000")
        original, copy = copies(worker, topic)
        total = 0
        for _ in range(3):
            with original.open("a") as file:
                file.write(lines(total, 5_000))
            total += 5_000
            until(lambda: len(text_of(copy)) > 0, "the first lines", WAIT_S)
            worker.kill()
            worker.start()
            copies(worker, topic)  # Java's standalone worker forgets connectors, too
        wanted = lines(0, total).splitlines()
        until(lambda: set(text_of(copy).splitlines()) == set(wanted), "every line", WAIT_S, 0.2)
        assert list(dict.fromkeys(text_of(copy).splitlines())) == wanted  # repeats apart, in order

    abreast(case, "process", "thread")


def test_two_tasks_share_a_topic_and_each_rebalance_commits(kafka: Kafka, worker: WorkerProcess) -> None:
    topic = named("shared")
    sink = f"{topic}-sink"
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 2)])[topic].result(WAIT_S)
    original, copy = copies(worker, topic, **{"tasks.max": "2"})
    both = [f"{topic}-0", f"{topic}-1"]
    until(lambda: sorted(assigned(worker, sink).values()) == both, "each task to have a partition", WAIT_S)
    original.write_text(lines(0, 1_000))
    until(lambda: sorted(text_of(copy).splitlines()) == sorted(lines(0, 1_000).splitlines()), "all lines", WAIT_S)
    until(lambda: sum(each["offset"]["kafka_offset"] for each in worker.offsets(sink)) == 1_000, "commits")
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(WAIT_S)
    worker.call("PUT", f"/connectors/{sink}/pause")
    until(lambda: worker.states(sink) == ["PAUSED"] * 3, "the sink to pause", WAIT_S)
    with original.open("a") as file:
        file.write(lines(1_000, 10))
    worker.call("PUT", f"/connectors/{sink}/resume")
    until(lambda: len(text_of(copy).splitlines()) == 1_010, "the lines written during the pause", WAIT_S)


def test_offsets_of_source_and_sink_are_read_moved_and_reset_by_rest(worker: WorkerProcess) -> None:
    topic = named("moved")
    original, copy = copies(worker, topic)
    source, sink = f"{topic}-source", f"{topic}-sink"
    original.write_text(lines(0, 10))
    where = {"kafka_topic": topic, "kafka_partition": 0}
    until(lambda: worker.offsets(sink) == [{"partition": where, "offset": {"kafka_offset": 10}}], "the commit", WAIT_S)
    for name in (source, sink):
        assert worker.call("PUT", f"/connectors/{name}/stop").status == 204
        until(lambda name=name: worker.states(name) == ["STOPPED"], "the stop", WAIT_S)  # type: ignore[misc]
    moved = {"offsets": [{"partition": where, "offset": {"kafka_offset": 7}}]}
    assert worker.call("PATCH", f"/connectors/{sink}/offsets", moved).status == 200
    assert worker.offsets(sink) == moved["offsets"]
    moved = {"offsets": [{"partition": {"filename": str(original)}, "offset": {"position": 56}}]}
    assert worker.call("PATCH", f"/connectors/{source}/offsets", moved).status == 200
    copy.unlink()
    for name in (source, sink):
        assert worker.call("PUT", f"/connectors/{name}/resume").status == 202
    until(lambda: text_of(copy) == lines(7, 3) + lines(8, 2), "the lines behind both positions", WAIT_S)
    for name in (source, sink):
        worker.call("PUT", f"/connectors/{name}/stop")
        until(lambda name=name: worker.states(name) == ["STOPPED"], "the stop", WAIT_S)  # type: ignore[misc]
        answer = worker.call("DELETE", f"/connectors/{name}/offsets")
        assert answer.status == 200, answer.text
        assert worker.offsets(name) == []


def test_a_pattern_finds_whole_names_and_new_topics(starting: Starting) -> None:
    prefix = named("found")
    worker = starting(consumer_metadata_max_age_ms="500")
    copy = worker.folder / "copy.txt"
    worker.create(
        prefix,
        **{"connector.class": SINK, "file": str(copy), "topics.regex": f"{prefix}-[a-z]", "tasks.max": "1"},
    )
    producer = worker.folder / "in.txt"
    for name in ("a", "b", "b2"):
        producer.write_text(f"{name}\n")
        command = ["millstream", "produce", f"{prefix}-{name}", "--config", "worker.properties"]
        run(worker, command, f"{name}\n")
        if name != "b2":
            until(lambda name=name: f"{name}\n" in text_of(copy), f"the row of {name}", WAIT_S)  # type: ignore[misc]
    assert sorted(text_of(copy).split()) == ["a", "b"]


def run(worker: WorkerProcess, command: list[str], given: str) -> None:
    from running import BIN

    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=worker.folder, input=given, text=True, capture_output=True, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr


def test_the_client_settings_of_a_sink_are_followed(kafka: Kafka, worker: WorkerProcess) -> None:
    topic, group = named("overridden"), named("group")
    original, _ = copies(worker, topic)
    original.write_text(lines(0, 5))
    until(lambda: worker.offsets(f"{topic}-source"), "the lines to be in the topic", WAIT_S)
    copy = worker.folder / f"{topic}.late.txt"
    late = {"consumer.override.auto.offset.reset": "latest", "consumer.override.group.id": group}
    worker.create(f"{topic}-late", **{"connector.class": SINK, "file": str(copy), "topics": topic, **late})
    until(lambda: assigned(worker, f"{topic}-late"), "the late sink to begin", WAIT_S)
    with original.open("a") as file:
        file.write(lines(5, 1))
    until(lambda: text_of(copy) == lines(5, 1), "only what comes from now on", WAIT_S)
    admin = AdminClient(kafka.client())

    def groups() -> set[str]:
        return {each.group_id for each in admin.list_consumer_groups().result(WAIT_S).valid}

    until(lambda: {group, f"connect-{topic}-sink"} <= groups(), "both groups", WAIT_S)
    assert f"connect-{topic}-late" not in groups()


def test_a_source_makes_its_topics_by_its_creation_groups(kafka: Kafka, worker: WorkerProcess) -> None:
    topic = named("created")
    original = worker.folder / f"{topic}.txt"
    original.write_text(lines(0, 1))
    creation = {
        "topic.creation.groups": "wide",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "-1",
        "topic.creation.wide.include": "created-.*",
        "topic.creation.wide.partitions": "3",
        "topic.creation.wide.retention.ms": "12345678",
    }
    worker.create(topic, **{"connector.class": SOURCE, "file": str(original), "topic": topic, **creation})
    admin = AdminClient(kafka.client())
    until(lambda: topic in admin.list_topics(timeout=WAIT_S).topics, "the topic", WAIT_S)
    assert len(admin.list_topics(timeout=WAIT_S).topics[topic].partitions) == 3
    resource = ConfigResource(ResourceType.TOPIC, topic)
    assert admin.describe_configs([resource])[resource].result(WAIT_S)["retention.ms"].value == "12345678"


def test_a_worker_works_over_a_secured_listener(kafka: Kafka, starting: Starting) -> None:
    def case(tried: tuple[str, str]) -> None:
        topic, worker = named("secured"), starting(trusted(kafka, *tried))
        original, copy = copies(worker, topic)
        original.write_text(lines(0, 10))
        until(lambda: text_of(copy) == lines(0, 10), "the copy", WAIT_S)
        assert worker.consume(topic) == lines(0, 10).splitlines()
        worker.stop()

    secured = (
        ("SSL", "PLAIN"),
        ("SASL_PLAINTEXT", "PLAIN"),
        ("SASL_SSL", "SCRAM-SHA-512"),
        ("SASL_SSL", "SCRAM-SHA-256"),
    )
    abreast(case, *secured)


def test_a_worker_shows_its_certificate_to_a_listener_that_requires_one(
    strict_kafka: Kafka, starting: Starting
) -> None:
    trust, keys = trusted(strict_kafka, "SSL"), strict_kafka.keys
    stores = {
        "PEM": {"ssl.keystore.location": str(keys.pem_store("client")), "ssl.keystore.type": "PEM"},
        "PKCS12": {"ssl.keystore.location": str(keys.key_store("client")), "ssl.keystore.password": PASSWORD},
        "in the settings": {
            "ssl.keystore.key": one_line(keys.key("client")),
            "ssl.keystore.certificate.chain": one_line(keys.certificate("client")),
        },
    }
    admin = AdminClient(strict_kafka.client())

    def case(kind: str) -> None:
        topic = named("certified")
        admin.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)
        worker = starting({**trust, **stores[kind]})
        original, copy = copies(worker, topic)
        original.write_text(lines(0, 10))
        until(lambda: text_of(copy) == lines(0, 10), f"the copy with {kind}", WAIT_S)
        worker.stop()

    abreast(case, *stores)


def one_line(pem: Path) -> str:
    """As a properties file holds it."""
    return pem.read_text().strip().replace("\n", "\\n")


#: policy, what it allows, what it refuses
POLICIES = (
    ("None", None, "producer.override.acks"),
    ("Principal", "producer.override.security.protocol", "producer.override.acks"),
    ("Allowlist", "producer.override.acks", "producer.override.linger.ms"),
    ("All", "producer.override.linger.ms", None),
)


def test_what_a_connector_may_override_is_the_policys(starting: Starting) -> None:
    values = {"acks": "all", "linger.ms": "1", "security.protocol": "PLAINTEXT"}
    base = {"connector.class": SOURCE, "file": "none.txt", "topic": named("policy")}

    def case(tried: tuple[str, str | None, str | None]) -> None:
        policy, allowed, refused = tried
        listed = {"connector_client_config_override_allowlist": "acks"} if policy == "Allowlist" else {}
        worker = starting(connector_client_config_override_policy=policy, **listed)
        if refused is not None:
            key = refused.removeprefix("producer.override.")
            answer = worker.call("POST", "/connectors", {"name": named("no"), "config": {**base, refused: values[key]}})
            assert answer.status == 400
            said = f"The '{policy}' policy does not allow '{key}' to be overridden in the connector configuration."
            assert said in answer.json["message"]
        if allowed is not None:
            worker.create(named("yes"), **{**base, allowed: values[allowed.removeprefix("producer.override.")]})
        worker.stop()

    abreast(case, *POLICIES)


def test_settings_that_are_not_followed_are_named_once_at_start(starting: Starting) -> None:
    worker = starting(producer_interceptor_classes="com.acme.Auditor", consumer_max_poll_records="10")
    copies(worker, named("noted"))
    until(lambda: worker.log.count("RUNNING") >= 4, "both tasks to run", WAIT_S)
    said = re.findall(r"WARN\w* .*producer\.interceptor\.classes is not followed.*", worker.log)
    assert len(said) == 1
    assert "Java's interceptors cannot run here; records go by without them" in said[0]
    assert "max.poll.records" not in worker.log
