"""Topics and groups of a Kafka cluster."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no __all__
    ConfigResource,
    ConfigSource,
    OffsetSpec,
    ResourceType,
)
from confluent_kafka.admin import NewTopic as Wanted  # type: ignore[attr-defined]  # as above

from millstream.broker.kafka.client.contact import Patience, unanswered
from millstream.broker.kafka.client.failures import NEW, UNKNOWN, UNREACHABLE, Watch, error_of, explained
from millstream.broker.kafka.client.forgotten import introduce
from millstream.broker.ports import NewTopic, TopicDescription
from millstream.errors import BrokerError, ConflictError, UnknownTopicError
from millstream.lifecycle import Clock, StopToken
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin import AdminClient

T = TypeVar("T")

VISIBLE_SECONDS = 5.0
AGAIN_SECONDS = 0.02
CUT = NEW | {KafkaError._TRANSPORT}
"""Of a question that a connection ended under, too: librdkafka asks again by itself only while none is there."""
HAS_MEMBERS = frozenset(
    {KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.GROUP_SUBSCRIBED_TO_TOPIC}
)
"""What brokers answer who would move positions under the members of a group."""
OTHERS = (
    "it has members: tasks that are not stopped yet, or those of a connector with the same name in another worker; "
    "stop that, too, or give this one a group of its own (consumer.override.group.id)"
)
ABSENT = frozenset({KafkaError.GROUP_ID_NOT_FOUND, *UNKNOWN})


class Asking:
    """seconds: how long a question may take (`default.api.timeout.ms`).

    renew: gives another client in place of one that was refused for good, with the watch of it: certificates are read
    when a client is made, and logins may be right again.
    """

    def __init__(
        self,
        client: "AdminClient",
        watch: Watch,
        seconds: float,
        clock: Clock,
        renew: "Callable[[], tuple[AdminClient, Watch]] | None" = None,
    ) -> None:
        self._client = client
        self._watch = watch
        self._renew = renew
        self._seconds = seconds
        self._clock = clock
        self._rest = StopToken()  # never set: to wait on

    def _asked(self, doing: str, question: Callable[[], T], topic: str | None = None, again: frozenset[int] = NEW) -> T:
        """Ask, again while a topic is so new that its brokers do not know it.

        topic: what rights may lack for.   again: answers behind which a question can be asked once more.
        """
        deadline = self._clock.monotonic() + self._seconds
        if self._renew is not None and self._watch.hopeless:
            self._client, self._watch = self._renew()
        while True:
            try:
                answer = question()
            except KafkaException as error:
                self._client.poll(0)  # what is wrong with the connection is told there
                if error_of(error).code() in UNREACHABLE:
                    introduce(self._client, self._watch.peer.servers)
                self._watch.check()
                code = error_of(error).code()
                if code not in again or self._clock.monotonic() >= deadline:
                    raise self._why(error, doing, topic) from error
            except TimeoutError as error:  # of the future: librdkafka's own limit came later still
                self._watch.check()
                raise self._unreachable(doing) from error
            else:
                self._watch.met = True
                return answer
            self._rest.wait(AGAIN_SECONDS)

    def _why(self, error: KafkaException, doing: str, topic: str | None) -> Exception:
        inner = error_of(error)
        if inner.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return ConflictError(f"{doing}: it already exists")
        if inner.code() in ABSENT:
            return UnknownTopicError(f"{doing}: {inner.str()}")
        if inner.code() in UNREACHABLE:
            return self._unreachable(doing)
        if inner.code() in HAS_MEMBERS:
            return BrokerError(f"{doing}: {inner.str()}; {OTHERS}")
        return explained(error, doing, self._watch.peer, topic)

    def _unreachable(self, doing: str) -> BrokerError:
        """Final where brokers of this address have never answered anybody: it may be a wrong one."""
        peer = self._watch.peer
        if self._watch.met or not peer.apart:
            return self._watch.unreachable(doing)
        patience = Patience(self._seconds, peer.setting("default.api.timeout.ms"))
        return BrokerError(f"{doing}: {unanswered(self._watch, patience)}")


class Topics(Asking):
    """Topics, and where they begin and end."""

    def names(self) -> frozenset[str]:
        found = self._asked("listing topics", lambda: self._client.list_topics(timeout=self._seconds))
        return frozenset(name for name, topic in found.topics.items() if topic.error is None)

    def topics(self, names: Collection[str] | None = None) -> Mapping[str, TopicDescription]:
        found = self._asked("listing topics", lambda: self._client.list_topics(timeout=self._seconds))
        there = {
            name: len(topic.partitions)
            for name, topic in found.topics.items()
            if topic.error is None and (names is None or name in names)
        }
        configs = self._configs(there)
        return {
            name: TopicDescription(
                name,
                partitions,
                {key: entry.value for key, entry in configs[name].items() if entry.source == _SET and entry.value},
            )
            for name, partitions in there.items()
        }

    def limit(self, topic: str) -> int | None:
        """Its max.message.bytes; None when this user may not know."""
        try:
            return int(self._configs([topic])[topic]["max.message.bytes"].value)
        except (BrokerError, KeyError):
            return None

    def create_topics(self, topics: Iterable[NewTopic]) -> Mapping[str, Exception | None]:
        outcomes: dict[str, Exception | None] = {}
        for new in topics:
            outcomes[new.name] = self._create(new)
        self._await({name for name, error in outcomes.items() if error is None})
        return outcomes

    def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # no annotations

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # no annotations

    def cluster_id(self) -> str:
        found = self._asked("reading the cluster id", lambda: self._client.list_topics(timeout=self._seconds))
        return found.cluster_id or ""

    def _create(self, new: NewTopic) -> Exception | None:
        if not new.name:
            return BrokerError("cannot create the topic '': it has no name; change the setting that names it")
        wanted = Wanted(new.name, new.partitions, new.replication, config=dict(new.config))
        try:
            future = self._client.create_topics([wanted], operation_timeout=self._seconds)[new.name]
            self._asked(f"creating topic {new.name!r}", lambda: (future.result(self._seconds),), new.name)
        except ConflictError as error:
            return error
        except BrokerError as error:
            return error
        except ValueError as error:  # such as more partitions than librdkafka has numbers for
            return BrokerError(f"creating topic {new.name!r} with {new.partitions} partitions: {error}")
        except KafkaException as error:
            return explained(error, f"creating topic {new.name!r}", self._watch.peer, new.name)
        return None

    def _await(self, names: set[str]) -> None:
        """Brokers learn of a new topic a little later than the controller."""
        deadline = self._clock.monotonic() + VISIBLE_SECONDS
        while names and not names <= self.names() and self._clock.monotonic() < deadline:
            self._rest.wait(AGAIN_SECONDS)

    def _configs(self, topics: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        wanted = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        if not wanted:
            return {}

        def ask() -> Mapping[str, Mapping[str, Any]]:
            futures = self._client.describe_configs(wanted, request_timeout=self._seconds)
            return {resource.name: self._config(future) for resource, future in futures.items()}

        return self._asked("describing topics", ask)

    def _config(self, answer: "Future[Mapping[str, Any]]") -> Mapping[str, Any]:
        """Nothing where this user may not know: DescribeConfigs is another right than those to read and to write."""
        try:
            return answer.result(self._seconds)
        except KafkaException as error:
            if error_of(error).code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
            return {}

    def _offsets(self, partitions: Iterable[TopicPartition], spec: OffsetSpec) -> Mapping[TopicPartition, int]:
        wanted = list(partitions)
        if not wanted:
            return {}
        known = self._asked("listing topics", lambda: self._client.list_topics(timeout=self._seconds)).topics
        for topic, partition in wanted:
            if topic not in known or known[topic].error is not None:
                raise UnknownTopicError(f"topic {topic!r} does not exist")
            if partition not in known[topic].partitions:
                raise UnknownTopicError(f"topic {topic!r} has no partition {partition}")

        def ask() -> dict[TopicPartition, int]:
            futures = self._client.list_offsets(
                {At(*partition): spec for partition in wanted}, isolation_level=IsolationLevel.READ_COMMITTED
            )
            return {
                TopicPartition(at.topic, at.partition): one.result(self._seconds).offset for at, one in futures.items()
            }

        return self._asked("reading offsets", ask)


class KafkaAdmin(Topics):
    """Groups, too."""

    def group_offsets(self, group: str) -> Mapping[TopicPartition, int]:
        def ask() -> Any:
            future = self._client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
            return _each(next(iter(future.values())).result(self._seconds).topic_partitions)

        try:
            found = self._asked(f"reading the positions of group {group!r}", ask, again=CUT)
        except UnknownTopicError:
            return {}
        return {TopicPartition(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets:
            return
        for partition, offset in offsets.items():
            if offset < 0:
                raise BrokerError(f"offset {offset} for {partition.topic}-{partition.partition} is negative")
        self.end_offsets(offsets)  # raises for one that does not exist
        wanted = ConsumerGroupTopicPartitions(group, [At(p.topic, p.partition, at) for p, at in offsets.items()])

        def ask() -> Any:
            future = self._client.alter_consumer_group_offsets([wanted])
            return _each(next(iter(future.values())).result(self._seconds).topic_partitions)

        self._asked(f"setting positions of group {group!r}", ask, again=CUT)

    def delete_group_offsets(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        """librdkafka's binding cannot delete some: the group, which has no members, is made anew without them."""
        gone = set(partitions)
        if not gone:
            return
        before = self.group_offsets(group)
        kept = {partition: offset for partition, offset in before.items() if partition not in gone}
        if len(kept) < len(before):
            self.delete_group(group)
            self.alter_group_offsets(group, kept)

    def delete_group(self, group: str) -> None:
        def ask() -> Any:
            return self._client.delete_consumer_groups([group])[group].result(self._seconds)

        try:
            self._asked(f"deleting group {group!r}", ask, again=CUT)
        except UnknownTopicError:
            return

    def close(self) -> None:
        """The client is the broker's, and shared."""


def _each(ats: Sequence[At]) -> Sequence[At]:
    """The answer, when no partition in it is an error: a new coordinator tells of itself there."""
    for at in ats:
        if at.error is not None:
            raise KafkaException(at.error)
    return ats


_SET = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
