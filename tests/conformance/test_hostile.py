"""Plugins that do what no plugin should, many side by side in one worker, beside a pipeline that must not notice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest
from arena import CHANGES_BATCH, SINK, SOURCE, Arena, Case, arena_in, memory_mb, threads
from running import Answer, Rest, processes, tasks_and_probes, until

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux"),
]

#: what a start that does nothing wrong never needs, on a machine that is busy with others
START_S = 25
STOP_S = 1
#: connectors of one worker wait for one another's turn, never for one another's code; who waits for code gets an answer
#: after 90 s
DELETE_S = 60.0
#: less than the START_S for which somebody's code may hang; a thousandth of it on a quiet machine
ANSWER_S = 20.0
MEMORY_MB = 60
#: of a probe that hangs: the client gives up before the worker does
GIVES_UP_S = 20.0
UNSPEAKABLE = "Unspeakable: <the text of this error cannot be had: its __str__ raised ValueError>"

ENDS = {
    "exit_at_once": "the process ended itself with exit code 3",
    "segfault": "the process was ended by signal 11 (SIGSEGV)",
    "abort": "the process was ended by signal 6 (SIGABRT)",
    "system_exit": "SystemExit: 5",
    "keyboard_interrupt": "KeyboardInterrupt",
    "raise_unpicklable": "Unpicklable: this cannot be pickled",
    "raise_unspeakable": UNSPEAKABLE,
}
PLACES = ("connector.start", "connector.task_configs", "task.start", "task.poll", "task.put")
HANGS = ("sleep", "spin", "hold_the_gil")
HARMLESS = ("stray_thread", "close_stdout", "change_folder", "other_signals")
#: task configs that cannot be had now are asked for again, as Java's herder does
ASKED_AGAIN = [Case(deed, "connector.task_configs", "RUNNING") for deed in ("raise_unpicklable", "raise_unspeakable")]
CRASHES = [
    Case(deed, place, "FAILED", told)
    for deed, told in ENDS.items()
    for place in PLACES
    if place != "connector.task_configs" or not deed.startswith("raise_")
] + [Case(deed, "connector.start", "FAILED", told, sink=True) for deed, told in ENDS.items()]
TOO_MUCH = [
    *(Case("greed", place, "FAILED", "MemoryError") for place in ("connector.start", "task.start", "task.put")),
    *(Case("leak", place, "FAILED", "MemoryError") for place in ("connector.start", "task.poll")),
]
BAD_OFFSETS = [
    Case("sleep", "none", "FAILED", told, offset)
    for offset, told in {
        "set": "Offsets may only contain primitive types as values, but field n contains set",
        "object": "Offsets may only contain primitive types as values, but field n contains object",
        "huge": "Offsets hold integers of 64 bits, but field n contains",
    }.items()
]
#: what Java's JsonConverter makes of them, and gives back after a restart: a text
STORED_AS_TEXT = {"nan": "NaN", "bytes": "/w=="}
STARTS_THAT_HANG = [
    Case(deed, place, "FAILED", told)
    for deed in HANGS
    for place, told in {
        "connector.start": f"did not return from start within connector.start.timeout.ms={START_S}000",
        "connector.task_configs": f"did not answer task_configs within {START_S} s",
    }.items()
]
#: the monitor's thread keeps its process from saying that it has started, or from the next answer
MONITOR = Case("hold_the_gil", "connector.monitor", "FAILED", "in monitor")
ENDED = [*CRASHES, *TOO_MUCH, *BAD_OFFSETS]
ENDED_BY_THE_WORKER = [MONITOR, *STARTS_THAT_HANG]
FLOODS = [Case("flood", place, "RUNNING") for place in ("connector.start", "task.start", "task.poll", "task.put")]
GO_ON = [
    *(Case(deed, place, "RUNNING") for deed in HARMLESS for place in ("connector.start", "task.poll", "task.put")),
    Case("greet", "task.poll", "RUNNING"),
    *(Case("change_batch", place, "RUNNING") for place in ("task.poll", "task.put")),
    Case("none", "none", "RUNNING", more=(("transforms", "t"), ("transforms.t.type", CHANGES_BATCH))),
    *ASKED_AGAIN,
    *(Case("sleep", "none", "RUNNING", offset=kind) for kind in STORED_AS_TEXT),
    *(Case(deed, "task.stop", "RUNNING") for deed in ENDS),
]
HANG_ON = [
    *(Case(deed, "connector.monitor", "RUNNING") for deed in ("sleep", "spin")),
    *(Case(deed, "connector.stop", "RUNNING") for deed in HANGS),
    *(Case(deed, place, "RUNNING") for deed in HANGS for place in ("task.poll", "task.put", "task.stop")),
    Case("sleep", "task.pre_commit", "RUNNING"),
]
NEVER_STARTED = [Case(deed, "task.start", "RUNNING") for deed in HANGS]
#: what ends by itself comes first: plugins that spin take every core there is, and a start has its deadline
FIRST = [*ENDED, *GO_ON]
THEN = [*ENDED_BY_THE_WORKER, *HANG_ON, *NEVER_STARTED]
CASES = [*FLOODS, *FIRST, *THEN]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    properties = {
        "connector.start.timeout.ms": str(START_S * 1000),
        "task.shutdown.graceful.timeout.ms": str(STOP_S * 1000),
        "task.memory.max.bytes": "500000000",
    }
    with arena_in(tmp_path_factory.mktemp("arena"), **properties) as made:
        yield made


@pytest.fixture(scope="module")
def flooded(arena: Arena) -> Arena:
    arena.create(FLOODS)
    return arena


@pytest.fixture(scope="module")
def crowd(flooded: Arena) -> Arena:
    flooded.create(FIRST)
    return flooded


@pytest.fixture(scope="module")
def hostile(crowd: Arena) -> Iterator[Arena]:
    """The arena with every hostile connector in it, and a probe that hangs in every way."""
    with ThreadPoolExecutor(len(HANGS)) as asking:
        impatient = Rest()
        impatient.url, impatient.answer_s = crowd.worker.url, GIVES_UP_S
        asked = [asking.submit(probed, impatient, deed) for deed in HANGS]
        crowd.create(THEN)
        assert not any(future.done() and future.exception() is None for future in asked), "a probe that hangs answered"
        yield crowd
        for future in asked:
            future.exception()


def probed(rest: Rest, deed: str, connector: str = SOURCE) -> Answer:
    config = {"name": "asked", "connector.class": connector, "deed": deed, "place": "connector.probe"}
    if connector == SINK:
        config["topics"] = "lines"
    return rest.call("PUT", f"/connector-plugins/{connector}/config/validate", config)


@pytest.mark.parametrize("case", FLOODS, ids=lambda case: case.name)
def test_a_flood_of_prints_does_not_hold_up_a_start_for_ever(flooded: Arena, case: Case) -> None:
    flooded.reaches(case)


def test_a_flood_of_prints_is_cut_with_a_count_and_not_kept_in_memory(flooded: Arena) -> None:
    def told(who: str) -> bool:
        return any(who in line and "of its output were cut" in line for line in flooded.worker.log.splitlines())

    for case in FLOODS:
        who = f"[{case.name}{'' if case.at_connector else '|task-0'}"
        until(lambda who=who: told(who), f"the flood of {who}] to be cut with a count", 120)
    assert flooded.worker.log.count("of its output were cut") < 250 * len(FLOODS), "once a second, and not once a line"
    assert memory_mb(flooded.pid, "VmHWM") - flooded.first_memory < MEMORY_MB


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_it_is_failed_and_its_trace_says_what_happened(crowd: Arena, case: Case) -> None:
    crowd.reaches(case)


@pytest.mark.parametrize("case", GO_ON, ids=lambda case: case.name)
def test_it_goes_on_as_if_nothing_were(crowd: Arena, case: Case) -> None:
    crowd.reaches(case)


@pytest.mark.parametrize("kind", STORED_AS_TEXT)
def test_an_offset_that_json_has_no_form_for_is_stored_as_javas_converter_writes_it(crowd: Arena, kind: str) -> None:
    stored = {"partition": {"hostile": True}, "offset": {"n": STORED_AS_TEXT[kind]}}
    until(lambda: crowd.worker.offsets(f"offset-{kind}") == [stored], f"{stored} to be stored", 120)


@pytest.mark.parametrize("connector", [SOURCE, SINK])
@pytest.mark.parametrize("deed", ENDS)
def test_a_probe_that_ends_badly_is_answered_with_the_cause(crowd: Arena, deed: str, connector: str) -> None:
    answer = probed(crowd.worker, deed, connector)
    assert answer.status == 500
    told = ENDS[deed].partition(": ")[2] if deed.startswith("raise_") else ENDS[deed]  # as Java: the error's own text
    assert told in answer.json["message"]


@pytest.mark.parametrize("name", ["ExitsAtImport", "SinkExitsAtImport"])
def test_a_module_that_ends_its_process_on_import_is_refused(crowd: Arena, name: str) -> None:
    config = {"connector.class": f"millstream_hostile.exits_at_import:{name}", "topic": "none", "topics": "none"}
    answer = crowd.worker.call("POST", "/connectors", {"name": "exits-at-import", "config": config})
    assert answer.status >= 400
    assert "its module ended the process on import: SystemExit(7)" in answer.text


@pytest.mark.parametrize("case", ENDED_BY_THE_WORKER, ids=lambda case: case.name)
def test_what_hangs_is_failed_and_its_trace_says_where(hostile: Arena, case: Case) -> None:
    hostile.reaches(case)


@pytest.mark.parametrize("case", HANG_ON, ids=lambda case: case.name)
def test_what_hangs_after_its_start_is_running_and_harms_nobody(hostile: Arena, case: Case) -> None:
    hostile.reaches(case)


@pytest.mark.parametrize("case", NEVER_STARTED, ids=lambda case: case.name)
def test_a_task_whose_start_does_not_return_is_not_said_to_run(hostile: Arena, case: Case) -> None:
    tasks = f"/connectors/{case.name}/tasks"
    until(lambda: len(hostile.worker.call("GET", tasks).json) == 1, f"{case.name} to have its task", 120)
    assert hostile.worker.states(case.name) in (["RUNNING"], ["RUNNING", "UNASSIGNED"])


def test_all_the_while_lines_arrive_and_the_worker_answers(hostile: Arena) -> None:
    hostile.arrives()
    assert len(hostile.answers) > 100
    slow = sorted(hostile.answers)[-3:]
    assert max(hostile.answers) < ANSWER_S, f"GET / took {slow} s"
    assert median(hostile.answers) < 1.0


@pytest.fixture(scope="module")
def aftermath(hostile: Arena) -> list[tuple[str, int, float]]:
    """Every hostile connector deleted: name, answer, seconds it took."""
    return hostile.delete(CASES)


def test_each_can_be_deleted_in_bounded_time(aftermath: list[tuple[str, int, float]]) -> None:
    assert [each for each in aftermath if each[1] != 204] == []
    assert [each for each in aftermath if each[2] > DELETE_S] == []


def test_of_none_a_process_or_a_thread_is_left(hostile: Arena, aftermath: object) -> None:
    assert hostile.worker.call("GET", "/connectors").json in (["dump", "load"], ["load", "dump"])
    until(
        lambda: len(tasks_and_probes(hostile.worker)) <= 2 + len(HANGS), "only the good tasks and the probes to be left"
    )
    until(lambda: threads(hostile.pid) <= hostile.first_threads + len(HANGS), "the worker's threads to be gone")
    hostile.arrives()


def test_the_worker_ends_in_order_and_takes_everything_with_it(hostile: Arena, aftermath: object) -> None:
    hostile.end()
    until(lambda: hostile.copy.read_bytes() == hostile.original.read_bytes(), "the copy to be identical")
    assert hostile.worker.stop() == 0
    until(lambda: not processes(hostile.worker), "every process of the worker to be gone")
