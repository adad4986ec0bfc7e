"""Transactions of a Kafka producer whose client fails, or is not answered, at the wrong moment."""

from contextlib import closing

import pytest
from confluent_kafka import KafkaError
from producer_bench import AWAY, Cluster, producer_on, transacted

from millstream.broker.connect import open_broker
from millstream.broker.ports import Outgoing, ProducerSettings
from millstream.errors import BrokerError, ConfigError, FencedError, IllegalStateError


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


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


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("acks", "1", "Must set acks to all in order to use the idempotent producer"),
        ("retries", "0", "Must set retries to non-zero when using the idempotent producer"),
        ("max.in.flight.requests.per.connection", "6", "must be set to at most 5. Current value is 6"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"enable.idempotence": "false"}])
def test_what_forbids_transactions_is_named_and_idempotence_is_not_to_be_chosen(
    name: str, text: str, said: str, more: dict[str, str]
) -> None:
    with closing(open_broker("127.0.0.1:1", {})) as broker:
        with pytest.raises(ConfigError) as caught:
            broker.producer(ProducerSettings("p", transactional_id="id", overrides={name: text, **more}))
        assert said in caught.value.problems[name]
        broker.producer(ProducerSettings("p", transactional_id="id", overrides=more)).close(0)


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


def test_each_answer_that_does_not_come_introduces_the_brokers_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[object, str]] = []
    monkeypatch.setattr("millstream.broker.kafka.writing.producer.introduce", lambda *given: told.append(given))
    producer = producer_on(cluster, "id")
    cluster.ends = [TIMED_OUT, TIMED_OUT, None]
    transacted(producer, Outgoing("t", [b"a"]))
    assert told == [(cluster.clients[0], "127.0.0.1:1")] * 2


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


def test_a_commit_whose_rows_nobody_takes_says_who_cannot_be_reached(cluster: Cluster) -> None:
    producer = producer_on(cluster, "id")
    producer.begin()
    producer.send(Outgoing("t", [b"a"]), lambda delivered: None)
    cluster.away = True
    with pytest.raises(BrokerError, match=f"committing a transaction: {AWAY}") as caught:
        producer.commit()
    assert caught.value.retriable
    producer.close(0.0)


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
