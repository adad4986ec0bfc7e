"""Connectors that hang in every method, in every way: others start meanwhile, and each says where it hangs."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from running import PROPERTIES, Answer, WorkerProcess, until

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux"),
]

SOURCE = "millstream_hostile.connectors:HostileSource"
DEEDS = ("sleep", "spin", "hold_the_gil")
PLACES = ("start", "task_configs", "monitor")
#: what a start that does nothing wrong never needs, on a machine that is busy with others
START_S = 25
PATIENCE_S = 90.0
STARTING = "The worker is currently starting the connector, which began at "


@dataclass
class Scene:
    """A worker in which connectors hang, and who asks it meanwhile."""

    worker: WorkerProcess
    asking: ThreadPoolExecutor
    numbers: Iterator[int]

    def create(self, deed: str, place: str) -> "tuple[str, Future[Answer]]":
        name = name_of(deed, place)
        config = {"connector.class": SOURCE, "topic": name, "deed": deed, "place": f"connector.{place}"}
        return name, self.asking.submit(self.worker.call, "POST", "/connectors", {"name": name, "config": config})

    def status(self, name: str) -> Answer:
        return self.worker.call("GET", f"/connectors/{name}/status")

    def others_start(self) -> None:
        """A good connector that is made now comes to run, and the worker answers."""
        name = f"good-{next(self.numbers)}"
        self.worker.create(name, **{"connector.class": "FileStreamSource", "file": "in.txt", "topic": "lines"})
        until(lambda: self.worker.states(name) == ["RUNNING", "RUNNING"], f"{name} to run", PATIENCE_S)
        assert self.worker.call("GET", "/").status == 200

    def fails(self, name: str) -> str:
        """The trace, once the connector is given up."""
        until(lambda: self.worker.states(name)[:1] == ["FAILED"], f"{name} to be given up", PATIENCE_S)
        return str(self.status(name).json["connector"]["trace"])


def name_of(deed: str, place: str) -> str:
    return f"{deed}-{place}".replace("_", "-")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    properties = {**PROPERTIES, "connector.start.timeout.ms": str(START_S * 1000)}
    worker = WorkerProcess(tmp_path_factory.mktemp("hang"), properties)
    with ThreadPoolExecutor(len(DEEDS) * (len(PLACES) + 1)) as asking:
        try:
            worker.start()
            (worker.folder / "in.txt").touch()
            yield Scene(worker, asking, count())
        finally:
            if worker.process is not None and worker.process.poll() is None:
                worker.kill()


@dataclass
class Hanging:
    """Every connector that hangs, all at once, for the time that each has before it is given up.

    said: what the status of each said meanwhile.   created: by name, the answer to its creation, once there is one.
    """

    said: Mapping[str, str]
    created: "Mapping[str, Future[Answer]]"


@pytest.fixture(scope="module")
def hanging(scene: Scene) -> Hanging:
    """And a good connector that comes to run while each of them still hangs."""
    created = dict(scene.create(deed, place) for place in PLACES for deed in DEEDS)
    starts, asked = ([name_of(deed, place) for deed in DEEDS] for place in ("start", "task_configs"))
    said = {
        name: until(
            lambda name=name: told_of(scene.status(name), STARTING), f"the status of {name} to say what goes on"
        )
        for name in starts
    }
    for name in asked:
        until(lambda name=name: scene.worker.states(name) == ["RUNNING"], f"{name} to have started", PATIENCE_S)
    scene.others_start()
    given_up = [name for name in (*starts, *asked) if "FAILED" in scene.worker.states(name)]
    assert given_up == [], "others did not start before it was"
    return Hanging(said, created)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_start_that_hangs_is_told_while_it_does_and_with_its_place_when_it_is_given_up(
    scene: Scene, hanging: Hanging, deed: str
) -> None:
    name = name_of(deed, "start")
    assert hanging.said[name].startswith(f"No status found for connector {name}. {STARTING}")
    answer = hanging.created[name].result()
    assert (answer.status, answer.json["tasks"]) == (201, [])
    trace = scene.fails(name)
    assert f"did not return from start within connector.start.timeout.ms={START_S}000" in trace
    assert f"in {deed}" in trace
    assert 'connectors.py", line' in trace


@pytest.mark.parametrize("deed", DEEDS)
def test_task_configs_that_hang_are_given_up_with_their_place(scene: Scene, hanging: Hanging, deed: str) -> None:
    name = name_of(deed, "task_configs")
    answer = hanging.created[name].result()
    assert (answer.status, answer.json["tasks"]) == (201, [])
    trace = scene.fails(name)
    assert f"did not answer task_configs within {START_S} s" in trace
    assert f"in {deed}" in trace
    assert "in task_configs" in trace


@pytest.mark.parametrize("deed", DEEDS)
def test_a_monitor_that_hangs_is_one_that_watches_unless_it_lets_nobody_speak(
    scene: Scene, hanging: Hanging, deed: str
) -> None:
    name = name_of(deed, "monitor")
    assert hanging.created[name].result().status == 201
    if deed == "hold_the_gil":
        trace = scene.fails(name)
        # by its start, or by the next question if its thread let the process say that it has started
        assert "did not return from start within" in trace or "did not answer task_configs within" in trace
        assert f"in {deed}" in trace
        assert "in monitor" in trace
    else:
        until(lambda: scene.worker.states(name) == ["RUNNING", "RUNNING"], f"{name} and its task to run", PATIENCE_S)


@pytest.mark.parametrize("deed", DEEDS)
def test_others_start_while_a_validation_hangs(scene: Scene, deed: str) -> None:
    name, asked = scene.create(deed, "probe")
    scene.others_start()
    assert not asked.done()
    assert scene.status(name).status == 404
    assert name not in scene.worker.call("GET", "/connectors").json


def told_of(answer: Answer, words: str) -> str:
    """What the answer's message says, once it says these words."""
    message = str(answer.json.get("message", ""))
    return message if words in message else ""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("deed", DEEDS)
def test_what_hangs_can_be_deleted(scene: Scene, hanging: Hanging, deed: str, place: str) -> None:
    name = name_of(deed, place)
    hanging.created[name].result()
    assert scene.worker.call("DELETE", f"/connectors/{name}").status == 204
    assert name not in scene.worker.call("GET", "/connectors").json
