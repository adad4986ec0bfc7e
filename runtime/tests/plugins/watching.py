"""What the tests of the worker share: a worker, specifications, and ears that can wait."""

import heapq
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from millstream.lifecycle import ManualClock
from millstream.worker.loop import Loop
from millstream.worker.worker import Worker, WorkerSetup

STRINGS = "org.apache.kafka.connect.storage.StringConverter"


class Ears:
    """Hears events; waits for what is expected, at most ten seconds."""

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

    def wait(self, expected: Callable[[], bool], seconds: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(expected, seconds), self.events[-20:]

    def until(self, state: str, seconds: float = 10.0) -> StateChanged:
        self.wait(lambda: state in self.states(), seconds)
        return [event for event in self.events if isinstance(event, StateChanged) and event.state == state][-1]

    def until_counted(self) -> None:
        self.wait(lambda: any(isinstance(event, Counted) for event in self.events))

    def until_reconfigured(self) -> None:
        self.wait(lambda: any(isinstance(event, Reconfigure) for event in self.events))


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


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(expected: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not expected():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def setup(folder: Path, **more: Any) -> WorkerSetup:
    """A worker on a log in this folder, patient with starts and hasty with ends."""
    settings = {"bootstrap.servers": f"sqlite:{folder}/log.db", "key.converter": STRINGS, "value.converter": STRINGS}
    return WorkerSetup(settings, **{"connector_start_ms": 30_000, "graceful_ms": 2_000, **more})


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
