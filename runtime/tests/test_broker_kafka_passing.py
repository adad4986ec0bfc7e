"""Two rounds at a time, on brokers that answer each partition in order, and partitions in any order."""

import random
from collections import defaultdict, deque
from typing import Any

import pytest

from millstream.broker.kafka.writing.flight import BY_KEY, Flight, Lane, Pending
from millstream.broker.kafka.writing.rounds import Passing, Rounds
from millstream.broker.ports import Delivered, Outgoing
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock

BATCH = 1_000
ERROR = BrokerError("no")
HERE, THERE = ("t", 0), ("t", 1)


class Brokers:
    """Rows of each partition are answered in order; a refusal is held until its report is taken."""

    def __init__(self) -> None:
        self.out: defaultdict[Lane, deque[tuple[Pending, int]]] = defaultdict(deque)
        self.reports: list[tuple[Pending, int, bool]] = []  # refused; the last: whether it goes again
        self.again: list[tuple[Pending, int]] = []
        self.told: list[tuple[Pending, Delivered]] = []
        self.flight = Flight(lambda: sum(map(len, self.out.values())) + len(self.reports))
        self.rounds = Rounds("r", lambda: False, 0.005, ManualClock())
        self.passing = Passing(self.flight, self.rounds, True, self.serve)

    def send(self, rows: int, lane: Lane) -> Pending:
        """Rows of a tenth of a batch each."""
        done: Any = lambda delivered: self.told.append((pending, delivered))  # noqa: E731
        pending = Pending(Outgoing("t", [b""] * rows), done, rows * 64, lane=lane, where=lane[1])
        self.flight.add(pending)
        return pending

    def forward(self) -> None:
        """As `Settling._advance` does."""
        if self.again:
            if not self.held:
                rows, self.again = self.again, []
                self.passing.goes_again(refused=False)
                for pending, row in rows:
                    del pending.failures[row]
                    self.out[pending.lane].append((pending, row))
            return
        over = self.passing.look()
        while self.flight.waiting and not self.again:
            pending = self.flight.waiting[0]
            start, count = pending.handed, len(pending.batch.values)
            rows_now = self.passing.take(pending, BATCH, over)
            if not rows_now:
                return
            pending.handed = start + rows_now
            self.out[pending.lane].extend((pending, row) for row in range(start, pending.handed))
            self.passing.handed(pending, start)
            if pending.handed == count:
                self.flight.left()

    @property
    def held(self) -> int:
        return sum(map(len, self.out.values())) + len(self.reports)

    def answer(self, lane: Lane, refused: bool = False, again: bool = False) -> None:
        pending, row = self.out[lane].popleft()
        if refused:
            self.reports.append((pending, row, again))

    def serve(self) -> bool:
        for pending, row, again in self.reports:
            self.passing.refused()
            pending.failures[row] = ERROR
            if again:
                self.again.append((pending, row))
        self.reports.clear()
        return not self.again

    def land(self) -> list[Pending]:
        self.flight.land()
        return [pending for pending, _ in self.told]


@pytest.fixture
def brokers() -> Brokers:
    """A round was answered quickly."""
    made = Brokers()
    made.send(1, HERE)
    made.forward()
    made.answer(HERE)
    made.forward()
    made.land()
    made.told.clear()
    return made


def test_a_second_round_has_rows_of_the_partition_of_the_first_alone(brokers: Brokers) -> None:
    first, there = brokers.send(15, HERE), brokers.send(10, THERE)
    brokers.forward()
    assert (len(brokers.out[HERE]), len(brokers.out[THERE])) == (15, 0)
    assert brokers.flight.ahead == 5
    for _ in range(15):
        brokers.answer(HERE)
    brokers.forward()
    assert brokers.land() == [first]
    assert len(brokers.out[THERE]) == 10
    assert there.handed == 10


def test_rows_that_go_again_are_waited_for_by_all_that_was_out(brokers: Brokers) -> None:
    first, second = brokers.send(10, HERE), brokers.send(10, HERE)
    brokers.forward()
    assert brokers.flight.ahead == 10
    for _ in range(10):
        brokers.answer(HERE, refused=True, again=True)
    brokers.serve()
    for _ in range(10):
        brokers.answer(HERE)
    brokers.forward()
    assert len(brokers.out[HERE]) == 10
    brokers.forward()
    assert brokers.land() == []
    brokers.answer(HERE, refused=True)
    for _ in range(9):
        brokers.answer(HERE)
    brokers.forward()
    brokers.serve()
    brokers.forward()
    assert brokers.land() == [first, second]
    assert [dict(delivered.failures) for _, delivered in brokers.told] == [{0: ERROR}, {}]


def test_nothing_goes_ahead_of_rows_that_go_again_in_other_partitions(brokers: Brokers) -> None:
    lost = brokers.send(3, THERE)
    brokers.forward()
    for _ in range(3):
        brokers.answer(THERE, refused=True, again=True)
    brokers.serve()
    brokers.forward()
    brokers.send(30, HERE)
    brokers.forward()
    brokers.forward()
    assert brokers.flight.ahead is None
    for _ in range(10):
        brokers.answer(HERE)
    brokers.forward()
    assert lost not in brokers.land()


def test_where_batches_are_refused_whole_nothing_goes_ahead_any_more(brokers: Brokers) -> None:
    brokers.passing.goes_again(refused=True)
    brokers.forward()
    brokers.send(30, HERE)
    brokers.forward()
    assert (len(brokers.out[HERE]), brokers.flight.ahead) == (10, None)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("lanes", [[HERE], [HERE, THERE], [HERE, THERE, ("t", BY_KEY)]], ids=["one", "two", "keys"])
def test_no_batch_is_told_before_its_rows_nor_without_a_refusal(lanes: list[Lane]) -> None:
    ahead = 0
    for seed in range(300):
        choose = random.Random(seed)
        brokers = Brokers()
        sent: list[Pending] = []
        refused: defaultdict[int, set[int]] = defaultdict(set)
        for _ in range(150):
            chance, busy = choose.random(), [lane for lane in lanes if brokers.out[lane]]
            if chance < 0.2:
                sent.append(brokers.send(choose.randint(1, 25), choose.choice(lanes)))
            elif chance < 0.85 and busy:
                lane = choose.choice(busy)
                for _ in range(choose.randint(1, len(brokers.out[lane]))):
                    pending, row = brokers.out[lane][0]
                    no, again = choose.random() < 0.03, choose.random() < 0.5
                    if no and not again:
                        refused[id(pending)].add(row)
                    brokers.answer(lane, no, again)
            elif chance < 0.9:
                brokers.serve()
            else:
                brokers.serve()
                brokers.forward()
            brokers.forward()
            ahead += brokers.flight.ahead is not None
            told = brokers.land()
            still = [pending for rows in brokers.out.values() for pending, _ in rows]
            still += [pending for pending, _, _ in brokers.reports] + [pending for pending, _ in brokers.again]
            still += brokers.flight.waiting
            assert not {id(each) for each in told} & {id(each) for each in still}, f"seed {seed}"
        while brokers.held or brokers.again or brokers.flight.waiting:
            for lane in lanes:
                brokers.out[lane].clear()
            brokers.serve()
            brokers.forward()
        brokers.forward()
        assert brokers.land() == sent, f"seed {seed}"
        for pending, delivered in brokers.told:
            assert set(delivered.failures) == refused[id(pending)], f"seed {seed}"
    assert ahead > 500
