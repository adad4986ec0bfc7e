import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.host.output import marked, unmarked
from millstream.worker.allowance import Allowance
from millstream.worker.logs import PRINTED, Output, is_whole, stack_in


class Seconds:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.lines = Allowance(1_000, 5_000, self.now)
        self.due: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.seconds

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((self.seconds + seconds, call))

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        ready = [each for each in self.due if each[0] <= self.seconds]
        self.due = [each for each in self.due if each[0] > self.seconds]
        for _, call in ready:
            call()


def heard():
    lines: list[tuple[int, str, str]] = []
    seconds = Seconds()
    told = lambda line: lines.append((line.level, line.logger, line.text))  # noqa: E731
    output = Output("orders|task-0", told, seconds)
    return output, lines, seconds


@given(
    st.integers(0, 60),
    st.sampled_from(["root", "millstream.task"]),
    st.text(st.characters(exclude_characters="\x1d\x1e\r")),
)
def test_a_log_entry_comes_through_the_pipe_as_it_was_on_one_line(level, logger, text):
    line = marked(level, logger, text)
    assert line.count(b"\n") == 1
    assert unmarked(line.decode("utf-8", "replace").rstrip("\n")) == (
        level,
        logger,
        text.encode("utf-8", "backslashreplace").decode().rstrip("\n"),
    )


def test_lines_are_told_again_with_who_speaks_before_them(caplog):
    output, lines, _ = heard()
    with caplog.at_level(logging.DEBUG):
        output.feed(marked(logging.WARNING, "millstream_x.task", "two\nlines") + b"printed\nunfin")
        output.feed(b"ished")
        output.finish()
    assert lines == [
        (logging.WARNING, "millstream_x.task", "two\nlines"),
        (logging.INFO, PRINTED, "printed"),
        (logging.INFO, PRINTED, "unfinished"),
    ]
    assert "[orders|task-0] two\nlines" in caplog.text
    assert output.last_lines() == "WARNING millstream_x.task: two\nlines\nprinted\nunfinished"


def test_more_lines_than_allowed_are_cut_with_a_count_and_the_last_ones_kept():
    output, lines, seconds = heard()
    for number in range(100):
        output.feed(b"".join(b"line %d of %d\n" % (i, number) for i in range(1_000)))
    assert len(lines) == 6_000
    seconds.seconds = 2.0
    output.feed(b"back\nagain\n")
    assert lines[-2][2].startswith("94001 lines (")
    assert lines[-2][2].endswith("more lines a second than the worker tells, or a line of more than 40000 bytes")
    assert lines[-1][2] == "again"
    assert "line 999 of 99" in output.last_lines()


def test_a_flood_that_goes_on_is_told_of_twice_a_second_at_most_and_not_line_by_line():
    output, lines, seconds = heard()
    output.feed(b"line\n" * 6_000)
    for _ in range(3_000):  # three seconds, a read a millisecond
        output.feed(b"line\n" * 64)
        seconds.advance(0.001)
    told = [text for *_, text in lines if "were cut" in text]
    assert len(told) <= 2 * 3
    assert len(lines) - len(told) <= 6_000 + 3 * 1_100
    output.finish()
    assert sum(int(text.split()[0]) for *_, text in lines if "were cut" in text) + sum(
        text == "line" for *_, text in lines
    ) == pytest.approx(6_000 + 3_000 * 64, abs=4)  # the line that a flood ends in


def test_of_a_flood_that_is_over_the_count_is_told_a_second_later():
    output, lines, seconds = heard()
    output.feed(b"line\n" * 7_000)
    assert "were cut" not in lines[-1][2]
    seconds.advance(1.0)
    assert lines[-1][2].startswith("1000 lines (5000 bytes) of its output were cut")
    seconds.advance(10.0)
    assert lines[-1][2].startswith("1000 lines")


def test_who_says_little_is_heard_while_others_flood():
    _, _, seconds = heard()
    lines: list[str] = []
    floods = [Output(f"flood {number}", lambda line: None, seconds) for number in range(10)]
    quiet = Output("quiet", lambda line: lines.append(line.text), seconds)
    for number in range(1_000):
        for flood in floods:
            flood.feed(b"line\n" * 64)
        quiet.feed(b"line %d\n" % number)
        seconds.advance(0.01)
    assert lines == [f"line {number}" for number in range(1_000)]


def test_a_line_without_end_takes_no_more_memory_than_a_line():
    output, lines, _ = heard()
    for _ in range(200):
        output.feed(b"x" * 1_000_000)
    output.finish()
    assert len(lines[0][2]) == 40_000
    assert "(199960000 bytes) of its output were cut" in lines[1][2]


def test_a_stack_on_its_way_is_captured_and_not_logged():
    output, lines, _ = heard()
    output.capture = captured = []
    output.feed(b'Current thread 0x01 (most recent call first):\n  File "a.py", line 1 in poll\nhello\n')
    assert [text for *_, text in lines] == ["hello"]
    assert stack_in(captured) == ('\tCurrent thread 0x01 (most recent call first):\n\tat File "a.py", line 1 in poll')


def test_of_a_stack_only_what_is_the_plugins_is_shown():
    lines = [
        "Thread 0x02 (most recent call first):",
        '  File "/x/millstream/host/channel.py", line 3 in listen',
        "Current thread 0x01 (most recent call first):",
        '  File "/y/mine.py", line 1 in fetch',
        '  File "/x/millstream/task/source.py", line 2 in turn',
        '  File "<frozen runpy>", line 88 in _run_code',
    ]
    assert stack_in(lines) == (
        '\tCurrent thread 0x01 (most recent call first):\n\tat File "/y/mine.py", line 1 in fetch'
    )


def test_a_stack_is_whole_once_the_frames_below_the_plugins_are_there():
    lines = [
        "Thread 0x00000002 (most recent call first):",
        '  File "/x/millstream/host/channel.py", line 3 in listen',
        "Current thread 0x00000001 (most recent call first):",
        '  File "/y/mine.py", line 1 in fetch',
        '  File "/y/mine.py", line 2 in poll',
        '  File "/x/millstream/task/source.py", line 2 in turn',
    ]
    assert [is_whole(lines[:count], 1) for count in range(7)] == [False] * 6 + [True]
    assert is_whole([*lines[:5], "  ..."], 1)
    assert not is_whole(lines, 3)
