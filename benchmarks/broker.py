"""The broker that both workers share, and how far a copy on it is."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from memory import Memory
from services.form import AsProcess
from services.kafka import Kafka

FLAGS = ("-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxDirectMemorySize=128m")
RETAINED = {"segment.bytes": str(256 << 20), "retention.ms": "-1"}
WARM_RECORDS = 500_000
PATIENCE_S = 900.0


@dataclass
class Bench:
    """One broker, and a folder for files."""

    kafka: Kafka
    folder: Path

    def __post_init__(self) -> None:
        settings = self.kafka.client()
        self.admin = AdminClient({**settings})
        self.consumer = Consumer({**settings, "group.id": "watching", "enable.auto.commit": "false"})
        self.memory = Memory(self.folder)
        self._made = 0

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> "Iterator[Bench]":
        """A new broker whose JIT has compiled before the first worker comes."""
        kafka = Kafka.start(AsProcess(), {"authorizer.class.name": ""}, FLAGS)
        try:
            bench = cls(kafka, folder)
            bench._warm()
            yield bench
            bench.consumer.close()
            bench.memory.close()
        finally:
            kafka.stop()

    def topic(self, partitions: int = 1) -> str:
        """A new one. With one partition a line's place in the copy is its place in the file."""
        self._made += 1
        name = f"lines-{self._made}"
        self.admin.create_topics([NewTopic(name, partitions, 1, config=RETAINED)])[name].result(30)
        return name

    def settle(self) -> None:
        """What was written before is not written meanwhile, and memory is in use."""
        os.sync()
        self.memory.use()

    def delete(self, topic: str) -> None:
        self.admin.delete_topics([topic])[topic].result(30)

    def end(self, topic: str, partitions: int = 1) -> int:
        """How many records a topic has."""
        ends = (self.consumer.get_watermark_offsets(TopicPartition(topic, at), timeout=30) for at in range(partitions))
        return sum(int(end) for _, end in ends)

    def shared_out(self, group: str, members: int) -> bool:
        """Whether each of so many members has partitions of its own."""
        found = self.admin.describe_consumer_groups([group])[group].result(30).members
        shares = [member.assignment.topic_partitions for member in found]
        return len(shares) == members and all(shares)

    def write(self, name: str, records: int, line_bytes: int) -> Path:
        """A file of so many lines; `line_bytes` counts the line end."""
        self.memory.use()
        path = self.folder / name
        filler = "abcdefghij" * (line_bytes // 10)
        with path.open("w") as file:
            file.writelines(f"{number:08d} {filler}"[: line_bytes - 1] + "\n" for number in range(records))
        return path

    def _warm(self) -> None:
        topic, producer = self.topic(), Producer({**self.kafka.client(), "queue.buffering.max.messages": WARM_RECORDS})
        for number in range(WARM_RECORDS):
            producer.produce(topic, b"%0100d" % number)
        producer.flush(60)
        self.delete(topic)


def written(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def moment(condition: Callable[[], object], what: str) -> float:
    """When it became true, asked every 10 ms."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(0.01)
    return time.monotonic()
