"""When a batch is over: never before each of its rows is acknowledged or refused, whatever order reports come in."""

import random
from typing import Any

import confluent_kafka
import pytest

from millstream.broker.kafka.writing.flight import Flight, Pending, arrived
from millstream.broker.ports import Delivered, Outgoing
from millstream.errors import BrokerError
from millstream_api import Origin

ERROR = BrokerError("no")


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
    """Holds messages as librdkafka does: one goes when it is acknowledged, or when its refusal was taken."""

    def __init__(self) -> None:
        self.held: list[tuple[Pending, int]] = []
        self.told: list[tuple[int, Delivered]] = []
        self.flight = Flight(lambda: len(self.held) + len(self.refused))
        self._number = 0
        self.refused: list[tuple[Pending, int]] = []  # reports that were not taken yet

    def add(self, values: list[bytes | None]) -> Pending:
        number = self._number
        self._number += 1
        pending = Pending(Outgoing("t", values), lambda delivered: self.told.append((number, delivered)), 10, 10)
        self.flight.add(pending)
        return pending

    def hand_over(self, rows: int = 1_000) -> None:
        """So many of the first that waits."""
        pending = self.flight.waiting[0]
        start, count = pending.handed, len(pending.batch.values)
        pending.handed = min(start + rows, count)
        self.held += [(pending, row) for row in range(start, pending.handed)]
        if self.flight.ahead is not None:
            self.flight.ahead += pending.handed - start
        if pending.handed == count:
            self.flight.left()

    def report(self, at: int, refused: bool = False) -> None:
        pending, row = self.held.pop(at)
        if refused:
            message: Any = Message(pending.batch.values[row])
            pending.refuse(message, ERROR)

    def finish_first(self, refused: bool = False) -> None:
        """In order; a refusal is held until it is taken."""
        one = self.held.pop(0)
        if refused:
            self.refused.append(one)

    def serve(self) -> bool:
        for pending, row in self.refused:
            message: Any = Message(pending.batch.values[row])
            pending.refuse(message, ERROR)
        self.refused.clear()
        return True

    def settle(self) -> list[int]:
        """Which are over by now."""
        self.flight.look()
        self.flight.land()
        return [number for number, _ in self.told]


def test_batches_are_over_when_nothing_is_out():
    client = Client()
    client.add([b"a", b"b"])
    client.add([b"c"])
    client.hand_over()
    client.hand_over()
    client.report(1)
    assert client.settle() == []
    client.report(0)
    client.report(0)
    assert client.settle() == [0, 1]
    assert client.flight.empty
    assert client.flight.size == 0


def test_what_was_over_before_more_went_out_is_told_though_that_is_out():
    client = Client()
    client.add([b"a"])
    client.hand_over()
    client.report(0)
    client.add([b"b"])
    assert client.flight.look()
    client.hand_over()
    assert client.settle() == [0]
    assert client.flight.rows == 1


def test_a_batch_that_went_out_in_part_is_not_over():
    client = Client()
    client.add([b"a", b"b"])
    client.hand_over(1)
    client.report(0)
    assert client.settle() == []
    client.hand_over(1)
    client.report(0)
    assert client.settle() == [0]


def test_what_waits_and_is_dropped_fails_once_what_is_out_is_over():
    client = Client()
    client.add([b"a", b"b"])
    client.add([b"c"])
    client.hand_over(1)
    client.flight.drop(ERROR)
    assert client.settle() == []
    client.report(0)
    assert client.settle() == [0, 1]
    assert [dict(delivered.failures) for _, delivered in client.told] == [{1: ERROR}, {0: ERROR}]


def test_a_batch_whose_rows_were_all_refused_at_once_is_over_with_those_before_it():
    client = Client()
    client.add([b"a"])
    client.hand_over()
    client.add([])
    client.hand_over()
    assert client.settle() == []
    client.report(0)
    assert client.settle() == [0, 1]


def test_the_row_of_a_refused_record_is_found_among_equal_ones_from_the_first_on():
    pending = Pending(Outgoing("t", [b"a", b"b", b"a", None, b"a"], [b"1", None, b"1", None, b"2"]), print, 0)
    message: Any = Message
    assert pending.refuse(message(b"a", b"1"), ERROR) == 0
    assert pending.refuse(message(b"a", b"1"), ERROR) == 2
    assert pending.refuse(message(None, None), ERROR) == 3
    assert pending.refuse(message(b"b", None), ERROR) == 1
    assert pending.refuse(message(b"a", b"2"), ERROR) == 4
    assert sorted(pending.failures) == [0, 1, 2, 3, 4]
    with pytest.raises(AssertionError, match="partition 0 of topic 't', and this batch of 5 rows does not have it"):
        pending.refuse(message(b"a", b"1"), ERROR)


def test_of_equal_rows_for_two_partitions_the_one_of_the_refused_partition_is_meant():
    pending = Pending(Outgoing("t", [b"a"] * 4), print, 0, where=[0, 1, 0, 1])
    message: Any = Message
    assert [pending.refuse(message(b"a", None, partition), ERROR) for partition in (1, 0, 1, 0)] == [1, 2, 3, 0]


def test_what_nothing_more_is_heard_of_is_told_once_and_as_failed():
    client = Client()
    client.add([b"a", b"b"])
    client.add([b"c"])
    client.add([b"d"])
    client.hand_over()
    client.hand_over()
    client.report(1, refused=True)
    gone = BrokerError("closed")
    client.flight.abandon(gone)
    client.flight.abandon(gone)
    assert [dict(delivered.failures) for _, delivered in client.told] == [{0: gone, 1: ERROR}, {0: gone}, {0: gone}]
    assert client.flight.empty
    assert client.flight.size == 0


def test_a_record_that_an_earlier_attempt_wrote_is_written_at_an_offset_that_is_not_known():
    pending = Pending(Outgoing("t", [b"a"]), print, 0, origins=[None])
    arrived(pending, 0, confluent_kafka.Message(topic="t", partition=2, value=b"a", timestamp=(1, 5)))
    assert pending.origins == [Origin("t", 2, -1, "CreateTime")]


@pytest.mark.timeout(180)
def test_no_batch_is_told_before_its_rows_whatever_happens():
    """Random sends and reports against the truth: a batch that is told has no row out, nor waiting."""
    for seed in range(300):
        choose = random.Random(seed)
        client = Client()
        refused: dict[int, set[int]] = {}
        sent: list[Pending] = []
        for step in range(80):
            chance = choose.random()
            if chance < 0.3:
                sent.append(client.add([b"%d-%d" % (step, row) for row in range(choose.randint(1, 4))]))
            elif chance < 0.6 and client.flight.waiting:
                client.flight.look()
                client.hand_over(choose.randint(1, 4))
            elif client.held:
                refuse, at = choose.random() < 0.1, choose.randrange(len(client.held))
                pending, row = client.held[at]
                if refuse:
                    refused.setdefault(sent.index(pending), set()).add(row)
                client.report(at, refuse)
            over = client.settle()
            still = {sent.index(pending) for pending, _ in client.held}
            still |= {sent.index(pending) for pending in client.flight.waiting}
            assert not still & set(over), f"seed {seed}"
        while client.flight.waiting:
            client.hand_over()
        client.held.clear()
        assert client.settle() == list(range(len(sent))), f"seed {seed}"
        for number, delivered in client.told:
            assert set(delivered.failures) == refused.get(number, set()), f"seed {seed}"


def test_of_two_rounds_the_first_is_over_when_no_more_is_held_than_the_second_has():
    client = Client()
    client.add([b"a", b"b"])
    client.hand_over()
    client.flight.part()
    client.add([b"c", b"d"])
    client.hand_over()
    client.finish_first()
    assert not client.flight.look_at_first(client.serve)
    client.finish_first()
    assert client.flight.look_at_first(client.serve)
    assert client.settle() == [0]
    assert not client.flight.look_at_first(client.serve)


def test_a_batch_that_is_of_two_rounds_is_over_with_the_second():
    client = Client()
    client.add([b"a"])
    client.add([b"b", b"c"])
    client.hand_over()
    client.hand_over(1)
    client.flight.part()
    client.hand_over()
    client.finish_first()
    client.finish_first()
    assert client.flight.look_at_first(client.serve)
    assert client.settle() == [0]
    client.finish_first()
    assert client.settle() == [0, 1]


def test_a_refusal_is_taken_before_its_batch_is_told_though_all_behind_it_is_written():
    client = Client()
    client.add([b"a"])
    client.hand_over()
    client.flight.part()
    client.add([b"b"])
    client.hand_over()
    client.finish_first(refused=True)
    client.finish_first()
    assert client.flight.look_at_first(client.serve)
    client.settle()
    assert [dict(delivered.failures) for _, delivered in client.told] == [{0: ERROR}, {}]


def test_when_rows_have_to_go_again_all_that_is_out_is_waited_for():
    client = Client()
    client.add([b"a"])
    client.hand_over()
    client.flight.part()
    client.add([b"b"])
    client.hand_over()
    client.finish_first()
    assert not client.flight.look_at_first(lambda: False)
    assert not client.flight.look_at_first(client.serve)
    assert client.settle() == []
    client.finish_first()
    assert client.settle() == [0, 1]


@pytest.mark.timeout(180)
def test_of_two_rounds_at_a_time_no_batch_is_told_before_its_rows_nor_without_a_refusal():
    for seed in range(300):
        choose = random.Random(seed)
        client = Client()
        refused: dict[int, set[int]] = {}
        sent: list[Pending] = []
        for step in range(120):
            chance = choose.random()
            if chance < 0.25:
                sent.append(client.add([b"%d-%d" % (step, row) for row in range(choose.randint(1, 4))]))
            elif chance < 0.5 and client.flight.waiting:
                if not client.flight.look() and client.flight.ahead is None and choose.random() < 0.5:
                    client.flight.part()
                client.hand_over(choose.randint(1, 4))
            elif chance < 0.9 and client.held:
                pending, row = client.held[0]
                if refuse := choose.random() < 0.2:
                    refused.setdefault(sent.index(pending), set()).add(row)
                client.finish_first(refuse)
            elif chance < 0.95:
                client.serve()
            client.flight.look_at_first(client.serve)
            over = client.settle()
            out = (*client.held, *client.refused)
            still = {sent.index(pending) for pending, _ in out} | {sent.index(each) for each in client.flight.waiting}
            assert not still & set(over), f"seed {seed}"
        while client.flight.waiting:
            client.hand_over()
        client.held.clear()
        client.serve()
        assert client.settle() == list(range(len(sent))), f"seed {seed}"
        for number, delivered in client.told:
            assert set(delivered.failures) == refused.get(number, set()), f"seed {seed}"
