import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.metrics.windows import Shares, Window


def test_a_young_window_counts_as_a_full_one():
    window = Window(30, 2)
    window.record(300, 0)
    assert window.rate(0) == 10
    assert window.rate(1) == 300 / 31
    window.record(300, 30)
    assert window.rate(30) == 20
    assert window.rate(45) == 600 / 45


def test_what_is_older_than_all_windows_is_forgotten():
    window = Window(30, 2)
    window.record(300, 0)
    window.record(60, 40)
    assert window.rate(59) == 360 / 59
    assert window.rate(61) == 60 / (21 + 30)
    assert window.average(61) == 60
    assert window.rate(101) == 0
    assert math.isnan(window.average(101))


def test_averages_and_extremes_are_over_the_windows_and_nan_without_values():
    window = Window(30, 2)
    assert window.rate(0) == 0
    assert all(math.isnan(value) for value in (window.average(0), window.highest(0), window.lowest(0)))
    for value in (3, 1, 8):
        window.record(value, 1)
    assert (window.average(2), window.highest(2), window.lowest(2)) == (4, 8, 1)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1000)), max_size=50), st.integers(1, 4))
def test_no_more_samples_are_kept_than_wanted_and_extremes_hold_the_average(events, samples):
    window, now = Window(5, samples), 0.0
    for later, value in events:
        now += later
        window.record(value, now)
        assert len(window._samples) <= samples
        assert window.lowest(now) <= window.average(now) <= window.highest(now)
        assert window.rate(now) >= 0


def test_shares_of_time_add_up_to_one():
    shares = Shares("unassigned", 0)
    assert shares.share("unassigned", 0) == 0
    shares.change("running", 1)
    shares.change("paused", 3)
    assert shares.state == "paused"
    assert shares.share("running", 4) == 0.5
    assert shares.share("paused", 4) == 0.25
    assert sum(shares.share(s, 4) for s in ("unassigned", "running", "paused")) == pytest.approx(1)
    assert shares.share("failed", 4) == 0
