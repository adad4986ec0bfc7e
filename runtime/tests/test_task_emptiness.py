"""What is said of polls that give nothing."""

import logging

import pytest

from millstream.task.emptiness import MANY, EmptyPolls


def told_of(
    polls: EmptyPolls, caplog: pytest.LogCaptureFixture, polled: object, every_s: float, times: int
) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for number in range(times):
            polls.gave_nothing(polled, 100.0 + number * every_s)
    return [record.getMessage() for record in caplog.records]


def test_none_is_asked_about_once(caplog: pytest.LogCaptureFixture) -> None:
    polls = EmptyPolls("DiceTask")
    said = "poll of DiceTask gave None, which is taken for []: does it lack a return?"
    assert told_of(polls, caplog, None, 1.0, 3) == [said]
    assert told_of(EmptyPolls("DiceTask"), caplog, [], 1.0, 3) == []


def test_a_poll_that_does_not_wait_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    polls = EmptyPolls("DiceTask")
    assert told_of(polls, caplog, [], 0.0001, 3 * MANY) == [
        "poll of DiceTask gave nothing 1000 times in 0.10 s, and keeps a processor busy: where there is nothing yet, it"
        " should wait by context.wait(seconds)"
    ]


def test_a_poll_that_waits_a_millisecond_or_gives_rows_in_between_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert told_of(EmptyPolls("DiceTask"), caplog, [], 0.001, 3 * MANY) == []
    polls = EmptyPolls("DiceTask")
    assert told_of(polls, caplog, [], 0.0001, MANY - 1) == []
    polls.gave_rows()
    assert told_of(polls, caplog, [], 0.0001, MANY - 1) == []
