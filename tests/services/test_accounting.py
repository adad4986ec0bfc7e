"""The rounds' own arithmetic: what is lost, repeated or out of order is found."""

from pathlib import Path

import pytest

from services.accounting import Account, Written, accounted, behind_successor, file_rows, line, number_of, rewinds
from services.faulting import rounds
from services.faults import FAULTS
from services.flow import Flow


def rows(*numbers: int) -> list[Written]:
    return [Written(number) for number in numbers]


def test_all_that_came_once_is_no_trouble() -> None:
    found = accounted(Account(4), {0: [0, 2], 1: [1, 3]}, rows(0, 1, 3, 2))
    assert found == Account(4)


def test_what_is_in_neither_is_lost_twice_and_what_is_only_in_the_topic_once() -> None:
    found = accounted(Account(4), {0: [0, 2, 3]}, rows(0, 3))
    assert (found.lost_topic, found.lost_file) == (1, 2)


def test_repeats_of_the_sink_are_counted_apart_from_those_of_the_source() -> None:
    found = accounted(Account(3), {0: [0, 1, 0, 1, 2]}, rows(0, 1, 0, 1, 2, 2))
    assert (found.repeats_topic, found.repeats_file) == (2, 1)


def test_order_is_counted_by_partition() -> None:
    found = accounted(Account(4), {0: [0, 2], 1: [1, 3]}, rows(0, 3, 1, 2))
    assert (found.rewinds_topic, found.rewinds_file) == (0, 1)
    assert rewinds([0, 1, 2, 1, 2, 3, 0]) == 2


def test_a_deleted_topic_takes_its_own_lines_along_and_no_others() -> None:
    found = accounted(Account(5, gone=frozenset({0, 1})), {0: [2, 4]}, rows(0, 1, 2, 4))
    assert (found.lost_topic, found.lost_file) == (1, 1)


def test_a_member_that_writes_what_its_successor_has_written_is_seen() -> None:
    old = [Written(at, 0, at, 1) for at in range(3)]
    new = [Written(at, 0, at, 2) for at in range(2, 6)]
    assert behind_successor([*old, *new]) == 0
    assert behind_successor([*old, *new, Written(3, 0, 3, 1), Written(4, 0, 4, 1)]) == 2
    assert behind_successor([*old, *new, Written(6, 0, 6, 1)]) == 0


@pytest.mark.parametrize("text", ["", line(7)[:-2], "x" + line(7)[1:-1], line(7)[:-1] + "x"])
def test_what_is_no_whole_line_is_none(text: str) -> None:
    assert number_of(text) == -1


def test_a_sinks_file_is_read_with_and_without_its_witness(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text(line(1) + "torn" + line(2))
    written, foreign = file_rows(tmp_path / "plain", witness=False)
    assert ([one.number for one in written], len(foreign)) == ([1], 1)
    (tmp_path / "told").write_text(f"0 5 77 {line(1)}" + line(2))
    written, foreign = file_rows(tmp_path / "told", witness=True)
    assert (written, len(foreign)) == ([Written(1, 0, 5, 77)], 1)


def test_a_flow_gives_every_line_once_and_the_last_when_it_is_told_to(tmp_path: Path) -> None:
    flow = Flow(tmp_path / "in.txt", 1_000, at_once=0.5, seconds=0.2)
    flow.start()
    assert flow.given >= 500
    flow.finish()
    assert (tmp_path / "in.txt").read_text() == "".join(map(line, range(1_000)))


def test_every_fault_comes_equally_often_and_a_round_is_known_by_its_seed() -> None:
    drawn = rounds(3 * len(FAULTS), 5)
    assert [one.faults for one in rounds(10, 5, first=11)] == [one.faults for one in drawn[10:20]]
    assert len({one.seed for one in drawn}) == len(drawn)
    assert {len(one.faults) for one in drawn} == {1, 2}
    one_turn = [one.faults[0] for one in drawn if len(one.faults) == 1][: len(FAULTS)]
    assert sorted(one_turn) == sorted(fault.name for fault in FAULTS)
