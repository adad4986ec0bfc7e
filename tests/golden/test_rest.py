"""The REST API against what the Java worker answered (`rest.jsonl`), exchange by exchange, in running workers."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden.counting import Count
from golden.pinning import DIFFERENCES, moved, of_rest, pins
from golden.rest.between import BEFORE, SETTINGS
from golden.rest.differing import Listed, read_list
from golden.rest.recording import Exchange, read
from golden.rest.replaying import Judge, Replay

HERE = Path(__file__).parent
SCENARIOS = [scenario for setting in SETTINGS for scenario in setting.scenarios]


@pytest.fixture(scope="session")
def exchanges(goldens: Path) -> list[Exchange]:
    return read(goldens)


@pytest.fixture(scope="session")
def listed() -> Listed:
    return read_list(DIFFERENCES)


@pytest.fixture(scope="session")
def replay(
    request: pytest.FixtureRequest,
    exchanges: list[Exchange],
    listed: Listed,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Replay]:
    """Every scenario that this run asks for, begun: workers run side by side while the tests wait for them."""
    judge = Judge(lambda exchange, answer: not listed.problems(exchange, answer), listed.is_to_do)
    replayed = [exchange for exchange in exchanges if listed.replays(exchange.name)]
    replay = Replay(judge, replayed, tmp_path_factory.mktemp("replay"))
    chosen = [getattr(item, "callspec", None) for item in request.session.items]
    replay.begin(str(spec.params["scenario"]) for spec in chosen if spec is not None and "scenario" in spec.params)
    yield replay
    replay.end()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_exchange_is_answered_as_java_did_or_as_listed(
    scenario: str, replay: Replay, exchanges: list[Exchange], listed: Listed, counted: dict[str, Count]
) -> None:
    outcome = replay.of(scenario)
    problems = {exchange.name: listed.problems(exchange, answer) for exchange, answer in outcome}
    of = sum(exchange.scenario == scenario for exchange in exchanges)
    right = [exchange for exchange, _ in outcome if not problems[exchange.name] and not listed.is_to_do(exchange)]
    alike = sum(map(listed.alike, right))
    to_do = of - len(outcome) + sum(listed.is_to_do(exchange) for exchange, _ in outcome)
    counted[f"rest: {scenario}"] = Count(alike, of, len(right) - alike, to_do)
    assert [problem for found in problems.values() for problem in found] == []


def test_each_recorded_scenario_is_replayed_or_of_another_test(exchanges: list[Exchange], listed: Listed) -> None:
    assert {exchange.scenario for exchange in exchanges} - set(SCENARIOS) <= set(listed.other_scenarios)


def test_every_listed_answer_is_the_recorded_one_that_was_listed(exchanges: list[Exchange], listed: Listed) -> None:
    now = of_rest(exchanges, listed)
    assert moved(now, pins("rest")) == [], "look at the list again; golden/pinning.py says how to go on"


def test_every_reason_is_a_row_of_the_deviations(listed: Listed) -> None:
    rows = (HERE.parents[1] / "docs" / "reference" / "deviations.md").read_text().splitlines()
    cells = {row.split(" | ")[0].removeprefix("| ") for row in rows if row.startswith("| ")}
    assert set(listed.reasons.values()) <= cells
    assert {difference.reason for difference in listed.differences} == set(listed.reasons)


@pytest.mark.timeout(400)
def test_no_entry_of_the_list_is_without_use(exchanges: list[Exchange], listed: Listed, replay: Replay) -> None:
    replay.begin(SCENARIOS)
    for scenario in SCENARIOS:
        for exchange, answer in replay.of(scenario):
            listed.problems(exchange, answer)
    for exchange in exchanges:
        listed.replays(exchange.name)
    assert listed.unused() == set()


def test_what_is_done_before_a_step_is_done_before_one_that_is_recorded(exchanges: list[Exchange]) -> None:
    assert set(BEFORE) <= {exchange.name for exchange in exchanges}


def test_a_step_has_one_name(exchanges: list[Exchange]) -> None:
    assert [name for name, count in Counter(exchange.name for exchange in exchanges).items() if count > 1] == []
