"""What the tests of the worker share: a worker, specifications, and ears that can wait."""

import heapq
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hosted import STUCK

from millstream.host.channel import (
    Counted,
    Event,
    LogLine,
    PluginTarget,
    Reconfigure,
    RunConnector,
    RunProbe,
    RunTask,
    StateChanged,
)
from millstream.lifecycle import ManualClock, SystemClock
from millstream.worker.loop import Loop
from millstream.worker.worker import Worker, WorkerSetup

STRINGS = "org.apache.kafka.connect.storage.StringConverter"
PATIENCE_S = 60.0
"""For what other threads and processes bring about: on a busy machine they wait for their turn."""


class Ears:
    """Hears events; waits for what is expected."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def states(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, StateChanged)]

    def lines(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, LogLine)]

    def wait(self, expected: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        with self._changed:
            assert self._changed.wait_for(expected, seconds), self.events[-20:]

    def until(self, state: str, seconds: float = PATIENCE_S) -> StateChanged:
        self.wait(lambda: state in self.states(), seconds)
        return [event for event in self.events if isinstance(event, StateChanged) and event.state == state][-1]

    def until_stuck(self) -> None:
        """The plugin is at a deed that takes for ever."""
        self.wait(lambda: STUCK in self.lines())

    def until_counted(self) -> None:
        self.wait(lambda: any(isinstance(event, Counted) for event in self.events))

    def until_reconfigured(self) -> None:
        self.wait(lambda: any(isinstance(event, Reconfigure) for event in self.events))


class Forward(SystemClock):
    """The machine's clock, which a test puts forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + round(self._ahead * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def put_forward(self, seconds: float) -> None:
        self._ahead += seconds


class Timed(Worker):
    """A worker whose deadlines are over when the test says so, and long enough not to be over before."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.clock = Forward()
        super().__init__(setup, clock=self.clock)

    def pass_time(self, seconds: float) -> None:
        """What is due by then is done when this returns; what was said or asked before is heard before it passes."""
        self._come_round()
        self.clock.put_forward(seconds)
        self._come_round()

    def _come_round(self) -> None:
        """Its loop reads what there is, looks at its clock, and does what it was asked, in this order."""
        self.stop_tasks([]).result(PATIENCE_S)


class Turning:
    """A loop on a clock of ours, without its thread: what is due in a time is done when the test lets it pass."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.loop = Loop(self.clock)

    def pass_time(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while self.loop._timers and self.loop._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self.loop._timers)
            self.clock.advance(max(due - self.clock.monotonic(), 0.0))
            timer.fire()
        self.clock.advance(end - self.clock.monotonic())


def target(name: str, distribution: str = "hosted") -> PluginTarget:
    module = "" if ":" in name else "hosted:"
    return PluginTarget(f"{module}{name}", kind="source", distribution=distribution, version="1")


def connector(name: str, plugin: str = "Staying", /, **settings: str) -> RunConnector:
    return RunConnector(name, target(plugin), _dotted(settings))


def task(name: str, plugin: str = "Staying", /, **settings: str) -> RunTask:
    dotted = _dotted(settings)
    return RunTask(name, 0, target(plugin), dotted, dotted)


def probe(what: str, plugin: str = "Staying", /, **settings: str) -> RunProbe:
    named = {"name": "probed", "connector.class": f"hosted:{plugin}", **_dotted(settings)}
    return RunProbe(what, target(plugin), named, {"kind": "source"}, "probed")


def errors_in(report: Any) -> dict[str, list[str]]:
    """The sentences of a ConfigInfos, by setting."""
    values = [each["value"] for each in report["configs"]]
    return {value["name"]: value["errors"] for value in values if value["errors"]}


def _dotted(settings: dict[str, str]) -> dict[str, str | None]:
    return {name.replace("_", "."): value for name, value in settings.items()}


GONE = (FileNotFoundError, ProcessLookupError)
"""Of a file below /proc/<pid>: there is none, or its process ended between the opening and the reading."""


def state_of(pid: int) -> str:
    """The letter that proc(5) has for the state of a process; "X" once there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except GONE:
        return "X"


def is_running(pid: int) -> bool:
    return state_of(pid) not in "ZX"


def parent_of(pid: int) -> int:
    """0 once there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except GONE:
        return 0


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except GONE:
        return []


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Never with 0, which is the group of whoever runs the tests."""
    assert pid > 0, "there is no such process"
    os.kill(pid, number)


def wait_until(expected: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not expected():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def setup(folder: Path, **more: Any) -> WorkerSetup:
    """A worker on a log in this folder, patient with starts and hasty with ends."""
    settings = {"bootstrap.servers": f"sqlite:{folder}/log.db", "key.converter": STRINGS, "value.converter": STRINGS}
    return WorkerSetup(settings, **{"connector_start_ms": 120_000, "graceful_ms": 2_000, **more})


def started(worker: Worker, name: str, plugin: str = "Staying", **settings: str) -> Ears:
    ears = Ears()
    worker.start_connector(connector(name, plugin, **settings), ears)
    return ears


def template_of(worker: Worker, name: str) -> int:
    """Its process, 0 when there is none."""
    found = [view.pid for view in worker.describe() if view.kind == "template" and view.name == name]
    return found[0] if found else 0


def pid_of(worker: Worker, name: str) -> int:
    return next(view.pid for view in worker.describe() if view.name == name)
