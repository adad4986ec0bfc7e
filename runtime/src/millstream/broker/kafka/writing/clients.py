"""A producer's settings, and the librdkafka producers that are made of them."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from millstream.broker.kafka.client.failures import Watch, error_of, explained
from millstream.broker.kafka.client.forgotten import Reminder
from millstream.broker.kafka.client.lines import Listening
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.client.renewable import Unled
from millstream.broker.ports import ProducerSettings
from millstream.errors import IllegalStateError

if TYPE_CHECKING:
    from confluent_kafka import Producer

log = logging.getLogger(__name__)

BUFFER_BYTES = 33_554_432  # buffer.memory
ACKNOWLEDGED_SECONDS = 1.0  # how long is waited for what is on its way


@dataclass(frozen=True, slots=True)
class Terms:
    """What a producer's settings come to."""

    java: Mapping[str, str]
    buffer: int
    batch_size: int
    in_order: bool
    compressed: bool
    largest: int
    max_age: float
    linger: float
    api_seconds: float

    @classmethod
    def of(cls, making: Making, settings: ProducerSettings) -> "Terms":
        java = {"client.id": settings.client_id} | making.settings("producer", settings.overrides)
        if settings.transactional_id is not None:
            java["enable.idempotence"] = "true"  # whatever is set; what forbids it is refused
        found = making.translated("producer", java)
        return cls(
            java,
            int(java.get("buffer.memory", settings.queue_bytes or BUFFER_BYTES)),
            int(found["batch.size"]),
            found["enable.idempotence"] == "true" and found["message.timeout.ms"] == "0",
            found.get("compression.codec", "none").lower() != "none",
            int(found["message.max.bytes"]),
            int(found["topic.metadata.refresh.interval.ms"]) / 1000,
            float(found["linger.ms"]) / 1000,
            making.api_seconds("producer", settings.overrides),
        )


class Line:
    """One librdkafka producer after the other: another is made when its batches have to become smaller.

    widest:     its `batch.size`.
    batch_size: of what may be handed to it at once for a partition, which may be less.
    """

    def __init__(self, making: Making, settings: ProducerSettings, terms: Terms, watch: Watch) -> None:
        self._making = making
        self._settings = settings
        self._terms = terms
        self._watch = watch
        self.batch_size = terms.batch_size
        self.ready = False  # transactions are initialised
        self.widest = self.batch_size
        self.unled = Unled()
        self._client: Producer | None = self._make(self.batch_size)
        self._reminder = Reminder(watch)
        self._resting: Producer | None = None  # while another one sends each row alone

    @property
    def client(self) -> "Producer":
        if self._client is None:
            raise IllegalStateError(f"the producer {self._settings.client_id!r} is closed")
        return self._client

    @property
    def held(self) -> int:
        """How many messages are out."""
        return 0 if self._client is None else len(self._client)

    def alone(self, size: int) -> bool:
        """Whether a row of so many bytes was a batch of its own: one as large as a batch takes no other beside it."""
        return self._resting is not None or size >= self.widest or self.widest <= 1

    def release(self) -> None:
        """End the client now, not when Python finds it: alive, it asks for its topics, and makes deleted ones anew."""
        self._client = self._resting = None

    def remake(self, batch_size: int) -> None:
        """Only while nothing is out. What it raises leaves the client as it is."""
        self._client, self._resting = self._make(batch_size), None
        self.batch_size = self.widest = batch_size
        self.ready = False
        self.unled.renewed()

    def let_go(self) -> None:
        """Have another client send what is out, which is told as purged: this one would never send it.

        What is on its way may be written all the same, and come twice.
        """
        log.warning("%s. Another one sends the %d rows that are out", self.unled, self.held)
        self.flush(ACKNOWLEDGED_SECONDS)  # where the leader is who it was, they are written
        if self.held:
            self.client.purge()
            self.flush(ACKNOWLEDGED_SECONDS)
        if not self.held:
            self.remake(self.batch_size)

    def part(self) -> None:
        """Send each row alone, with a client that is made for it, until they join. As `remake`."""
        single = self._make(1)
        self._resting, self._client = self._client, single

    def join(self, refused: Collection[int]) -> None:
        """Rows share batches again. Only while nothing is out.

        refused: bytes of each partition's batch that was too large though none of its rows was. Less is handed over at
        once then: half of the most, which is never less than half of what its topic takes.
        """
        if refused:
            self.batch_size = max(min(self.batch_size, max(refused)) // 2, 1)
        if self._resting is not None:
            self._client, self._resting = self._resting, None

    def serve(self, seconds: float) -> None:
        """Take reports, waiting at most so long for the first. Raises what cannot pass by itself."""
        self._raising(lambda: self.client.poll(seconds))

    def flush(self, seconds: float) -> None:
        """Wait at most so long for all that is out."""
        self._raising(lambda: self.client.flush(seconds))

    def _raising(self, step: Callable[[], object]) -> None:
        if self.held:
            self._reminder.waiting(self.client)
        try:
            step()
        except KafkaException as error:
            self._watch.heard(error_of(error))
            self._watch.check()
            raise explained(error, "writing rows", self._watch.peer) from error

    def _make(self, batch_size: int) -> "Producer":
        more: dict[str, str | int | bool] = {"batch.size": batch_size}
        if not self._settings.create_topics:
            more["allow.auto.create.topics"] = False
        if not self._settings.report_each:
            more["delivery.report.only.error"] = True
        if self._settings.transactional_id is not None:
            more["transactional.id"] = self._settings.transactional_id
        return self._making.producer(self._terms.java, more, self._watch, Listening(self.unled))
