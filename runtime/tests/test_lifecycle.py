import threading
import time

import pytest

from millstream.lifecycle import ManualClock, StopToken, SystemClock, spawn


def test_waiting_ends_at_once_when_it_is_time_to_stop():
    stop = StopToken()
    thread = spawn("setter", lambda _: stop.set())
    assert stop.wait(3_600) is True
    assert stop.wait() is True
    assert stop.is_set
    assert thread.join(60)


def test_waiting_says_false_when_nothing_happened_and_takes_any_length():
    stop = StopToken()
    assert stop.wait(0) is False
    assert stop.wait(-1) is False
    stop.set()
    assert stop.wait(1e300) is True


def test_the_death_of_a_thread_is_told_with_what_it_raised():
    deaths = []

    def fails(stop):
        raise SystemExit(3)

    assert spawn("fails", fails, on_death=deaths.append).join(60)
    assert isinstance(deaths[0], SystemExit)
    assert spawn("ends", lambda stop: None, on_death=deaths.append).join(60)
    assert deaths[1] is None
    assert len(deaths) == 2


def test_the_death_of_a_thread_without_owner_is_logged(caplog):
    def fails(stop):
        raise ValueError("broken")

    assert spawn("reader", fails).join(60)
    assert [r.getMessage() for r in caplog.records] == ["the thread reader ended with an error"]
    assert "broken" in caplog.text


def test_a_thread_stops_by_its_token_and_has_the_name_given():
    thread = spawn("waits", lambda stop: print(stop.wait(120)))
    assert thread.name == "waits"
    assert thread.ident in {t.ident for t in threading.enumerate()}
    assert thread.is_alive
    assert thread.join(0) is False
    thread.stop.set()
    assert thread.join(60)
    assert not thread.is_alive


def test_threads_can_share_a_token_and_do_not_wait_for_themselves():
    shared, joined = StopToken(), []
    started = threading.Event()

    def run(stop):
        started.wait(60)
        joined.append(thread.join(30))
        stop.set()

    thread = spawn("itself", run, stop=shared)
    started.set()
    assert shared.wait(60)
    assert joined == [False]


def test_a_manual_clock_moves_when_told_and_counts_its_waits():
    clock = ManualClock(1000)
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic()) == (2500, 1.5)
    assert clock.wait(2) is False
    assert (clock.now_ms(), clock.monotonic(), clock.waits) == (4500, 3.5, [2])
    with pytest.raises(ValueError, match="a clock does not go back: -1 seconds"):
        clock.advance(-1)


def test_the_system_clock_is_wall_time_in_milliseconds_and_monotonic_seconds():
    clock = SystemClock()
    before, now, after = time.time_ns(), clock.now_ms(), time.time_ns()
    assert before // 1_000_000 <= now <= after // 1_000_000
    assert clock.monotonic() <= clock.monotonic()
