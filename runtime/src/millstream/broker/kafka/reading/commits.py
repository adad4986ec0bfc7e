"""The part of a consumer that speaks for its group."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.client.failures import PASSING, UNKNOWN, error_of, explained
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.gone import Gone
from millstream.broker.kafka.reading.questions import Questions
from millstream.errors import BrokerError, IllegalStateError, UnknownTopicError
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

log = logging.getLogger(__name__)

Done = Callable[[Exception | None], None]
Asked = frozenset[tuple[str, int, int]]
DOING = "committing positions"
ANSWER_SECONDS = 1.0


class Commits:
    """Commits under way, each with what it asked for: an answer repeats that, and may come out of turn."""

    def __init__(self, gone: Gone, peer: Peer) -> None:
        self._gone = gone
        self._peer = peer
        self._waiting: list[tuple[Asked, Done | None]] = []

    def asked(self, offsets: Mapping[TopicPartition, int], done: Done | None) -> None:
        self._waiting.append((frozenset((*partition, offset) for partition, offset in offsets.items()), done))

    def answered(self, error: KafkaError | None, offsets: Sequence[At]) -> None:
        answer = frozenset((at.topic, at.partition, at.offset) for at in offsets)
        place = next((place for place, (asked, _) in enumerate(self._waiting) if asked == answer), None)
        if place is None:
            log.debug("an answer to a commit that nobody waits for: %r", answer)
            return
        _, done = self._waiting.pop(place)
        for at in offsets:
            self.heard(at.error or error, at.topic)
        if done is not None:
            refused = next((at for at in offsets if at.error is not None), None)
            topic, first = (None, error) if refused is None else (refused.topic, error or refused.error)
            done(None if first is None else explained(first, DOING, self._peer, topic))

    def heard(self, error: KafkaError | None, topic: str) -> None:
        if error is not None and error.code() in UNKNOWN:
            self._gone.noticed(topic)

    def give_up(self, group: str) -> None:
        while self._waiting:
            _, done = self._waiting.pop(0)
            if done is not None:
                done(BrokerError(f"the consumer of group {group!r} was closed before its commit was answered"))


class Committing:
    """group None: it has no positions to commit."""

    def __init__(
        self, client: "Consumer", group: str | None, commits: Commits, questions: Questions, gone: Gone
    ) -> None:
        self._gone = gone
        self._client = client
        self._group = group
        self._commits = commits
        self._questions = questions
        self._ever: set[TopicPartition] = set()  # of which a position was committed

    def commit(self, offsets: Mapping[TopicPartition, int], done: Done | None = None) -> None:
        self._need_group()
        possible = self._gone.left(offsets)
        if not possible:
            raise _of_gone(offsets)
        try:
            self._client.commit(offsets=self._ats(possible), asynchronous=True)
        except KafkaException as error:
            raise explained(error, DOING, self._questions.peer) from error
        self._ever.update(possible)
        if done is not None and len(possible) < len(offsets):
            done = _in_part(done, _of_gone(offsets.keys() - possible.keys()))
        self._commits.asked(possible, done)

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._need_group()
        possible = self._gone.left(offsets)
        if possible:
            self._commit_now(possible)
        if len(possible) < len(offsets):
            raise _of_gone(offsets.keys() - possible.keys())

    def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._need_group()
        return self._questions.committed(partitions)

    def still_has(self, partitions: Collection[TopicPartition]) -> bool:
        """Whether the group says so: only a member may commit, so that what is committed is committed once more.

        Of partitions without a committed position, or of topics that are gone, nobody can be asked: they count as had.
        """
        if not partitions:
            return True
        try:
            found = self._client.committed([At(*partition) for partition in partitions], ANSWER_SECONDS)
            known = {TopicPartition(at.topic, at.partition): at for at in found if at.error is None and at.offset >= 0}
            again = [at for at in known.values() if not self._gone.has(at.topic)]  # with what was committed with them
            answers = self._client.commit(offsets=again, asynchronous=False) if again else ()
        except KafkaException as error:
            log.debug("whether this is a member yet: %s", error)
            return error_of(error).code() not in PASSING
        return not any(at.error is not None and at.error.code() in PASSING for at in (*found, *(answers or ())))

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {partition: self._questions.bounds(partition)[1] for partition in partitions}

    def _commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            answers = self._client.commit(offsets=self._ats(offsets), asynchronous=False)
        except KafkaException as error:
            raise explained(error, DOING, self._questions.peer) from error
        self._ever.update(offsets)
        for at in answers or ():
            if at.error is not None:
                self._commits.heard(at.error, at.topic)
                doing = f"committing the position of {at.topic}-{at.partition}"
                raise explained(at.error, doing, self._questions.peer, at.topic)

    def _commit_anew(self, partitions: Iterable[TopicPartition]) -> None:
        """They begin anew: a position in the former ones may have come to the brokers when these were there already."""
        first = dict.fromkeys(self._ever.intersection(partitions), 0)
        if not first:
            return

        def answered(error: Exception | None) -> None:
            if error is not None and not isinstance(error, UnknownTopicError):  # it has fewer partitions than before
                log.warning("The positions of the former topic may be committed yet: %s", error)

        try:
            self.commit(first, answered)
        except BrokerError as error:
            answered(error)

    def _ats(self, offsets: Mapping[TopicPartition, int]) -> list[At]:
        written = self._questions.ids.written
        return [At(*partition, offset, written(partition)) for partition, offset in offsets.items()]

    def _need_group(self) -> None:
        if self._group is None:
            raise IllegalStateError("a consumer without a group has no committed positions")


def _of_gone(partitions: Iterable[TopicPartition]) -> UnknownTopicError:
    topics = ", ".join(sorted({partition.topic for partition in partitions}))
    return UnknownTopicError(f"{DOING}: of {topics}: deleted, and made anew or not yet; not committed")


def _in_part(done: Done, left: UnknownTopicError) -> Done:
    return lambda error: done(error or left)
