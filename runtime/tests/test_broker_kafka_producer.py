"""Rows of a Kafka producer: refused, sent again, waiting, and told once each whatever its client does."""

import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from producer_bench import AWAY, Cluster, producer_on, transacted

from millstream.broker.ports import Outgoing
from millstream.errors import BrokerError, ConfigError, IllegalStateError, RecordTooLargeError


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


SECONDS = 20.0  # for what another thread does at once


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


def test_batches_of_rows_of_very_different_lengths_become_no_smaller_than_half_of_what_a_topic_takes(
    cluster: Cluster,
) -> None:
    """Large ones first: as many rows as fit by their mean are more than the topic takes, however few they are."""
    cluster.takes = 20_000
    producer, told = producer_on(cluster, batch_size="100000"), []
    rows: list[bytes | None] = [*(b"%05000d" % row for row in range(10)), *(b"%010d" % row for row in range(490))]
    for _ in range(12):
        producer.send(Outgoing("t", rows), told.append)
        assert producer.flush(60.0) == 0
    assert [one.failures for one in told] == [{}] * 12
    assert cluster.values == rows * 12
    assert producer._sending.line.batch_size >= 10_000
    assert [client.batch_size for client in cluster.clients] == [100_000, 1, 1]


@pytest.mark.parametrize("keys", [None, [b"k"] * 500], ids=["without keys", "with keys"])
def test_rows_behind_those_of_a_refused_batch_stay_behind_them_however_long_the_first_ones_are(
    cluster: Cluster, keys: list[bytes | None] | None
) -> None:
    """As many as fit by their mean would be several batches, of which a later one is written before the first again."""
    producer, told = producer_on(cluster, batch_size="2000"), []
    rows: list[bytes | None] = [b"x", *(b"%0500d" % row for row in range(20)), *(b"%05d" % row for row in range(479))]
    producer.send(Outgoing("t", rows, keys, partitions=[0] * 500), told.append)
    assert producer.flush(60.0) == 0
    assert [list(one.failures) for one in told] == [[0]]
    assert cluster.values == rows[1:]


def test_a_topic_whose_limit_is_known_gets_no_larger_batch_of_a_client_that_is_given_less(cluster: Cluster) -> None:
    cluster.takes = 600
    cluster.limits = {"known": 2_000}
    producer, told = producer_on(cluster, batch_size="5000"), []
    rows: list[bytes | None] = [b"%099d" % number for number in range(10)]
    producer.send(Outgoing("t", rows), told.append)
    assert producer.flush(1.0) == 0
    producer.send(Outgoing("known", [b"a"]), told.append)
    assert producer.flush(1.0) == 0
    assert [one.failures for one in told] == [{}] * 2
    assert [client.batch_size for client in cluster.clients] == [5000, 1, 495]


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


def test_a_client_that_fails_while_reports_are_taken_says_what_was_being_done_and_nothing_is_lost(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    cluster.away = False

    def fails(*_: object) -> int:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "the connection is gone"))

    with monkeypatch.context() as failing:
        failing.setattr(cluster.clients[0], "poll", fails)
        with pytest.raises(BrokerError, match="writing rows: the connection is gone") as caught:
            producer.poll()
    assert caught.value.retriable
    assert producer.flush(1.0) == 0
    assert ([one.failures for one in told], cluster.values) == ([{}], [b"a"])
    producer.close(1.0)


def test_reports_that_do_not_come_at_the_end_are_not_waited_for_for_ever(cluster: Cluster) -> None:
    producer, told = producer_on(cluster), []
    cluster.away = True
    producer.send(Outgoing("t", [b"a"]), told.append)
    cluster.clients[0].purge = lambda: None  # type: ignore[method-assign]  # and nothing is told of it
    producer.close(0.0)
    assert [str(one.failures[0]) for one in told] == ["the producer was closed before this was written"]


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
