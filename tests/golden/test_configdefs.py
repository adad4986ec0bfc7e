"""Every definition of a setting against Java's (`configdefs-runtime.json`), field by field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden.altering import others
from golden.configdefs import FILE, SETTINGS, Ours, Steps, is_listed, of, problems, read
from golden.counting import Count
from golden.pinning import DIFFERENCES, Pins, moved, of_configdefs, pin, pins
from golden.rest.differing import Listed, read_list

from millstream.inventory.discovery import discover

GO_ON = "look at the list again; golden/pinning.py says how to go on"


@pytest.fixture(scope="module")
def recorded(goldens: Path) -> Steps:
    return read(goldens)


@pytest.fixture(scope="module")
def listed() -> Listed:
    return read_list(DIFFERENCES, "configdefs")


@pytest.fixture(scope="module")
def ours(recorded: Steps, listed: Listed) -> Steps:
    classes = list(dict.fromkeys(map(of, recorded)))
    return Ours(discover(), listed).steps([java for java in classes if listed.replays(java)])


def test_every_definition_is_as_java_has_it_or_as_listed(
    recorded: Steps, ours: Steps, listed: Listed, counted: dict[str, Count]
) -> None:
    found = {step: problems({step: fields}, ours, listed) for step, fields in recorded.items()}
    definitions = [step for step in recorded if not step.endswith(f": {SETTINGS}")]
    right = [step for step in definitions if listed.replays(of(step)) and not found[step]]
    differing = sum(is_listed(step, recorded[step], listed) for step in right)
    to_do = sum(not listed.replays(of(step)) for step in definitions)
    counted[FILE] = Count(len(right) - differing, len(definitions), differing, to_do)
    assert [problem for each in found.values() for problem in each] == []


def test_every_listed_definition_is_the_recorded_one_that_was_listed(recorded: Steps, listed: Listed) -> None:
    assert moved(of_configdefs(recorded, listed), pins("configdefs")) == [], GO_ON


def test_every_reason_is_a_row_of_the_deviations_and_no_entry_is_without_use(
    recorded: Steps, ours: Steps, listed: Listed
) -> None:
    problems(recorded, ours, listed)
    assert listed.unused() == set()
    rows = (DIFFERENCES.parents[2] / "docs" / "reference" / "deviations.md").read_text().splitlines()
    assert set(listed.reasons.values()) <= {row.split(" | ")[0].removeprefix("| ") for row in rows}
    assert {difference.reason for difference in listed.differences} == set(listed.reasons)


def changed(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in fields.items():
        yield from ({**fields, name: each} for each in others(value))
        yield {each: fields[each] for each in fields if each != name}
    yield {**fields, "unheard": "of"}


def verdict(step: str, fields: dict[str, Any], ours: Steps, listed: Listed, pinned: Pins) -> list[str]:
    """What a run says of one recorded definition: of its fields, and of a listed one whether it is still that one."""
    of_step = {step: pinned[step]} if step in pinned else {}
    return problems({step: fields}, ours, listed) + moved(of_configdefs({step: fields}, listed), of_step)


def test_changing_any_one_field_of_any_recorded_definition_is_noticed(
    recorded: Steps, ours: Steps, listed: Listed
) -> None:
    pinned = pins("configdefs")
    tried, unnoticed = 0, []
    for step, fields in recorded.items():
        assert verdict(step, dict(fields), ours, listed, pinned) == []
        for other in changed(dict(fields)):
            tried += 1
            if not verdict(step, other, ours, listed, pinned):
                unnoticed.append((step, other))
    assert unnoticed == []
    assert tried > 30 * (len(recorded) - 31)


def test_a_setting_more_or_less_and_another_order_is_noticed(recorded: Steps, ours: Steps, listed: Listed) -> None:
    for step in (step for step in recorded if step.endswith(f": {SETTINGS}") and listed.replays(of(step))):
        names = recorded[step]["names"].split()
        for other in ([*names, "more"], names[:-1] if names else ["more"], names[::-1] if names[1:] else ["other"]):
            assert problems({step: {"names": " ".join(other)}}, ours, listed)


def test_a_class_that_we_lack_and_that_is_not_listed_is_noticed(listed: Listed) -> None:
    with pytest.raises(AssertionError, match=r"^we have no com\.example\.Gone, and differences.toml does not say why"):
        Ours(discover(), listed).steps(["com.example.Gone"])


def test_every_setting_has_a_sentence_of_documentation(recorded: Steps, listed: Listed) -> None:
    ours = Ours(discover(), listed)
    for java in {of(step) for step in recorded if listed.replays(of(step))}:
        assert [each.name for each in ours.definitions(java) if not each.documentation.endswith(".")] == []


def test_a_pin_is_of_every_field() -> None:
    assert len({pin({"a": 1}), pin({"a": "1"}), pin({"a": None}), pin({"b": 1}), pin({})}) == 5
