"""The row engine gives what Connect gives record by record: output, offsets, reports, counts, waits, calls.

The model (exactness/model.py) knows one record and one operation at a time, and shares no code with the pipeline. Cases
are whole numbers: hypothesis searches some, a seed each gives the many. A failing one is made small and shown.
MILLSTREAM_EXAMPLES sets how many seeds are tried, MILLSTREAM_SEED the first of them.
"""

import os
from collections import Counter
from collections.abc import Callable

import pytest
from exactness.cases import LINKS, MOODS, ROWS, SLICE, Case, Numbers, Seen, case_of, drawn, smallest
from exactness.engine import Engine
from exactness.model import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.pipeline import slicing

EXAMPLES = int(os.environ.get("MILLSTREAM_EXAMPLES", "12000"))
FIRST = int(os.environ.get("MILLSTREAM_SEED", "0"))
SEARCHED = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=False
)
NUMBERS = (
    st.lists(st.integers(0, 2**48 - 1), max_size=ROWS),
    st.lists(st.integers(0, 2**32 - 1), max_size=LINKS),
    st.integers(0, MOODS - 1),
)


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "SLICE_ROWS", SLICE)


def compare(model: Seen, engine: Seen) -> None:
    assert engine.failed == model.failed
    assert {k: v for k, v in engine.sent.items() if v} == {k: v for k, v in model.sent.items() if v}
    assert engine.offsets == model.offsets
    assert engine.boundaries == model.boundaries
    assert engine.reports == model.reports
    assert dict(engine.counts) == {k: v for k, v in model.counts.items() if v}
    if model.failed is None:
        assert engine.waited_ms == model.waited_ms
    last = model.failed[0] if model.failed else 10**9
    for who in {*model.calls.log, *engine.calls.log} - {"headers"}:
        mine = [number for number in engine.calls.log[who] if number <= last]
        assert mine == model.calls.log[who], who
        if model.failed and int(who.split()[1]) >= model.failed_link and model.failed[1] != "stranger":
            # "stranger": what a form gave is looked at behind the slice, so that no sound plugin pays for a type a row
            assert mine == engine.calls.log[who], "a row behind the failed one was led on"
    mine, theirs = engine.calls.log["headers"], model.calls.log["headers"]
    exact = model.failed is None or (model.reports[-1:] and model.reports[-1][:2] == (last, "HEADER_CONVERTER"))
    assert mine == theirs if exact else mine[: len(theirs)] == theirs


def source(case: Case) -> Seen:
    model, engine = Model(case), Engine(case)
    theirs, before = model.each(model.source, case.rows), repr(case.rows)
    compare(theirs, engine.source())
    assert repr(case.rows) == before, "a row was changed in place"
    return theirs


def sink(case: Case) -> Seen:
    model, engine = Model(case), Engine(case)
    theirs = model.each(model.sink, case.rows)
    theirs.boundaries.clear()  # a source's alone
    if theirs.failed is not None:  # a sink puts nothing of the poll that failed
        start = theirs.failed[0] // SLICE * SLICE
        theirs.sent["put"] = [item for item in theirs.sent["put"] if item[0] < start]
    compare(theirs, engine.sink())
    return theirs


@pytest.mark.timeout(120)
@SEARCHED
@given(*NUMBERS)
def test_a_source_gives_what_one_record_at_a_time_gives(rows: list[int], links: list[int], mood: int) -> None:
    source(case_of(rows, links, mood))


@pytest.mark.timeout(120)
@SEARCHED
@given(*NUMBERS)
def test_a_sink_gives_what_one_record_at_a_time_gives(rows: list[int], links: list[int], mood: int) -> None:
    sink(case_of(rows, links, mood))


@pytest.mark.timeout(180 + EXAMPLES // 50)
@pytest.mark.parametrize("way", [source, sink])
def test_no_case_of_many_differs_from_one_record_at_a_time(way: Callable[[Case], Seen]) -> None:
    found: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + EXAMPLES):
        numbers = drawn(seed)
        case = case_of(*numbers)
        try:
            seen = way(case)
        except Exception:  # a difference, or an engine that fell over: both are told of the smallest case
            small = smallest(numbers, lambda some: differs(way, some))
            print(f"seed {seed}; the smallest that differs: case_of{small} = {case_of(*small)}")
            way(case_of(*small))
            raise
        found.update(kinds_of(case, seen))
    expected = EXAMPLES / 25
    for kind in ("failed", "whole", "skipped", "retried", "reported", "headers", "nulls", "negated", "several topics"):
        assert found[kind] > expected, f"{found[kind]} of {EXAMPLES} cases {kind}: {found}"


def differs(way: Callable[[Case], Seen], numbers: Numbers) -> bool:
    try:
        way(case_of(*numbers))
    except Exception:
        return True
    return False


def kinds_of(case: Case, seen: Seen) -> list[str]:
    """What a case was good for, so that the cases cannot become trivial unnoticed."""
    rows = case.rows
    marks = {
        "failed": seen.failed is not None,
        "whole": seen.failed is None and len(rows) > SLICE and bool(case.links) and any(seen.sent.values()),
        "skipped": seen.counts.get("SKIP"),
        "retried": seen.counts.get("RETRY"),
        "reported": seen.reports,
        "headers": seen.calls.log["headers"],
        "nulls": any(row.value is None for row in rows),
        "negated": any(negate and asked is not None for _, _, asked, negate in case.links),
        "several topics": len({row.topic for row in rows}) > 1,
    }
    return [kind for kind, marked in marks.items() if marked]
