"""A Kafka producer whose librdkafka is one in memory, which fails when it is told to."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.lines import Listening
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.writing.producer import KafkaProducer
from millstream.broker.kafka.writing.topics import Topics, Waiting
from millstream.broker.ports import Delivered, Outgoing, ProducerSettings
from millstream.lifecycle import ManualClock

ODD = KafkaError(KafkaError.INVALID_RECORD, "invalid")
LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")


@dataclass
class Message:
    topic_name: str
    content: bytes | None
    name: bytes | None
    number: int

    def topic(self) -> str:
        return self.topic_name

    def value(self) -> bytes | None:
        return self.content

    def key(self) -> bytes | None:
        return self.name

    def partition(self) -> int:
        return self.number


class Client:
    """A librdkafka producer in memory: a batch with a row of `x` in it is refused whole, and one that is too large."""

    def __init__(self, cluster: "Cluster", settings: Mapping[str, Any], lines: Listening) -> None:
        self.cluster = cluster
        self.lines = lines
        self.batch_size = int(settings["batch.size"])
        self.queue: deque[tuple[Message, Callable[[KafkaError | None, Any], None]]] = deque()
        self.calls: list[str] = []

    def __len__(self) -> int:
        return len(self.queue)

    def produce(self, topic: str, value: Any, key: Any, partition: int, report: Any, *_: Any, **__: Any) -> None:
        if (code := self.cluster.at_once.pop(value, None)) is not None:
            raise KafkaException(KafkaError(code, "refused at once"))
        self.queue.append((Message(topic, value, key, partition), report))

    def poll(self, seconds: float) -> int:
        if self.cluster.away:
            return 0
        while self.queue:
            batch = self._batch()
            error = ODD if any((message.content or b"").startswith(b"x") for message, _ in batch) else None
            if sum(len(message.content or b"") for message, _ in batch) > self.cluster.takes:
                error = LARGE
            for message, report in batch:
                if error is None:
                    self.cluster.written.append((message.topic_name, message.number, message.content))
                report(error, message)
            if error is not None:
                break
        return 0

    def _batch(self) -> list[tuple[Message, Callable[[KafkaError | None, Any], None]]]:
        """As librdkafka's: the first row, whatever its size, and others as long as all are within `batch.size`."""
        batch = [self.queue.popleft()]
        size = len(batch[0][0].content or b"")
        while self.queue and (size := size + len(self.queue[0][0].content or b"")) <= self.batch_size:
            batch.append(self.queue.popleft())
        return batch

    def flush(self, seconds: float) -> int:
        self.poll(seconds)
        self.cluster.clock.advance(seconds if self.queue else 0)
        return len(self.queue)

    def purge(self) -> None:
        purged, self.queue = self.queue, deque()
        for message, report in purged:
            report(KafkaError(KafkaError._PURGE_QUEUE, "purged"), message)

    def list_topics(self, name: str | None = None, timeout: float = 0) -> Any:
        if name is None:
            return None
        answers = self.cluster.metadata.get(name, [])
        error = answers.pop(0) if len(answers) > 1 else answers[0] if answers else None
        topic = SimpleNamespace(error=error, partitions={0: None, 1: None, 2: None})
        return SimpleNamespace(topics={name: topic}, brokers={1: SimpleNamespace(host="127.0.0.1", port=1)})

    def init_transactions(self, seconds: float) -> None:
        self.calls.append("init")

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def commit_transaction(self, seconds: float) -> None:
        self._end("commit", seconds)

    def abort_transaction(self, seconds: float) -> None:
        self.queue.clear()
        self._end("abort", seconds)

    def _end(self, what: str, seconds: float) -> None:
        self.calls.append(what)
        error = self.cluster.ends.pop(0) if self.cluster.ends else None
        if error is not None:
            self.cluster.clock.advance(seconds)
            raise KafkaException(error)


@dataclass
class Cluster:
    """metadata: by topic what the brokers say, one after the other, the last for ever; None: it is there.

    takes: bytes of a batch; nobody may know it.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    away: bool = False
    written: list[tuple[str, int, bytes | None]] = field(default_factory=list)
    at_once: dict[bytes, int] = field(default_factory=dict)
    metadata: dict[str, list[KafkaError | None]] = field(default_factory=dict)
    ends: list[KafkaError | None] = field(default_factory=list)
    takes: int = 1 << 20
    limits: dict[str, int] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    made: list[Callable[[], None]] = field(default_factory=list)  # done before each client is made

    @property
    def values(self) -> list[bytes | None]:
        return [value for _, _, value in self.written]


class Faking(Making):
    def __init__(self, cluster: Cluster) -> None:
        super().__init__("127.0.0.1:1", {})
        self._cluster = cluster

    def producer(self, java: Mapping[str, str], more: Mapping[str, Any], watch: Watch, lines: Listening) -> Any:
        for step in self._cluster.made:
            step()
        self._cluster.clients.append(Client(self._cluster, more, lines))
        return self._cluster.clients[-1]


def producer_on(cluster: Cluster, transactional_id: str | None = None, **overrides: str) -> KafkaProducer:
    named = {name.replace("_", "."): text for name, text in overrides.items()}
    settings = ProducerSettings("test", transactional_id=transactional_id, overrides=named)
    watch = Watch("test", "127.0.0.1:1")
    topics = Topics(watch, cluster.clock, cluster.limits.get, Waiting(300.0, 10.0))
    topics._rest = cluster.clock  # type: ignore[assignment]  # waiting moves the clock
    producer = KafkaProducer(Faking(cluster), settings, topics, watch, cluster.clock)
    producer._rest = cluster.clock  # type: ignore[assignment]  # as above
    return producer


def transacted(producer: KafkaProducer, *batches: Outgoing) -> list[Delivered]:
    told: list[Delivered] = []
    producer.begin()
    for batch in batches:
        producer.send(batch, told.append)
    producer.commit()
    return told


AWAY = r"bootstrap\.servers 127\.0\.0\.1:1 cannot be reached"
