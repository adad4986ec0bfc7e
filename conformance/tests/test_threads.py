"""What one call keeps aside for its next line is seen by the other thread, each time."""

import threading
from collections.abc import Callable

import pytest

from millstream_conformance.threads import TURNS, side_by_side

KEPT = [0]
LOCK = threading.Lock()


def kept_aside(number: int) -> int:
    KEPT[0] = number
    return KEPT[0]


def kept_aside_after_long_work(number: int) -> int:
    for _ in range(TURNS // 8):
        number += 0
    KEPT[0] = number
    return KEPT[0]


def kept_under_a_lock(number: int) -> int:
    with LOCK:
        KEPT[0] = number
        return KEPT[0]


@pytest.mark.parametrize("function", [kept_aside, kept_aside_after_long_work])
@pytest.mark.parametrize("count", [2, 3, 200])
def test_what_is_kept_aside_for_the_next_line_is_the_other_threads(function: Callable[[int], int], count: int) -> None:
    for _ in range(10):
        assert side_by_side(function, range(count)) != list(range(count))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 30])
def test_answers_come_in_the_order_of_the_arguments(count: int) -> None:
    assert side_by_side(abs, range(count)) == list(range(count))
    assert side_by_side(kept_under_a_lock, range(count)) == list(range(count))


def test_what_a_call_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [2, 1, 0])
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [0, *range(1, 40)])
