"""What the brokers answer about a group, partition by partition."""

import gc
import weakref
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigSource

from millstream.broker.kafka.admin import KafkaAdmin
from millstream.broker.kafka.broker import KafkaBroker
from millstream.broker.kafka.client.failures import Watch
from millstream.broker.ports import AdminSettings, NewTopic
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition

PARTITION = TopicPartition("t", 0)
NEW = KafkaError(KafkaError.NOT_COORDINATOR, "not coordinator")
GROWN = KafkaError(KafkaError.UNKNOWN_LEADER_EPOCH, "the leader's epoch is newer than mine")
ENDED = KafkaError(KafkaError._TRANSPORT, "disconnected")
FORBIDDEN = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "no")


class Client:
    """Answers about `t-0` with one error after the other, then with its offset."""

    def __init__(self, *errors: KafkaError, of_ends: tuple[KafkaError, ...] = ()) -> None:
        self.errors = list(errors)
        self.of_ends = list(of_ends)
        self.offset = 7

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics={"t": SimpleNamespace(error=None, partitions={0: None})})

    def list_offsets(self, wanted: Any, isolation_level: Any) -> Any:
        error = self.of_ends.pop(0) if self.of_ends else None
        return {at: _failed(error) if error else _told(SimpleNamespace(offset=20)) for at in wanted}

    def list_consumer_group_offsets(self, asked: Any) -> Any:
        return {"g": self._answer()}

    def alter_consumer_group_offsets(self, asked: Any) -> Any:
        if not self.errors:
            self.offset = asked[0].topic_partitions[0].offset
        return {"g": self._answer()}

    def poll(self, seconds: float) -> int:
        return 0

    def _answer(self) -> Any:
        error = self.errors.pop(0) if self.errors else None
        at = SimpleNamespace(topic="t", partition=0, offset=-1001 if error else self.offset, error=error)
        return _told(SimpleNamespace(topic_partitions=[at]))


class Deleting:
    def __init__(self, *errors: KafkaError) -> None:
        self.errors = list(errors)
        self.asked = 0

    def delete_consumer_groups(self, groups: list[str]) -> Any:
        self.asked += 1
        return {groups[0]: _failed(self.errors.pop(0)) if self.errors else _told(None)}

    def poll(self, seconds: float) -> int:
        return 0


def _told(answer: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(answer)
    return future


def _failed(error: KafkaError) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(KafkaException(error))
    return future


def admin_of(client: Any) -> KafkaAdmin:
    admin = KafkaAdmin(client, Watch("a", "127.0.0.1:1"), 10.0, ManualClock())
    admin._rest = ManualClock()  # type: ignore[assignment]  # does not wait
    return admin


def test_a_coordinator_that_is_new_is_asked_again() -> None:
    client = Client(NEW, NEW)
    admin_of(client).alter_group_offsets("g", {PARTITION: 3})
    assert client.offset == 3
    assert admin_of(Client(NEW)).group_offsets("g") == {PARTITION: 7}


def test_a_question_about_a_group_is_asked_again_when_its_connection_ends_under_it() -> None:
    """As with a broker that is killed at that moment, and comes back."""
    assert admin_of(Client(ENDED, ENDED)).group_offsets("g") == {PARTITION: 7}
    client = Client(ENDED)
    admin_of(client).alter_group_offsets("g", {PARTITION: 3})
    assert client.offset == 3
    deleted = Deleting(ENDED)
    admin_of(deleted).delete_group("g")
    assert deleted.asked == 2


def test_a_question_about_a_group_is_asked_again_no_longer_than_the_setting_says() -> None:
    clock = ManualClock()
    admin = KafkaAdmin(Client(*[ENDED] * 2_000), Watch("a", "broker:9092"), 10.0, clock)  # type: ignore[arg-type]
    admin._rest = clock  # type: ignore[assignment]  # waiting moves the clock
    with pytest.raises(BrokerError, match=r"of group 'g': bootstrap\.servers broker:9092 cannot be reached") as caught:
        admin.group_offsets("g")
    assert caught.value.retriable
    assert 10.0 <= clock.monotonic() < 11.0


def test_a_partition_whose_leaders_change_is_asked_again_for_its_end() -> None:
    assert admin_of(Client(of_ends=(GROWN, GROWN))).end_offsets([PARTITION]) == {PARTITION: 20}


def test_an_error_about_one_partition_is_not_taken_for_a_position_that_is_not_there() -> None:
    with pytest.raises(BrokerError, match="reading the positions of group 'g': not authorized"):
        admin_of(Client(FORBIDDEN)).group_offsets("g")
    with pytest.raises(BrokerError, match="setting positions of group 'g': not authorized"):
        admin_of(Client(FORBIDDEN)).alter_group_offsets("g", {PARTITION: 3})


def test_positions_that_cannot_be_moved_under_members_of_another_worker_are_told_with_what_to_do() -> None:
    unknown = KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "Broker: Unknown member")
    with pytest.raises(BrokerError, match=r"Unknown member; it has members: .* same name in another worker"):
        admin_of(Client(unknown)).alter_group_offsets("g", {PARTITION: 3})
    with pytest.raises(BrokerError, match=r"deleting group 'g': .*consumer\.override\.group\.id"):
        admin_of(Deleting(KafkaError(KafkaError.NON_EMPTY_GROUP, "not empty"))).delete_group("g")


class Silent:
    """Its brokers are so slow that even librdkafka's own time limit comes too late."""

    def describe_configs(self, wanted: Any, request_timeout: float) -> Any:
        return {resource: Future() for resource in wanted}


def test_an_answer_that_does_not_come_is_a_broker_that_cannot_be_reached() -> None:
    admin = KafkaAdmin(Silent(), Watch("a", "broker:9092"), 0.01, ManualClock())  # type: ignore[arg-type]
    with pytest.raises(BrokerError, match=r"describing topics: bootstrap\.servers broker:9092 cannot be") as told:
        admin._configs(["t"])
    assert told.value.retriable


def test_a_limit_that_nobody_says_is_not_known() -> None:
    assert KafkaAdmin(Silent(), Watch("a", "b:1"), 0.01, ManualClock()).limit("t") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (NewTopic(""), "cannot create the topic '': it has no name; change the setting that names it"),
        (NewTopic("t", 100_001), "creating topic 't' with 100001 partitions: "),
    ],
)
def test_a_topic_that_librdkafka_cannot_ask_for_is_refused_before_any_broker_is_asked(new: NewTopic, said: str) -> None:
    error = admin_of(AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})).create_topics([new])[new.name]
    assert isinstance(error, BrokerError)
    assert str(error).startswith(said)


class Describing(Client):
    """Two topics; the settings of "t" are not for everybody."""

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics={name: SimpleNamespace(error=None, partitions={0: None}) for name in "tu"})

    def describe_configs(self, wanted: Any, request_timeout: float) -> Any:
        entry = SimpleNamespace(value="compact", source=ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
        hidden = _failed(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no"))
        return {each: hidden if each.name == "t" else _told({"cleanup.policy": entry}) for each in wanted}


def test_topics_whose_settings_the_user_may_not_know_are_described_without_them() -> None:
    admin = KafkaAdmin(Describing(), Watch("a", "broker:9092"), 60.0, ManualClock())  # type: ignore[arg-type]
    found = admin.topics()
    assert {name: dict(one.config) for name, one in found.items()} == {"t": {}, "u": {"cleanup.policy": "compact"}}
    assert [one.partitions for one in found.values()] == [1, 1]


class Distrusting:
    """Its certificates were read when those of the brokers were others."""

    def list_topics(self, timeout: float) -> Any:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "certificate verify failed"))

    def poll(self, seconds: float) -> int:
        return 0


def test_a_client_that_was_refused_for_good_is_not_asked_again_but_another_that_is_made_anew() -> None:
    refused, taken = Watch("a", "127.0.0.1:1"), Watch("a", "127.0.0.1:1")
    made: list[Any] = []

    def renew() -> Any:
        made.append(Client())
        return made[-1], taken

    first: Any = Distrusting()
    admin = KafkaAdmin(first, refused, 10.0, ManualClock(), renew)
    with pytest.raises(BrokerError, match="cannot be reached"):
        admin.names()
    assert made == []
    refused.heard(KafkaError(KafkaError._AUTHENTICATION, "no such user"))
    with pytest.raises(BrokerError, match=r"logging in to .* failed"):
        refused.check()
    assert admin.names() == {"t"}
    assert admin.names() == {"t"}
    assert len(made) == 1


def test_a_client_that_was_refused_for_good_ends_when_nobody_has_it_any_more() -> None:
    """It has threads and connections: they do not wait for Python to look for cycles."""
    watch = Watch("a", "127.0.0.1:1")
    client: Any = Distrusting()
    client.hears = watch.heard  # as librdkafka's
    watch.heard(KafkaError(KafkaError._AUTHENTICATION, "no such user"))
    admin = KafkaAdmin(client, watch, 10.0, ManualClock())
    with pytest.raises(BrokerError, match=r"logging in to .* failed"):
        admin.names()
    left = weakref.ref(client)
    gc.disable()
    try:
        del admin, client, watch
        assert left() is None
    finally:
        gc.enable()


def test_brokers_have_one_admin_client_for_equal_settings_and_another_once_that_was_refused_for_good() -> None:
    broker = KafkaBroker("127.0.0.1:1", {})
    first, second = (broker.admin(AdminSettings("a")) for _ in range(2))
    assert first._client is second._client
    first._watch.heard(KafkaError(KafkaError._AUTHENTICATION, "no such user"))
    third = broker.admin(AdminSettings("a"))
    assert third._client is not first._client
    assert not third._watch.hopeless
    broker.close()
