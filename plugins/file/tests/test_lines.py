"""Cutting blocks into lines: any cut of the bytes gives the same lines at the same places."""

import re
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream_file.lines import LONG_LINE, Lines, LineSplitter

ENDS = re.compile(rb"\r\n|\n|\r")


def expected(data: bytes) -> list[tuple[bytes, int]]:
    """Lines and where they end; a carriage return at the very end is not yet the end of a line."""
    ends = [match for match in ENDS.finditer(data) if match.group() != b"\r" or match.end() < len(data)]
    starts = [0, *(match.end() for match in ends)]
    return [(data[start : match.start()], match.end()) for start, match in zip(starts, ends, strict=False)]


def found(parts: list[Lines | None]) -> list[tuple[str, int]]:
    return [(text, part.end_of(row)) for part in parts if part for row, text in enumerate(part.texts)]


PIECES = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", "ü€😀".encode(), b" ", b"\x0b", b"\xe2\x80\xa8"])
)


@pytest.mark.parametrize("long_line", [LONG_LINE, 0])
@given(PIECES, st.lists(st.integers(0, 200)))
def test_however_the_bytes_are_cut_the_lines_and_their_ends_are_the_same(
    long_line: int, pieces: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(pieces)
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter = LineSplitter(0)
    with mock.patch("millstream_file.lines.LONG_LINE", long_line):
        parts = [splitter.feed(data[start:end]) for start, end in pairwise(at)]
    wanted = [(text.decode(errors="replace"), end) for text, end in expected(data)]
    assert found(parts) == wanted or "\ufffd" in str(wanted)
    assert splitter.position == (wanted[-1][1] if wanted else 0)
    assert splitter.position + splitter.kept == len(data)


def test_positions_count_from_where_reading_began() -> None:
    lines = LineSplitter(100).feed("ü\r\nb\nrest".encode())
    assert lines is not None
    assert (lines.texts, lines.end_of(0), lines.end_of(1)) == (["ü", "b"], 104, 106)


def test_a_carriage_return_waits_for_the_byte_behind_it() -> None:
    splitter = LineSplitter(0)
    assert splitter.feed(b"a\r") is None
    lines = splitter.feed(b"\nb\r")
    assert lines is not None
    assert (lines.texts, lines.end_of(0)) == (["a"], 3)
    lines = splitter.feed(b"c")
    assert lines is not None
    assert (lines.texts, splitter.kept) == (["b"], 1)


def test_blank_lines_and_odd_separators_are_no_line_ends() -> None:
    lines = LineSplitter(0).feed("\n\n\u2028 \x0b\x1c\n".encode())
    assert lines is not None
    assert list(lines.texts) == ["", "", "\u2028 \x0b\x1c"]


def test_what_is_not_utf8_is_replaced_and_its_place_is_told() -> None:
    lines = LineSplitter(10).feed(b"good\nb\xffd\n\xfe\n")
    assert lines is not None
    assert (lines.texts, lines.faulty) == (["good", "b\ufffdd", "\ufffd"], 16)
    assert [lines.end_of(row) for row in range(3)] == [15, 19, 21]


def test_behind_long_lines_what_is_not_utf8_is_replaced_too() -> None:
    splitter, long = LineSplitter(0), b"x" * (LONG_LINE + 1) + b"\n"
    assert splitter.feed(long) is not None
    lines = splitter.feed(long + b"b\xffd\n")
    assert lines is not None
    assert (lines.texts[1], lines.faulty, lines.plain) == ("b\ufffdd", 2 * len(long) + 1, False)


def test_the_rest_is_given_once_when_the_input_is_over() -> None:
    splitter = LineSplitter(0)
    assert splitter.feed(b"a\nb") is not None
    rest = splitter.rest()
    assert rest is not None
    assert (rest.texts, rest.end_of(0), splitter.rest()) == (["b"], 3, None)


def test_a_long_line_is_put_together_once() -> None:
    splitter = LineSplitter(0)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) is None
    lines = splitter.feed(b"\n")
    assert lines is not None
    assert len(lines.texts[0]) == 1_000_000
