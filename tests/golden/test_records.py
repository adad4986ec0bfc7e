"""Converters, header converters and file connectors against what Java Connect 4.3.1 wrote (`records.jsonl`).

Every case without a transformation runs in one worker; every field of its recorded answer is compared.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from golden.altering import changed, others
from golden.counting import Count
from golden.pinning import DIFFERENCES, Pins, is_listed_case, moved, of_records, pin, pins
from golden.records.recording import FILE, Answer, Case, Leaves, read
from golden.records.replaying import Logged, Trial, logged, replay
from golden.rest.comparing import differences
from golden.rest.differing import Listed, read_list

LENIENT = {"value.converter.json.lenient.numbers": "true"}


@pytest.fixture(scope="module")
def cases(goldens: Path) -> list[Case]:
    return read(goldens)


@pytest.fixture(scope="module")
def listed() -> Listed:
    return read_list(DIFFERENCES, "records")


@pytest.fixture(scope="module")
def replayed(cases: list[Case], listed: Listed) -> list[Case]:
    return [case for case in cases if listed.replays(case.step)]


@pytest.fixture(scope="module")
def with_numbers(replayed: list[Case], listed: Listed) -> list[Case]:
    """The cases that differ in what becomes of numbers that do not fit."""
    about = [difference for difference in listed.differences if difference.reason == "numbers"]
    return [case for case in replayed if any(each.expected(case.name, {}) for each in about)]


@dataclass(frozen=True)
class Ours:
    """answers: connector -> what came of it. leniently: the same with `json.lenient.numbers`; log: the worker's."""

    answers: Mapping[str, Answer]
    leniently: Mapping[str, Answer]
    log: str


@pytest.fixture(scope="module")
def ours(replayed: list[Case], with_numbers: list[Case], tmp_path_factory: pytest.TempPathFactory) -> Ours:
    plain = {case.connector: Trial(case, {}) for case in replayed}
    lenient = {case.connector: Trial(case, LENIENT) for case in with_numbers}
    folder = tmp_path_factory.mktemp("records")
    found = replay([*plain.values(), *lenient.values()], folder)
    return Ours(
        {connector: found[trial.name] for connector, trial in plain.items()},
        {connector: found[trial.name] for connector, trial in lenient.items()},
        (folder / "worker.log").read_text(errors="replace"),
    )


def problems(case: Case, ours: Leaves, listed: Listed) -> list[str]:
    """What is neither as recorded nor as listed."""
    return list(listed.unexpected(case.step, case.recorded, differences(case.recorded, ours)))


@pytest.mark.timeout(300)
def test_every_case_is_answered_as_java_did_or_as_listed(
    cases: list[Case], replayed: list[Case], ours: Ours, listed: Listed, counted: dict[str, Count]
) -> None:
    answers = {case.name: case.leaves(ours.answers[case.connector]) for case in replayed}
    found = {case.name: problems(case, answers[case.name], listed) for case in replayed}
    right = [case for case in replayed if not found[case.name]]
    differing = sum(is_listed_case(case, listed) for case in right)
    counted[FILE] = Count(len(right) - differing, len(cases), differing, len(cases) - len(replayed))
    assert [problem for each in found.values() for problem in each] == []
    assert {case.name for case in cases if "transforms" not in case.config} == {case.name for case in replayed}


@pytest.mark.timeout(300)
def test_with_lenient_numbers_java_s_file_is_written(with_numbers: list[Case], ours: Ours) -> None:
    for case in with_numbers:
        assert ours.leniently[case.connector]["file"] == case.answer["file"] != ours.answers[case.connector]["file"]
    assert len(with_numbers) == 4


@pytest.mark.timeout(300)
def test_what_java_put_into_a_dead_letter_queue_is_what_the_log_says_failed(replayed: list[Case], ours: Ours) -> None:
    """The queue itself is not built; where the log tells of each record, it tells of these, and why."""
    told = 0
    for case in replayed:
        if case.answer.get("dlq") and case.config.get("errors.log.include.messages") == "true":
            more = LENIENT if case.connector in ours.leniently else {}
            events = logged(ours.log, Trial(case, more).name)
            expected = [
                {header["key"]: header["value"] for header in letter["headers"]} for letter in case.answer["dlq"]
            ]
            assert [error_headers(event) for event in events] == [kept(each) for each in expected]
            messages = [each["__connect.errors.exception.message"] for each in expected]
            assert all(java in event.error for java, event in zip(messages, events, strict=True))
            told += len(events)
    assert told > 12


ERROR = "__connect.errors."
LINE = re.compile(
    r"ERROR Error encountered in task .*-(?P<id>\d+)\. Executing stage '(?P<stage>\w+)' with class '(?P<class>[\w.]+)',"
    r" where consumed record is \{topic='(?P<topic>.*)', partition=(?P<partition>\d+), offset=(?P<offset>\d+),.*"
)
PARTS = {"task.id": "id", "stage": "stage", "class.name": "class"} | {
    name: name for name in ("topic", "partition", "offset")
}


def error_headers(event: Logged) -> dict[str, str]:
    match = LINE.fullmatch(event.line)
    assert match, event.line
    return {header: match[part] for header, part in PARTS.items()}


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[ERROR + name] for name in PARTS}


def test_every_listed_case_is_the_recorded_one_that_was_listed(cases: list[Case], listed: Listed) -> None:
    now = of_records(cases, listed)
    assert moved(now, pins("records")) == [], "look at the list again; golden/pinning.py says how to go on"


@pytest.mark.timeout(300)
def test_every_reason_is_a_row_of_the_deviations_and_no_entry_is_without_use(
    cases: list[Case], replayed: list[Case], listed: Listed
) -> None:
    for case in cases:
        listed.replays(case.step)
        listed.expected(case.step, case.recorded)
    assert listed.unused() <= set(listed.own_settings)
    rows = (DIFFERENCES.parents[2] / "docs" / "reference" / "deviations.md").read_text().splitlines()
    assert set(listed.reasons.values()) <= {row.split(" | ")[0].removeprefix("| ") for row in rows}
    assert {difference.reason for difference in listed.differences} == set(listed.reasons)


@pytest.mark.timeout(300)
def test_an_answer_that_is_listed_must_be_as_listed(replayed: list[Case], ours: Ours, listed: Listed) -> None:
    """A listed field that is as recorded, or has a third value, is a problem."""
    tried = 0
    for case in replayed:
        mine = case.leaves(ours.answers[case.connector])
        for path in listed.expected(case.step, case.recorded):
            if path in mine:
                tried += 1
                third = problems(case, {**mine, path: "a third"}, listed)
                assert any(f" {path}: " in problem for problem in third)
                if path in case.recorded and "(spelling)" not in path:
                    assert problems(case, {**mine, path: case.recorded[path]}, listed)
    assert tried > 40


def test_a_case_has_one_name_and_one_connector(cases: list[Case]) -> None:
    for names in ([case.name for case in cases], [case.connector for case in cases]):
        assert [name for name, count in Counter(names).items() if count > 1] == []


# ---- a changed recording


def verdict(case: Case, ours: Leaves | None, listed: Listed, pinned: Pins) -> list[str]:
    """What a run says of one case: of one that is pinned, whether it is still that one; then of its fields."""
    if case.name in pinned and pin(case.answer) != pinned[case.name]:
        return [f"{case.name}: was listed for another recorded answer, or is not listed, and pinned"]
    return [] if ours is None else problems(case, ours, listed)


@pytest.mark.timeout(300)
def test_changing_any_one_field_of_any_recorded_answer_is_noticed(
    cases: list[Case], ours: Ours, listed: Listed
) -> None:
    pinned = pins("records")
    unnoticed, tried = [], 0
    for case in cases:
        mine = case.leaves(ours.answers[case.connector]) if listed.replays(case.step) else None
        assert verdict(case, mine, listed, pinned) == []
        ways = 1 if mine is None else 3
        for answer in changed(dict(case.answer), lambda leaf, ways=ways: others(leaf)[:ways]):
            tried += 1
            if not verdict(replace(case, answer=answer), mine, listed, pinned):
                unnoticed.append((case.name, answer))
    assert unnoticed == []
    assert tried > 100 * len(cases)
