"""Topics that a source lets the worker make (KIP-158), and cannot have: the reason, the settings, the remedy."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from running import WorkerProcess, until

from services.abreast import abreast
from services.kafka import Kafka
from services.standalone import SOURCE, fails, lines, named, trusted, worker_on

WAIT_S = 60.0
DEFAULT = {"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1"}
WIDE = {"topic.creation.groups": "wide", "topic.creation.wide.include": ".*"}


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """On the plain listener, started; for all of these tests."""
    worker = worker_on(kafka.java_client(), tmp_path_factory.mktemp("creation")).start()
    yield worker
    worker.stop()


def source(worker: WorkerProcess, **settings: str) -> str:
    """Gives its name, which is its topic's, too."""
    name = named("made")
    (worker.folder / f"{name}.txt").write_text(lines(0, 3))
    file = str(worker.folder / f"{name}.txt")
    worker.create(name, **{"connector.class": SOURCE, "file": file, "topic": name, **DEFAULT, **settings})
    return name


REFUSED: tuple[tuple[dict[str, str], str, str], ...] = (
    (
        {"topic.creation.default.replication.factor": "3"},
        "topic.creation.default.partitions=1, topic.creation.default.replication.factor=3)",
        "target replication factor of 3 cannot be reached because only 1 broker(s) are registered",
    ),
    (
        {**WIDE, "topic.creation.wide.replication.factor": "2", "topic.creation.wide.retention.ms": "60000"},
        "topic.creation.default.partitions=1, topic.creation.wide.replication.factor=2, "
        "topic.creation.wide.retention.ms=60000)",
        "target replication factor of 2 cannot be reached",
    ),
    (
        {"topic.creation.default.partitions": "99999"},
        "topic.creation.default.partitions=99999, ",
        "Excessively large number of partitions",
    ),
    (
        {"topic.creation.default.partitions": "100001"},
        "topic.creation.default.partitions=100001, ",
        "num_partitions out of expected range 1..100000",
    ),
    (
        {"topic.creation.default.no.such.setting": "1"},
        "topic.creation.default.no.such.setting=1)",
        "Unknown topic config name: no.such.setting",
    ),
    (
        {"topic.creation.default.retention.ms": "long"},
        "topic.creation.default.retention.ms=long)",
        "Invalid value long for configuration retention.ms",
    ),
)


def test_what_the_brokers_refuse_is_told_with_their_reason_and_the_settings(worker: WorkerProcess) -> None:
    made = [(source(worker, **settings), said, why) for settings, said, why in REFUSED]
    for name, said, why in made:
        headline = fails(worker, name).partition("\n")[0]
        assert f"Task failed to create new topic '{name}' (" in headline
        assert said in headline
        assert why in headline
        assert "restart the task" in headline


def test_a_number_that_is_none_is_refused_before_any_broker_is_asked(worker: WorkerProcess) -> None:
    keys = [f"topic.creation.default.{setting}" for setting in ("partitions", "replication.factor")]
    made = [(source(worker, **{key: value}), key, value) for key in keys for value in ("0", "-2", "many")]
    for name, key, value in made:
        headline = fails(worker, name).partition("\n")[0]
        assert f"{key} is '{value}'; it must be -1 (the broker's default) or a whole number from 1" in headline


def test_minus_one_is_the_brokers_default(kafka: Kafka, worker: WorkerProcess) -> None:
    name = source(worker, **dict.fromkeys(DEFAULT, "-1"))
    until(lambda: worker.offsets(name), "the lines to be written", WAIT_S)
    assert len(AdminClient(kafka.client()).list_topics(name, timeout=WAIT_S).topics[name].partitions) == 1


def test_who_may_not_make_topics_is_named_with_the_command_that_grants_it(kafka: Kafka, worker: WorkerProcess) -> None:
    login = trusted(kafka, "SASL_PLAINTEXT", "PLAIN", "eve")
    name = source(worker, **{f"admin.override.{key}": text for key, text in login.items()})
    headline = fails(worker, name).partition("\n")[0]
    assert f"Task failed to create new topic '{name}'" in headline
    assert "not authorized, as User:eve (admin.override.sasl.jaas.config)" in headline
    grant = "kafka-acls.sh --add --allow-principal User:eve --operation Create --operation Describe --topic"
    assert f"{grant} {name}" in headline


def test_creation_that_the_worker_forbids_is_said_and_it_is_the_brokers_that_make_the_topic_or_not(
    kafka: Kafka, strict_kafka: Kafka, tmp_path: Path
) -> None:
    def by_their_defaults() -> None:
        forbidding = worker_on(kafka.java_client(), tmp_path / "made", topic_creation_enable="false").start()
        try:
            name = source(forbidding, **{"topic.creation.default.partitions": "3"})
            until(lambda: forbidding.offsets(name), "the lines to be written", WAIT_S)
            topic = AdminClient(kafka.client()).list_topics(name, timeout=WAIT_S).topics[name]
            assert len(topic.partitions) == 1
            said = "topic.creation.enable=false in the worker"
            (warned,) = [line for line in forbidding.log.splitlines() if said in line]
            assert "WARN" in warned
            assert "topic.creation.default.partitions, topic.creation.default.replication.factor: ignored" in warned
        finally:
            forbidding.stop()

    def not_at_all() -> None:
        waiting = {"topic_creation_enable": "false", "producer_max_block_ms": "12000"}
        forbidding = worker_on(strict_kafka.java_client(), tmp_path / "waited", **waiting).start()
        try:
            began = time.monotonic()
            headline = fails(forbidding, source(forbidding)).partition("\n")[0]
            assert time.monotonic() - began >= 12  # and 10 s without the setting
            assert "does not exist, also after 12 s (max.block.ms)" in headline
            assert "after topic.creation.enable=true in the worker, which is false" in headline
        finally:
            forbidding.stop()

    abreast(lambda made: made(), by_their_defaults, not_at_all)
