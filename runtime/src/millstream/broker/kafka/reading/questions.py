"""What a consumer asks the brokers, and how long it waits for an answer."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.client.failures import NEW, UNREACHABLE, Watch, error_of, explained
from millstream.broker.kafka.client.forgotten import introduce
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.topic_ids import TopicIds
from millstream.lifecycle import Clock, StopToken
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

T = TypeVar("T")

AGAIN_SECONDS = 0.02


class Questions:
    """What a consumer asks the brokers. seconds: how long an answer may take (`default.api.timeout.ms`)."""

    def __init__(self, client: "Consumer", watch: Watch, seconds: float, clock: Clock, ids: TopicIds) -> None:
        self.ids = ids
        self._client = client
        self._watch = watch
        self._seconds = seconds
        self._clock = clock
        self._rest = StopToken()  # never set: to wait on

    @property
    def peer(self) -> Peer:
        return self._watch.peer

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: at.offset for partition, at in self._committed(partitions).items()}

    def dealt_out(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The same of those that this member is given now: which topic each position is in is noted."""
        found = self._committed(partitions)
        for partition in partitions:
            self.ids.came(partition, found[partition].metadata if partition in found else None)
        return {partition: at.offset for partition, at in found.items()}

    def _committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, At]:
        wanted = [At(*partition) for partition in partitions]
        if not wanted:
            return {}
        found = self._asked("reading committed positions", lambda: self._client.committed(wanted, self._seconds))
        for at in found:
            if at.error is not None:
                raise explained(
                    at.error, f"reading the committed position of {at.topic}-{at.partition}", self._watch.peer, at.topic
                )
        return {TopicPartition(at.topic, at.partition): at for at in found if at.offset >= 0}

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """The first offset there is, and the one that the next row will get."""
        at = At(*partition)
        doing = f"reading the offsets of {partition.topic}-{partition.partition}"
        return self._asked(doing, lambda: self._client.get_watermark_offsets(at, self._seconds, False))

    def _asked(self, doing: str, question: Callable[[], T | None]) -> T:
        """Ask, again while a topic or group is so new that its brokers do not know it."""
        deadline = self._clock.monotonic() + self._seconds
        while True:
            try:
                answer = question()
            except KafkaException as error:
                if error_of(error).code() in UNREACHABLE:
                    introduce(self._client, self._watch.peer.servers)
                self._watch.check()
                if error_of(error).code() not in NEW or self._clock.monotonic() >= deadline:
                    raise explained(error, doing, self._watch.peer) from error
            else:
                if answer is None:
                    raise self._watch.unreachable(doing)
                return answer
            self._rest.wait(AGAIN_SECONDS)
