"""Topics as other producers write them: any codec, the brokers' clock, many partitions, rows without value."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from running import until

from millstream.broker.connect import open_broker
from services.kafka import Kafka
from services.producing import made, read
from services.standalone import SINK, named, text_of, worker_on

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
WAIT_S = 60.0
LONGEST = 249  # characters of a topic's name


def written(kafka: Kafka, topic: str, values: Sequence[bytes | None], **more: Any) -> None:
    """In as many batches as librdkafka likes. more: settings, and `partitions` to spread rows over."""
    partitions = more.pop("partitions", 1)
    settings = {name.replace("_", "."): text for name, text in more.items()}
    producer = Producer({**kafka.client(), **settings})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % partitions, headers=[("n", b"%d" % number), ("none", None)])
    assert producer.flush(WAIT_S) == 0


def test_rows_of_every_codec_are_read_from_one_topic(kafka: Kafka) -> None:
    topic, broker = named("codecs"), open_broker(kafka.address(), {})
    made(broker, topic)
    for codec in CODECS:
        written(kafka, topic, [codec.encode() * 100] * 20, compression_type=codec)
    rows = [value for incoming in read(broker, topic) for value in incoming.values]
    assert rows == [codec.encode() * 100 for codec in CODECS for _ in range(20)]
    broker.close()


def test_times_of_the_brokers_clock_are_told_as_such(kafka: Kafka) -> None:
    topic, broker = named("appended"), open_broker(kafka.address(), {})
    made(broker, topic, message_timestamp_type="LogAppendTime")
    written(kafka, topic, [b"a"])
    (rows,) = read(broker, topic)
    assert rows.timestamp_type == "LogAppendTime"
    assert min(rows.timestamps) > 1_600_000_000_000
    broker.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_four_tasks_read_a_topic_of_many_partitions_with_the_longest_name(
    kafka: Kafka, tmp_path: Path, protocol: str
) -> None:
    topic = named("many_parts.of").ljust(LONGEST, "x")
    broker = open_broker(kafka.address(), {})
    made(broker, topic, partitions=60)
    values = [None if number % 7 == 0 else b"row %d" % number for number in range(600)]
    written(kafka, topic, values, partitions=60)
    worker = worker_on(kafka.java_client(), tmp_path).start()
    copy = tmp_path / "copy.txt"
    overrides = {"consumer.override.group.protocol": protocol}
    sink = {"connector.class": SINK, "file": str(copy), "topics": topic, "tasks.max": "4", **overrides}
    wanted = sorted("null" if value is None else value.decode() for value in values)
    try:
        worker.create("many", **sink)
        until(lambda: sorted(text_of(copy).splitlines()) == wanted, "every row to be in the file", WAIT_S, 0.05)
        until(lambda: worker.states("many") == ["RUNNING"] * 5, "the last task, without which all may be read", WAIT_S)
    finally:
        assert worker.stop() == 0
        broker.close()
