"""Settings of Kafka's clients on the embedded log: refused where they are wrong, named where they matter."""

import logging

import pytest

from millstream.errors import ConfigError
from millstream.settings.client import Client, client_definitions
from millstream.settings.embedded import INSTEAD, check_client, not_followed
from millstream.settings.librdkafka import is_unknown
from millstream.settings.reading import worker_config

LEAST = {"key.converter": "JsonConverter", "value.converter": "JsonConverter"}
LOGS = ("sqlite:log.db", "broker:9092")
TUNED = {
    "producer.acks": "0",
    "producer.compression.type": "zstd",
    "producer.batch.size": "100000",
    "producer.linger.ms": "50",
    "producer.max.request.size": "20971520",
    "producer.security.protocol": "SASL_SSL",
    "producer.sasl.mechanism": "SCRAM-SHA-512",
    "producer.ssl.truststore.location": "/etc/kafka/not-there.jks",
    "producer.metric.reporters": "com.example.Reporter",
    "consumer.fetch.max.bytes": "100",
    "consumer.isolation.level": "read_committed",
    "consumer.session.timeout.ms": "10000",
    "consumer.max.poll.records": " 50 ",
    "consumer.max.poll.interval.ms": "900000",
    "consumer.group.instance.id": "one",
    "admin.retries": "3",
}

WRONG: tuple[tuple[Client, str, str, str], ...] = (
    ("consumer", "max.poll.records", "0", "{} is 0; expected at least 1"),
    ("consumer", "max.poll.records", "-5", "{} is -5; expected at least 1"),
    ("consumer", "max.poll.records", "many", "Invalid value many for configuration {}: Not a number of type INT"),
    ("consumer", "isolation.level", "committed", "{} is 'committed'; expected read_committed or read_uncommitted"),
    ("consumer", "auto.offset.reset", "first", "{} is 'first'; expected earliest, latest or none"),
    (
        "consumer",
        "heartbeat.interval.ms",
        "50000",
        "{} is 50000; expected less than session.timeout.ms, which is 45000",
    ),
    ("producer", "acks", "9", "{} is '9'; expected all, -1, 0 or 1"),
    ("producer", "compression.type", "gzipp", "{} is 'gzipp'; expected none, gzip, snappy, lz4 or zstd"),
    ("producer", "linger.ms", "-1", "{} is -1; expected at least 0"),
    ("producer", "partitioner.ignore.keys", "yes", "Expected value to be either true or false"),
    ("producer", "security.protocol", "TLS", "{} is 'TLS'; expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    ("admin", "request.timeout.ms", "-2", "{} is -2; expected at least 0"),
)


@pytest.mark.parametrize(("client", "name", "value", "said"), WRONG)
@pytest.mark.parametrize("prefix", ["", "override."])
def test_what_a_client_of_kafka_would_refuse_is_refused_under_its_whole_name(
    client: Client, name: str, value: str, said: str, prefix: str
) -> None:
    whole = f"{client}.{prefix}{name}"
    with pytest.raises(ConfigError) as caught:
        check_client(client, {name: value}, {name: whole})
    assert [found for found, _ in caught.value.found] == [whole]
    assert said.format(whole) in str(caught.value)


@pytest.mark.parametrize("bootstrap", LOGS)
def test_a_worker_with_such_settings_does_not_start_whichever_its_log_and_hears_of_all_clients_at_once(
    bootstrap: str,
) -> None:
    given = {**LEAST, "bootstrap.servers": bootstrap, "producer.acks": "9", "consumer.max.poll.records": "0"}
    with pytest.raises(ConfigError) as caught:
        worker_config(given)
    assert caught.value.problems == {
        "producer.acks": "producer.acks is '9'; expected all, -1, 0 or 1",
        "consumer.max.poll.records": "consumer.max.poll.records is 0; expected at least 1",
    }


def test_tuning_and_logins_of_a_file_that_comes_from_kafka_are_taken_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        worker_config({**LEAST, "bootstrap.servers": "sqlite:log.db", **TUNED, "producer.interceptor.classes": " "})
    assert caplog.messages == []


@pytest.mark.parametrize("client", ["producer", "consumer", "admin"])
def test_the_defaults_of_kafka_are_taken_without_a_word(client: Client) -> None:
    defaults = {one.name: one.default_text for one in client_definitions(client) if one.default_text and one.default}
    check_client(client, {name: text for name, text in defaults.items() if text is not None}, {})
    assert not_followed((name, name) for name in defaults if name not in INSTEAD) == []


def test_what_would_change_records_is_said_with_what_happens_instead_and_slips_of_the_pen_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = {
        "producer.bootstrap.servers": "elsewhere:9092",
        "consumer.interceptor.classes": "com.example.Masking",
        "consumer.max.pol.records": "5",
        "producer.override.acks": "1",
    }
    with caplog.at_level(logging.INFO):
        worker_config({**LEAST, "bootstrap.servers": "sqlite:log.db", **given})
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "producer.bootstrap.servers is not followed as it is written: connectors write to the embedded log, and "
            "read from it",
        ),
        (
            "WARNING",
            "consumer.interceptor.classes is not followed as it is written: Java's interceptors cannot run here; "
            "records go by without them",
        ),
        (
            "WARNING",
            "Kafka's clients have no such settings; they are not used: producer.override.acks (in a worker's file it is"
            " producer.acks), consumer.max.pol.records",
        ),
    ]


def test_what_is_said_is_of_settings_that_kafkas_clients_have() -> None:
    known = {one.name for client in ("producer", "consumer", "admin") for one in client_definitions(client)}  # type: ignore[arg-type]  # each is one
    assert known >= INSTEAD.keys()
    assert not any(map(is_unknown, known))


def test_settings_of_the_embedded_log_are_said_to_change_nothing_on_kafka(caplog: pytest.LogCaptureFixture) -> None:
    given = {"log.retention.ms": "1000", "num.partitions": "3", "max.message.bytes": "5", "log.sync": "full"}
    with caplog.at_level(logging.INFO):
        worker_config({**LEAST, "bootstrap.servers": "broker:9092", **given})
        worker_config({**LEAST, "bootstrap.servers": "sqlite:log.db", **given})
    assert caplog.messages == [
        "these settings are for the embedded log, and change nothing on Kafka: log.retention.ms, num.partitions,"
        " max.message.bytes, log.sync"
    ]


def test_the_topic_of_source_offsets_is_the_embedded_logs_own_and_nothing_to_a_worker_alone_on_kafka(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        worker_config({**LEAST, "bootstrap.servers": "sqlite:log.db", "offset.storage.topic": "own"})
    assert caplog.messages == []
    with caplog.at_level(logging.INFO):
        worker_config({**LEAST, "bootstrap.servers": "broker:9092", "offset.storage.topic": "own"})
    assert caplog.messages == [
        "these settings are for distributed mode, and change nothing in standalone: offset.storage.topic"
    ]
