"""What a Kafka producer does when its client fails at the wrong moment, on a client that does so when told to."""

import gc
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.broker.kafka.failures import Watch
from millstream.broker.kafka.flight import BY_KEY
from millstream.broker.kafka.making import Making
from millstream.broker.kafka.producer import KafkaProducer
from millstream.broker.kafka.topics import Topics, Waiting
from millstream.broker.ports import Delivered, Outgoing, ProducerSettings
from millstream.errors import (
    BrokerError,
    ConfigError,
    FencedError,
    IllegalStateError,
    RecordTooLargeError,
    UnknownTopicError,
)
from millstream.lifecycle import ManualClock

ODD = KafkaError(KafkaError.INVALID_RECORD, "invalid")
LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")
UNKNOWN = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown")
LEADERLESS = KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "no leader")
SECONDS = 20.0  # for what another thread does at once


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

    def __init__(self, cluster: "Cluster", settings: Mapping[str, Any]) -> None:
        self.cluster = cluster
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
        return SimpleNamespace(topics={name: SimpleNamespace(error=error, partitions={0: None, 1: None, 2: None})})

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

    def producer(self, java: Mapping[str, str], more: Mapping[str, Any], watch: Watch) -> Any:
        for step in self._cluster.made:
            step()
        self._cluster.clients.append(Client(self._cluster, more))
        return self._cluster.clients[-1]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def producer_on(cluster: Cluster, transactional_id: str | None = None, **overrides: str) -> KafkaProducer:
    named = {name.replace("_", "."): text for name, text in overrides.items()}
    settings = ProducerSettings("test", transactional_id=transactional_id, overrides=named)
    watch = Watch("test", "127.0.0.1:1")
    topics = Topics(watch, cluster.clock, cluster.limits.get, Waiting(300.0, 10.0))
    topics._rest = cluster.clock  # type: ignore[assignment]  # waiting moves the clock
    producer = KafkaProducer(Faking(cluster), settings, topics, watch, cluster.clock)
    producer._rest = cluster.clock  # type: ignore[assignment]  # as above
    return producer


def test_rows_of_a_refused_batch_are_not_taken_for_written_when_no_other_client_can_be_made(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    producer.send(Outgoing("t", [b"a", b"xx", b"b"]), told.append)

    def fails() -> None:
        raise ConfigError({"producer client": "no thread is left"})

    cluster.made.append(fails)
    for _ in range(3):
        with pytest.raises(ConfigError):
            producer.poll()
    assert told == []
    cluster.made.clear()
    assert producer.flush(1.0) == 0
    (one,) = told
    assert list(one.failures) == [1]
    assert cluster.values == [b"a", b"b"]
    assert len(cluster.clients) == 2


def test_rows_that_were_to_be_sent_again_are_told_as_failed_when_the_producer_is_closed(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    producer.send(Outgoing("t", [b"a", b"xx"]), told.append)

    def fails() -> None:
        raise ConfigError({"producer client": "no thread is left"})

    cluster.made.append(fails)
    with pytest.raises(ConfigError):
        producer.close(1.0)
    (one,) = told
    assert {row: str(error) for row, error in one.failures.items()} == dict.fromkeys(
        (0, 1), "the producer was closed before this was written"
    )
    assert not any(error.skippable for error in one.failures.values())  # type: ignore[attr-defined]  # BrokerErrors


def test_a_row_that_is_refused_at_once_when_it_is_sent_again_does_not_hold_up_the_others(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    producer.send(Outgoing("t", [b"a", b"xx", b"b"]), told.append)
    producer._sending.line.client.poll(0)
    cluster.at_once[b"a"] = KafkaError._FATAL
    assert producer.flush(1.0) == 0
    assert sorted(told[0].failures) == [0, 1]
    assert "refused at once" in str(told[0].failures[0])
    assert cluster.values == [b"b"]


def test_equal_rows_of_a_refused_batch_are_each_sent_again_once(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    producer.send(Outgoing("t", [b"a"] * 5 + [b"xx"], None, [0, 1, 0, 1, 0, 0]), told.append)
    assert producer.flush(1.0) == 0
    assert list(told[0].failures) == [5]
    assert cluster.written == [("t", partition, b"a") for partition in (0, 1, 0, 1, 0)]


@pytest.mark.parametrize(
    ("keys", "overrides"),
    [(None, {}), ([b"k1", b"k2", b"k3"], {"partitioner_ignore_keys": "true"})],
    ids=["without keys", "keys are ignored"],
)
def test_rows_that_are_sent_again_go_to_the_partition_they_were_for(
    cluster: Cluster, keys: Any, overrides: dict[str, str]
) -> None:
    producer, told = producer_on(cluster, **overrides), []
    producer.send(Outgoing("t", [b"a", b"xx", b"b"], keys), told.append)
    partition = cluster.clients[0].queue[0][0].number
    assert partition in (0, 1, 2)
    assert producer.flush(1.0) == 0
    assert cluster.written == [("t", partition, b"a"), ("t", partition, b"b")]


def test_a_batch_refused_for_one_of_its_rows_costs_one_client_and_the_first_one_goes_on(cluster: Cluster) -> None:
    producer, told = producer_on(cluster, batch_size="2000"), []
    for number in range(3):
        producer.send(Outgoing("t", [b"a", b"xx", b"b"]), told.append)
        assert producer.flush(1.0) == 0
        assert len(cluster.clients) == 2 + number
        assert producer._sending.line.client is cluster.clients[0]
    assert [list(one.failures) for one in told] == [[1]] * 3
    assert all(error.skippable for one in told for error in one.failures.values())  # type: ignore[attr-defined]
    assert cluster.values == [b"a", b"b"] * 3
    assert [client.batch_size for client in cluster.clients] == [2000, 1, 1, 1]


def test_a_batch_that_is_too_large_costs_one_client_and_those_that_follow_are_half_as_large(cluster: Cluster) -> None:
    """Of a topic whose limit nobody may know. The first client goes on, and is given less at once."""
    cluster.takes = 600
    producer, told = producer_on(cluster, batch_size="2000"), []
    rows: list[bytes | None] = [b"%099d" % number for number in range(18)]
    for _ in range(3):
        producer.send(Outgoing("t", rows), told.append)
        assert producer.flush(1.0) == 0
    assert [one.failures for one in told] == [{}] * 3
    assert cluster.values == rows * 3
    assert [client.batch_size for client in cluster.clients] == [2000, 1]
    assert producer._sending.line.client is cluster.clients[0]
    assert 300 < producer._sending.line.batch_size < 700


def test_a_row_as_large_as_a_batch_is_known_to_be_the_one_that_is_too_large(cluster: Cluster) -> None:
    cluster.takes = 5_000
    producer, told = producer_on(cluster, batch_size="2000"), []
    producer.send(Outgoing("t", [b"a", b"-" * 6_000, b"b"]), told.append)
    assert producer.flush(1.0) == 0
    (one,) = told
    assert {row: type(error) for row, error in one.failures.items()} == {1: RecordTooLargeError}
    assert cluster.values == [b"a", b"b"]
    assert len(cluster.clients) == 1


def test_a_row_that_is_too_large_is_found_among_others_that_are_not(cluster: Cluster) -> None:
    """Then batches need not become smaller."""
    cluster.takes = 600
    producer, told = producer_on(cluster, batch_size="2000"), []
    producer.send(Outgoing("t", [b"a", b"-" * 700, b"b"]), told.append)
    producer.send(Outgoing("t", [b"c"]), told.append)
    assert producer.flush(1.0) == 0
    assert [list(one.failures) for one in told] == [[1], []]
    assert isinstance(told[0].failures[1], RecordTooLargeError)
    assert cluster.values == [b"a", b"b", b"c"]
    assert [client.batch_size for client in cluster.clients] == [2000, 1]
    assert producer._sending.line.batch_size == 2000


def test_in_a_transaction_a_batch_of_unknown_limit_that_is_too_large_leaves_no_row_out(cluster: Cluster) -> None:
    """It is aborted, and goes out in smaller batches with the next."""
    cluster.takes = 1_200
    producer, told = producer_on(cluster, "id", batch_size="2000"), []
    rows: list[bytes | None] = [b"%099d" % number for number in range(18)]
    producer.begin()
    producer.send(Outgoing("t", rows), told.append)
    with pytest.raises(BrokerError, match="batches have to become smaller") as caught:
        producer.commit()
    assert caught.value.retriable
    assert not caught.value.skippable
    producer.abort()
    cluster.written.clear()
    assert [one.failures for one in transacted(producer, Outgoing("t", rows))] == [{}]
    assert cluster.values == rows
    assert [client.batch_size for client in cluster.clients] == [2000, 1000]


@pytest.mark.parametrize("answer", [UNKNOWN, LEADERLESS], ids=["absent", "without a leader"])
def test_a_topic_that_may_still_come_is_waited_for_and_no_row_is_refused(cluster: Cluster, answer: KafkaError) -> None:
    cluster.metadata["t"] = [answer]
    producer, told = producer_on(cluster), []
    for _ in range(3):
        began = cluster.clock.monotonic()
        with pytest.raises(BrokerError, match=r"topic 't' .* yet, and is waited for") as caught:
            producer.send(Outgoing("t", [b"a"]), told.append)
        assert caught.value.retriable
        assert cluster.clock.monotonic() - began < 2.0  # a stop is heard in between
    assert told == []
    cluster.metadata["t"] = [None]
    producer.send(Outgoing("t", [b"a"]), told.append)
    assert producer.flush(1.0) == 0
    assert [one.failures for one in told] == [{}]


def test_a_topic_that_has_no_leader_is_waited_for_for_ever(cluster: Cluster) -> None:
    cluster.metadata["t"] = [LEADERLESS]
    producer = producer_on(cluster)
    for _ in range(50):
        with pytest.raises(BrokerError) as caught:
            producer.send(Outgoing("t", [b"a"]), print)
        assert caught.value.retriable


def test_a_topic_that_does_not_come_in_time_is_the_producers_failure_and_not_a_rows(cluster: Cluster) -> None:
    cluster.metadata["t"] = [UNKNOWN]
    producer, told = producer_on(cluster), []

    def sent() -> None:
        while True:
            try:
                producer.send(Outgoing("t", [b"a"]), told.append)
            except BrokerError as error:
                if not error.retriable:
                    raise

    with pytest.raises(
        UnknownTopicError, match=r"topic 't' does not exist, also after 10 s \(max\.block\.ms\), and the"
    ):
        sent()
    assert 10.0 <= cluster.clock.monotonic() < 12.0
    assert told == []


def test_a_topic_with_an_illegal_name_is_refused_row_by_row(cluster: Cluster) -> None:
    cluster.metadata["?"] = [KafkaError(KafkaError.TOPIC_EXCEPTION, "illegal")]
    producer, told = producer_on(cluster), []
    producer.send(Outgoing("?", [b"a", b"b"]), told.append)
    assert [error.skippable for error in told[0].failures.values()] == [True, True]  # type: ignore[attr-defined]


def transacted(producer: KafkaProducer, *batches: Outgoing) -> list[Delivered]:
    told: list[Delivered] = []
    producer.begin()
    for batch in batches:
        producer.send(batch, told.append)
    producer.commit()
    return told


def test_no_other_client_is_made_inside_a_transaction_but_before_the_next(cluster: Cluster) -> None:
    cluster.limits = {"small": 5_000}
    producer = producer_on(cluster, "id")
    with pytest.raises(BrokerError, match="abort the transaction and begin another") as caught:
        transacted(producer, Outgoing("t", [b"a"]), Outgoing("small", [b"b"]))
    assert caught.value.retriable
    assert len(cluster.clients) == 1
    producer.abort()
    assert [one.failures for one in transacted(producer, Outgoing("t", [b"a"]), Outgoing("small", [b"b"]))] == [{}] * 2
    assert [client.calls for client in cluster.clients] == [["init", "begin", "abort"], ["init", "begin", "commit"]]
    assert cluster.clients[1].batch_size < 5_000


class Passing(KafkaError):
    """What librdkafka says may be asked again; only it can make such a one."""

    def retriable(self) -> bool:
        return True

    def txn_requires_abort(self) -> bool:
        return False


TIMED_OUT = Passing(KafkaError._TIMED_OUT, "no answer yet")


def test_a_commit_that_is_not_answered_is_asked_again(cluster: Cluster) -> None:
    producer = producer_on(cluster, "id")
    cluster.ends = [TIMED_OUT, TIMED_OUT, None]
    transacted(producer, Outgoing("t", [b"a"]))
    assert cluster.clients[0].calls == ["init", "begin", "commit", "commit", "commit"]
    transacted(producer, Outgoing("t", [b"b"]))


def test_an_abort_that_is_not_answered_is_asked_again_and_may_be_called_again(cluster: Cluster) -> None:
    producer = producer_on(cluster, "id", default_api_timeout_ms="20000")
    producer.begin()
    cluster.ends = [TIMED_OUT] * 6
    with pytest.raises(BrokerError, match="aborting a transaction") as caught:
        producer.abort()
    assert caught.value.retriable
    producer.abort()
    transacted(producer, Outgoing("t", [b"b"]))


def test_a_commit_of_unknown_outcome_can_be_neither_aborted_nor_taken_for_failed(cluster: Cluster) -> None:
    producer = producer_on(cluster, "id", default_api_timeout_ms="20000")
    producer.begin()
    producer.send(Outgoing("t", [b"a"]), lambda delivered: None)
    cluster.ends = [TIMED_OUT] * 6
    for step in (producer.commit, producer.abort):
        with pytest.raises(BrokerError, match="whether the transaction is committed is not known") as caught:
            step()
        assert not caught.value.retriable
    assert "abort" not in cluster.clients[0].calls
    producer.commit()  # asked again, it may be answered
    transacted(producer, Outgoing("t", [b"b"]))


def test_a_fenced_producer_is_told_so_at_once(cluster: Cluster) -> None:
    producer = producer_on(cluster, "id")
    producer.begin()
    cluster.ends = [KafkaError(KafkaError._FENCED, "fenced")]
    with pytest.raises(FencedError, match="committing a transaction: a newer incarnation of this producer has taken"):
        producer.commit()


def test_calls_that_the_order_of_a_transaction_does_not_allow_are_refused(cluster: Cluster) -> None:
    with pytest.raises(IllegalStateError, match="the producer 'test' has no transactional id"):
        producer_on(cluster).begin()
    with pytest.raises(IllegalStateError, match="the transactional producer 'test' sends between begin and commit"):
        producer_on(cluster, "id").send(Outgoing("t", [b"a"]), lambda delivered: None)


AWAY = r"bootstrap\.servers 127\.0\.0\.1:1 cannot be reached"


def test_a_commit_whose_rows_nobody_takes_says_who_cannot_be_reached(cluster: Cluster) -> None:
    producer = producer_on(cluster, "id")
    producer.begin()
    producer.send(Outgoing("t", [b"a"]), lambda delivered: None)
    cluster.away = True
    with pytest.raises(BrokerError, match=f"committing a transaction: {AWAY}") as caught:
        producer.commit()
    assert caught.value.retriable
    producer.close(0.0)


def test_smaller_batches_wait_for_rows_that_are_out_and_say_who_cannot_be_reached(cluster: Cluster) -> None:
    producer = producer_on(cluster)
    cluster.limits["small"] = 10_000
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), lambda delivered: None)
    with pytest.raises(BrokerError, match=f"making batches smaller once the rows that are out are written: {AWAY}"):
        producer.send(Outgoing("small", [b"b"]), lambda delivered: None)
    producer.close(0.0)


def test_a_producer_that_is_closed_ends_its_client_at_once(cluster: Cluster) -> None:
    """A client that lives until the collector finds it goes on asking for its topics, which makes deleted ones anew."""
    producer = producer_on(cluster)
    producer.send(Outgoing("t", [b"a"]), lambda delivered: None)
    client = weakref.ref(cluster.clients.pop())
    gc.disable()
    try:
        producer.close(1.0)
        deadline = time.monotonic() + SECONDS
        while client() is not None:  # the thread that warmed it up may still have it
            assert time.monotonic() < deadline
    finally:
        gc.enable()
    assert producer.flush(1.0) == 0
    with pytest.raises(IllegalStateError, match="is closed"):
        producer.partitions("t")


def test_a_broken_client_fails_the_producer_and_no_row_may_be_left_out_for_it(cluster: Cluster) -> None:
    """As after OUT_OF_ORDER_SEQUENCE_NUMBER: librdkafka writes nothing more, and refuses what it still has."""
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"b"]), told.append)
    producer._watch.heard(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "out of order", True))
    for step in (producer.poll, lambda: producer.send(Outgoing("t", [b"c"]), told.append)):
        with pytest.raises(BrokerError, match="the client 'test' can no longer be used: out of order") as caught:
            step()
        assert not caught.value.retriable
    assert told == []
    producer.close(0.0)
    assert [sorted(one.failures) for one in told] == [[0, 1]]
    assert not any(error.skippable for error in told[0].failures.values())


def test_reports_that_do_not_come_at_the_end_are_not_waited_for_for_ever(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    cluster.clients[0].purge = lambda: None  # type: ignore[method-assign]  # and nothing is told of it
    producer.close(0.0)
    assert [str(one.failures[0]) for one in told] == ["the producer was closed before this was written"]


GONE = KafkaError(KafkaError._DESTROY, "Local: Broker handle destroyed for termination")


def lose_partitions(cluster: Cluster) -> None:
    """All that waits is refused for its partition, as when its topic is made anew with fewer."""
    client = cluster.clients[-1]
    waiting, client.queue = client.queue, deque()
    for message, report in waiting:
        report(GONE, message)


def test_rows_whose_partition_is_gone_go_to_another_and_none_is_told_before(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"a", b"b"]), told.append)
    lose_partitions(cluster)
    assert told == []
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert [delivered.failures for delivered in told] == [{}]
    assert cluster.written == [("t", BY_KEY, value) for value in (b"a", b"a", b"b")]
    assert caplog.text.count("topic 't' was deleted and made anew with fewer partitions: rows that waited") == 1


def test_that_rows_are_astray_is_said_once_for_each_time_that_a_topic_is_made_anew(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer, told = producer_on(cluster), []
    for number, seconds in enumerate((1.0, 30.0, 30.0, 60.0)):
        cluster.away = True
        producer.send(Outgoing("t", [b"%d" % number]), told.append)
        lose_partitions(cluster)
        cluster.away = False
        assert producer.flush(1.0) == 0
        assert caplog.text.count("was deleted and made anew") == 1
        cluster.clock.advance(seconds)
    cluster.at_once = {b"late": KafkaError._UNKNOWN_PARTITION}
    producer.send(Outgoing("t", [b"late"]), told.append)
    assert producer.flush(1.0) == 0
    assert caplog.text.count("was deleted and made anew") == 2
    assert [delivered.failures for delivered in told] == [{}] * 5


def test_rows_that_librdkafka_does_not_take_for_their_partition_go_to_another(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.at_once = {b"b": KafkaError._UNKNOWN_PARTITION}
    producer.send(Outgoing("t", [b"a", b"b", b"c"]), told.append)
    assert producer.flush(1.0) == 0
    assert [delivered.failures for delivered in told] == [{}]
    assert sorted(cluster.values) == [b"a", b"b", b"c"]


def test_a_row_for_a_partition_that_was_named_is_refused_when_that_is_gone(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"b"], None, [2, None]), told.append)
    lose_partitions(cluster)
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert list(told[0].failures) == [0]
    assert cluster.values == [b"b"]


def test_rows_astray_are_told_as_failed_when_the_producer_is_closed(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    producer.send(Outgoing("t", [b"b"]), told.append)
    client = cluster.clients[-1]
    message, report = client.queue.popleft()
    report(GONE, message)
    producer.close(0.0)
    assert [list(delivered.failures) for delivered in told] == [[0], [0]]
    assert cluster.values == []


def waited(over: Callable[[], bool]) -> None:
    """Until the thread of the rounds has done something."""
    deadline = time.monotonic() + SECONDS
    while not over():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def queued(cluster: Cluster, client: int = -1) -> list[bytes | None]:
    return [message.content for message, _ in tuple(cluster.clients[client].queue)]  # the rounds' thread changes it


def test_what_comes_while_rows_are_out_waits_until_those_are_acknowledged(cluster: Cluster) -> None:
    """Behind a request that is out, librdkafka's thread would not sleep."""
    producer, told = producer_on(cluster), []
    cluster.away = True
    for value in (b"a", b"b"):  # at once: librdkafka waits for linger.ms
        producer.send(Outgoing("t", [value]), told.append)
    cluster.clock.advance(0.01)
    for value in (b"c", b"d"):
        producer.send(Outgoing("t", [value]), told.append)
        producer.poll()
    assert queued(cluster) == [b"a", b"b"]
    assert told == []
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert [one.failures for one in told] == [{}] * 4
    assert cluster.values == [b"a", b"b", b"c", b"d"]
    producer.close(1.0)


def test_a_round_is_a_batch_of_a_partition_whatever_the_rows_come_in(cluster: Cluster) -> None:
    producer, told = producer_on(cluster, batch_size="1000"), []
    cluster.away = True
    rows: list[bytes | None] = [b"%064d" % number for number in range(25)]
    producer.send(Outgoing("t", rows, None, [0] * 25), told.append)
    assert queued(cluster) == rows[:10]  # of 64 bytes and 36 that librdkafka counts
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert [one.failures for one in told] == [{}]
    assert cluster.values == rows
    producer.close(1.0)


def test_what_waits_goes_out_though_nobody_calls_the_producer(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    for value in (b"a", b"b", b"c"):
        producer.send(Outgoing("t", [value]), told.append)
        cluster.clock.advance(0.01)
    assert queued(cluster) == [b"a"]
    cluster.away = False  # the plugin's poll blocks
    waited(lambda: queued(cluster) == [b"b", b"c"])
    assert told == []  # a task hears of it on its own thread
    producer.poll()
    assert len(told) == 3
    assert cluster.values == [b"a", b"b", b"c"]
    assert [one.failures for one in told] == [{}] * 3
    producer.close(1.0)


def test_rows_that_came_behind_a_refused_batch_stay_behind_its_rows(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"xx", b"b"]), told.append)
    cluster.clock.advance(0.01)
    producer.send(Outgoing("t", [b"c"]), told.append)
    cluster.away = False
    assert producer.flush(1.0) == 0
    assert [list(one.failures) for one in told] == [[1], []]
    assert cluster.values == [b"a", b"b", b"c"]
    producer.close(1.0)


def test_rows_of_a_refused_batch_go_again_and_what_waits_behind_them_though_nobody_calls_the_producer(
    cluster: Cluster,
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a", b"xx", b"b"]), told.append)
    cluster.clock.advance(0.01)
    producer.send(Outgoing("t", [b"c"]), told.append)
    cluster.away = False
    waited(lambda: cluster.values == [b"a", b"b"] and queued(cluster, 0) == [b"c"])
    assert told == []
    assert producer.flush(1.0) == 0
    assert [list(one.failures) for one in told] == [[1], []]
    producer.close(1.0)


def test_what_waits_when_a_transaction_is_aborted_is_told_as_failed_and_never_written(cluster: Cluster) -> None:
    producer, told = producer_on(cluster, "id"), []
    producer.begin()
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    cluster.clock.advance(0.01)
    producer.send(Outgoing("t", [b"b"]), told.append)
    producer.abort()
    cluster.away = False
    producer.poll()
    assert [list(one.failures) for one in told[1:]] == [[0]]
    transacted(producer, Outgoing("t", [b"c"]))
    assert cluster.values == [b"c"]
    producer.close(1.0)


def test_what_waits_at_the_end_is_told_as_failed(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    for value in (b"a", b"b"):
        producer.send(Outgoing("t", [value]), told.append)
        cluster.clock.advance(0.01)
    producer.close(0.0)
    assert [list(one.failures) for one in told] == [[0], [0]]
    assert cluster.values == []


def test_what_goes_wrong_while_nobody_calls_the_producer_is_raised_when_somebody_does(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    cluster.clock.advance(0.01)

    def fails(*_: object, **__: object) -> None:
        raise TypeError("no such argument")

    cluster.clients[-1].produce = fails  # type: ignore[method-assign]  # a mistake of ours
    producer.send(Outgoing("t", [b"b"]), told.append)
    cluster.away = False
    waited(lambda: not producer._sending._rounds._thread.is_alive)  # type: ignore[union-attr]  # it was begun
    assert "[test rounds] rows that wait for Kafka go no further: no such argument" in caplog.text
    with pytest.raises(TypeError, match="no such argument"):
        producer.poll()
    del cluster.clients[-1].produce
    producer.send(Outgoing("t", [b"c"]), told.append)
    assert producer.flush(1.0) == 0
    assert [{row: type(error) for row, error in one.failures.items()} for one in told] == [{}, {0: TypeError}, {}]
    assert cluster.values == [b"a", b"c"]
    producer.close(1.0)
