"""The same deeds with `task.isolation=thread`: what a plugin in the worker's own process cannot spoil.

What it can is listed here with the reason; docs/explanation/isolation.md tells the operator.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from arena import CHANGES_BATCH, Arena, Case, arena_in
from running import until

pytestmark = [
    pytest.mark.timeout(500),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux"),
]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "isolation.md"
#: deeds that take the worker, or something that all its threads share, with them; run in no thread here
TAKES_THE_WORKER = {
    "exit_at_once": "`os._exit` ends the process, which is the worker's",
    "segfault": "a signal of the machine ends the process, which is the worker's",
    "abort": "it ends the process, which is the worker's",
    "greed": "memory has one limit a process: `task.memory.max.bytes` is not applied",
    "leak": "memory has one limit a process: `task.memory.max.bytes` is not applied",
    "hold_the_gil": "a C call that keeps the interpreter keeps it from the worker's threads, too",
    "close_stdout": "descriptor 1 is the worker's; what it opens next gets the number",
    "change_folder": "a process has one working directory: relative paths of all change their meaning",
    "flood": "it goes to the worker's own output, past the worker, and is not cut",
}
START_S = 15
TOO_LATE = f"did not return from start within connector.start.timeout.ms={START_S}000"
UNSPEAKABLE = "Unspeakable: <the text of this error cannot be had: its __str__ raised ValueError>"
ENDS = {
    "system_exit": "SystemExit: 5",
    "keyboard_interrupt": "KeyboardInterrupt",
    "raise_unpicklable": "Unpicklable: this cannot be pickled",
    "raise_unspeakable": UNSPEAKABLE,
    "other_signals": "ValueError: signal only works in main thread of the main interpreter",
}
PLACES = ("connector.start", "task.start", "task.poll", "task.put")
ENDED = [
    *(Case(deed, place, "FAILED", told) for deed, told in ENDS.items() for place in PLACES),
    Case("sleep", "none", "FAILED", "but field n contains set", "set"),
]
GO_ON = [
    *(Case("stray_thread", place, "RUNNING") for place in PLACES),
    Case("greet", "task.poll", "RUNNING"),
    *(Case("change_batch", place, "RUNNING") for place in ("task.poll", "task.put")),
    Case("none", "none", "RUNNING", more=(("transforms", "t"), ("transforms.t.type", CHANGES_BATCH))),
    *(Case(deed, "task.stop", "RUNNING") for deed in ENDS),
]
#: abandoned when they are stopped; the thread that spins costs the others time for ever, so there is one of it
HANGS = [
    Case(
        "sleep", "connector.start", "FAILED", f"did not return from start within connector.start.timeout.ms={START_S}"
    ),
    *(Case("sleep", place, "RUNNING") for place in ("task.poll", "task.put", "task.stop", "connector.stop")),
    Case("spin", "task.poll", "RUNNING"),
]
CASES = [*ENDED, *GO_ON, *HANGS]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    properties = {
        "task.isolation": "thread",
        "connector.start.timeout.ms": str(START_S * 1000),
        "task.shutdown.graceful.timeout.ms": "1000",
    }
    with arena_in(tmp_path_factory.mktemp("threads"), **properties) as made:
        yield made


@pytest.fixture(scope="module")
def hostile(arena: Arena) -> Arena:
    arena.create([*ENDED, *GO_ON])
    arena.create(HANGS)
    return arena


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_an_error_fails_who_raised_it_and_says_so(hostile: Arena, case: Case) -> None:
    hostile.reaches(case)


@pytest.mark.parametrize("case", GO_ON, ids=lambda case: case.name)
def test_it_goes_on_as_if_nothing_were(hostile: Arena, case: Case) -> None:
    hostile.reaches(case)


@pytest.mark.parametrize("case", HANGS, ids=lambda case: case.name)
def test_a_thread_that_hangs_holds_nobody_up(hostile: Arena, case: Case) -> None:
    hostile.reaches(case)


def test_a_module_that_ends_its_process_on_import_is_refused(hostile: Arena) -> None:
    config = {"connector.class": "millstream_hostile.exits_at_import:ExitsAtImport", "topic": "none"}
    answer = hostile.worker.call("POST", "/connectors", {"name": "exits-at-import", "config": config})
    assert answer.status >= 400
    assert "its module ended the process on import: SystemExit(7)" in answer.text


def test_each_can_be_deleted_and_lines_arrive_all_the_while(hostile: Arena) -> None:
    hostile.arrives()
    assert [each for each in hostile.delete(CASES) if each[1] != 204] == []
    assert sorted(hostile.worker.call("GET", "/connectors").json) == ["dump", "load"]
    hostile.arrives()


def test_threads_that_cannot_be_ended_do_not_keep_the_worker_from_ending(hostile: Arena) -> None:
    hostile.end()
    until(lambda: hostile.copy.read_bytes() == hostile.original.read_bytes(), "the copy to be identical")
    assert hostile.worker.stop() == 0
    assert "threads that plugins left behind" in hostile.worker.log


def test_every_deed_is_survived_or_listed_and_the_page_for_operators_lists_the_same() -> None:
    from millstream_hostile.deeds import DEEDS

    survived = {case.deed for case in CASES} | {"none"}
    assert survived | set(TAKES_THE_WORKER) == set(DEEDS)
    assert not survived & set(TAKES_THE_WORKER)
    page = PAGE.read_text()
    for deed, reason in TAKES_THE_WORKER.items():
        assert reason in page, f"{PAGE.name} does not say of {deed}: {reason}"
