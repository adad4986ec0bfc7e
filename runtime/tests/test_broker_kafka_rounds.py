"""How much goes out at once: what librdkafka can send without one row waiting behind an answer."""

from millstream.broker.kafka.writing.flight import BY_KEY, Lane, Pending
from millstream.broker.kafka.writing.rounds import Room, Rounds
from millstream.broker.ports import Outgoing
from millstream.lifecycle import ManualClock


def pending(rows: int, size: int, lane: Lane = ("t", 0), spread: int = 1) -> Pending:
    """Rows of `size` bytes, what librdkafka counts with each included."""
    return Pending(Outgoing("t", [b""] * rows), lambda _: None, rows * (size - 36), lane=lane, spread=spread)


def test_a_batch_of_a_partition_is_full_by_bytes_or_by_rows() -> None:
    room = Room()
    assert room.take(pending(60, 100), 10_000) == 60
    assert room.take(pending(60, 100), 10_000) == 40
    assert room.take(pending(60, 100), 10_000) == 0
    room.clear()
    assert room.take(pending(20_000, 40), 1_000_000) == 10_000


def test_a_row_larger_than_a_batch_goes_alone() -> None:
    room = Room()
    large = pending(2, 50_000)
    assert room.take(large, 10_000) == 1
    assert room.take(large, 10_000) == 0
    room.clear()
    assert room.take(pending(1, 100), 10_000) == 1
    assert room.take(large, 10_000) == 0


def test_of_rows_that_are_longer_than_the_mean_no_more_go_out_than_a_batch_takes() -> None:
    rows: list[bytes | None] = [b"-" * 964] * 20 + [None, b""] * 240
    uneven = Pending(Outgoing("t", rows, [b"key" * 12] * 500), lambda _: None, 20 * 964 + 500 * 36, lane=("t", 0))
    room = Room()
    assert room.take(pending(10, 100), 10_000) == 10
    assert room.take(uneven, 10_000) == 8  # of 1,036 bytes
    assert room.take(uneven, 10_000) == 0
    room.clear()
    uneven.handed = 15
    taken = room.take(uneven, 10_000)
    assert 5 * 1036 + (taken - 5) * 72 <= 10_000
    assert taken >= 60


def test_each_partition_has_a_batch_of_its_own() -> None:
    room = Room()
    assert room.take(pending(200, 100, ("t", 0)), 10_000) == 100
    assert room.take(pending(200, 100, ("t", 1)), 10_000) == 100
    assert room.take(pending(200, 100, ("u", 0)), 10_000) == 100
    assert room.take(pending(200, 100, ("t", 1)), 10_000) == 0


def test_rows_by_key_may_fill_the_fullest_partition_with_twice_the_mean() -> None:
    room, by_key = Room(), ("t", BY_KEY)
    assert room.take(pending(1_000, 100, by_key, spread=6), 10_000) == 300
    assert room.take(pending(10, 100, ("t", 2)), 10_000) == 0
    room.clear()
    assert room.take(pending(50, 100, ("t", 2)), 10_000) == 50
    assert room.take(pending(1_000, 100, by_key, spread=6), 10_000) == 150
    room.clear()
    assert room.take(pending(1_000, 100, by_key, spread=1), 10_000) == 100


def test_a_round_takes_more_only_while_librdkafka_waits_for_more() -> None:
    clock = ManualClock()
    rounds = Rounds("r", lambda: False, 0.005, clock)
    assert rounds.take(pending(1, 100), 10_000, waited=False) == 1
    clock.advance(0.003)
    assert rounds.take(pending(1, 100), 10_000, waited=False) == 1
    clock.advance(0.002)
    assert rounds.take(pending(1, 100), 10_000, waited=False) == 0
    rounds.begin()
    assert rounds.take(pending(1, 100), 10_000, waited=False) == 1


def test_the_longer_a_round_is_out_the_more_seldom_it_is_looked_for() -> None:
    clock = ManualClock()
    rounds = Rounds("r", lambda: False, 0.005, clock)
    rounds.take(pending(1, 100), 10_000, waited=False)
    seen = []
    for seconds in (0.0, 0.05, 0.05, 0.9, 100.0):
        clock.advance(seconds)
        seen.append(round(rounds.notice, 4))
    assert seen == [0.001, 0.005, 0.01, 0.05, 0.05]


def full(clock: ManualClock, answer_s: float) -> Rounds:
    """A round that is full, after one that was answered after so many seconds."""
    rounds = Rounds("r", lambda: False, 0.005, clock)
    rounds.take(pending(1, 100), 10_000, waited=False)
    clock.advance(answer_s)
    rounds.begin()
    rounds.take(pending(200, 100), 10_000, waited=True)
    assert rounds.take(pending(100, 100), 10_000, waited=True) == 0
    return rounds


def test_behind_a_full_round_goes_another_while_answers_are_quick() -> None:
    clock = ManualClock()
    rounds = full(clock, 0.02)
    assert rounds.ahead(pending(1, 100))
    assert rounds.take(pending(200, 100), 10_000, waited=False) == 100
    clock.advance(0.02)
    rounds.next()
    assert rounds.take(pending(100, 100), 10_000, waited=True) == 0
    assert rounds.ahead(pending(1, 100))
    clock.advance(0.05)
    rounds.next()
    assert rounds.take(pending(200, 100), 10_000, waited=True) == 100
    assert rounds.take(pending(100, 100), 10_000, waited=True) == 0
    assert not rounds.ahead(pending(1, 100))


def test_nothing_goes_ahead_after_a_slow_answer_for_other_partitions_or_behind_a_round_that_is_not_full() -> None:
    clock = ManualClock()
    assert not full(clock, 0.05).ahead(pending(1, 100))
    assert not full(clock, 0.02).ahead(pending(1, 100, ("t", 1)))
    assert not full(clock, 0.02).ahead(pending(1, 100, ("t", BY_KEY)))
    rounds = full(clock, 0.02)
    rounds.begin()
    rounds.take(pending(10, 100), 10_000, waited=True)
    clock.advance(0.01)
    assert rounds.take(pending(10, 100), 10_000, waited=False) == 0
    assert not rounds.ahead(pending(1, 100))


def test_the_first_round_of_all_is_alone() -> None:
    rounds = Rounds("r", lambda: False, 0.005, ManualClock())
    rounds.take(pending(200, 100), 10_000, waited=True)
    assert rounds.take(pending(100, 100), 10_000, waited=True) == 0
    assert not rounds.ahead(pending(1, 100))


def test_of_what_waited_some_go_however_long_it_takes_to_hand_them_over() -> None:
    clock = ManualClock()
    rounds = Rounds("r", lambda: False, 0.005, clock)
    taken = []
    for _ in range(4):
        taken.append(rounds.take(pending(1_000, 100), 1_000_000, waited=True))
        clock.advance(0.01)  # others have the processor
    assert taken == [1_000, 1_000, 1_000, 0]
