"""When a batch is over: never before each of its rows is acknowledged or refused, whatever order reports come in."""

import random
from typing import Any

import confluent_kafka
import pytest

from millstream.broker.kafka.flight import Flight, Pending, arrived
from millstream.broker.ports import Delivered, Outgoing
from millstream.errors import BrokerError
from millstream_api import Origin

ERROR = BrokerError("no")
LANE = ("t", 0)


class Message:
    """What librdkafka gives with a report."""

    def __init__(self, value: bytes | None, key: bytes | None = None, partition: int = 0) -> None:
        self._value, self._key, self._partition = value, key, partition

    def partition(self) -> int:
        return self._partition

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes | None:
        return self._key


class Client:
    """Holds messages as librdkafka does: one goes when its report was taken."""

    def __init__(self, in_order: bool = True) -> None:
        self.held: list[tuple[Pending, int]] = []
        self.told: list[tuple[int, Delivered]] = []
        self.flight = Flight(lambda: len(self.held), in_order)
        self._number = 0

    def send(self, values: list[bytes | None], lane: Any = LANE) -> Pending:
        number = self._number
        self._number += 1
        batch = Outgoing("t", values)
        pending = Pending(batch, lambda delivered: self.told.append((number, delivered)), 10, 0.0)
        self.held += [(pending, row) for row in range(len(values))]
        self.flight.add(pending, len(values), lane)
        return pending

    def report(self, at: int, refused: bool = False) -> None:
        pending, row = self.held[at]
        if refused:  # it is held until its callback was served
            self.flight.look()
            self.flight.refused()
            message: Any = Message(pending.batch.values[row])
            pending.refuse(message, ERROR)
            del self.held[at]
        else:
            del self.held[at]
            self.flight.look()
        self.flight.land()

    @property
    def over(self) -> list[int]:
        return [number for number, _ in self.told]


def test_in_one_partition_batches_are_over_as_their_rows_are_acknowledged():
    client = Client()
    client.send([b"a", b"b"])
    client.send([b"c"])
    client.report(0)
    assert client.over == []
    client.report(0)
    assert client.over == [0]
    client.report(0)
    assert client.over == [0, 1]
    assert client.flight.empty
    assert client.flight.size == 0


@pytest.mark.parametrize("lanes", [(LANE, ("t", 1)), (LANE, None), (None, None)])
def test_in_several_partitions_nothing_is_over_before_all_is(lanes):
    client = Client()
    for lane in lanes:
        client.send([b"a"], lane)
    client.report(1)
    assert client.over == []
    client.report(0)
    assert client.over == [0, 1]
    client.send([b"c"])
    client.send([b"d"])
    client.report(0)  # a new beginning: one partition again
    assert client.over == [0, 1, 2]


def test_where_the_order_says_nothing_all_has_to_be_over():
    client = Client(in_order=False)
    client.send([b"a"])
    client.send([b"b"])
    client.report(1)
    assert client.over == []
    client.report(0)
    assert client.over == [0, 1]


def test_a_refused_row_of_a_later_batch_does_not_end_an_earlier_one():
    client = Client()
    client.send([b"a"])
    client.send([b"b"])
    client.report(1, refused=True)
    assert client.over == []
    client.report(0)
    assert client.over == [0, 1]
    assert [dict(delivered.failures) for _, delivered in client.told] == [{}, {0: ERROR}]


def test_a_row_whose_refusal_waits_to_be_told_is_not_over_when_one_behind_it_is_acknowledged():
    client = Client()
    client.send([b"a"])
    client.send([b"b"])
    client.flight.look()
    del client.held[1]  # b is acknowledged behind the callbacks; a was refused meanwhile, and is held until it is told
    client.flight.land()
    assert client.over == []
    client.report(0, refused=True)
    assert [dict(delivered.failures) for _, delivered in client.told] == [{0: ERROR}, {}]


def test_a_batch_whose_rows_were_all_refused_at_once_is_over_with_those_before_it():
    client = Client()
    client.send([b"a"])
    pending = client.send([])
    client.flight.land()
    assert client.over == []
    client.report(0)
    assert client.over == [0, 1]
    assert pending.failures == {}


def test_the_row_of_a_refused_record_is_found_among_equal_ones_from_the_first_on():
    pending = Pending(Outgoing("t", [b"a", b"b", b"a", None, b"a"], [b"1", None, b"1", None, b"2"]), print, 0, 0.0)
    message: Any = Message
    assert pending.refuse(message(b"a", b"1"), ERROR) == 0
    assert pending.refuse(message(b"a", b"1"), ERROR) == 2
    assert pending.refuse(message(None, None), ERROR) == 3
    assert pending.refuse(message(b"b", None), ERROR) == 1
    assert pending.refuse(message(b"a", b"2"), ERROR) == 4
    assert sorted(pending.failures) == [0, 1, 2, 3, 4]


def test_of_equal_rows_for_two_partitions_the_one_of_the_refused_partition_is_meant():
    pending = Pending(Outgoing("t", [b"a"] * 4), print, 0, 0.0, where=[0, 1, 0, 1])
    message: Any = Message
    assert [pending.refuse(message(b"a", None, partition), ERROR) for partition in (1, 0, 1, 0)] == [1, 2, 3, 0]


def test_what_nothing_more_is_heard_of_is_told_once_and_as_failed():
    client = Client(in_order=False)
    client.send([b"a", b"b"])
    client.send([b"c"])
    client.report(1, refused=True)
    gone = BrokerError("closed")
    client.flight.abandon(gone)
    client.flight.abandon(gone)
    assert [dict(delivered.failures) for _, delivered in client.told] == [{0: gone, 1: ERROR}, {0: gone}]
    assert client.flight.empty
    assert client.flight.size == 0


def test_a_record_that_an_earlier_attempt_wrote_is_written_at_an_offset_that_is_not_known():
    pending = Pending(Outgoing("t", [b"a"]), print, 0, 0.0, origins=[None])
    arrived(pending, 0, confluent_kafka.Message(topic="t", partition=2, value=b"a", timestamp=(1, 5)))
    assert pending.origins == [Origin("t", 2, -1, "CreateTime")]


def test_no_batch_is_told_before_its_rows_whatever_happens():
    """Random sends and reports against the truth: a batch that is told has no row in the client's hands."""
    for seed in range(300):
        choose = random.Random(seed)
        client = Client(in_order=True)
        refused: dict[int, set[int]] = {}
        sent: list[Pending] = []
        for step in range(60):
            if choose.random() < 0.4 or not client.held:
                lane = LANE if choose.random() < 0.8 else choose.choice([None, ("t", 1)])
                sent.append(client.send([b"%d-%d" % (step, row) for row in range(choose.randint(1, 4))], lane))
            else:
                refuse = choose.random() < 0.1
                several = client.flight.unclear_since is not None
                at = choose.randrange(len(client.held)) if refuse or several else 0
                pending, row = client.held[at]
                if refuse:
                    refused.setdefault(sent.index(pending), set()).add(row)
                client.report(at, refuse)
            still = {sent.index(pending) for pending, _ in client.held}
            assert not still & set(client.over), f"seed {seed}"
        while client.held:
            client.report(0)
        assert client.over == list(range(len(sent))), f"seed {seed}"
        for number, delivered in client.told:
            assert set(delivered.failures) == refused.get(number, set()), f"seed {seed}"
