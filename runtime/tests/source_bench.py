"""What the tests of the source task's loop share: a task that follows a script, in both ways of committing."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from task_bench import HastyControl

from millstream.errors import BrokerError
from millstream.task.control import Control
from millstream.task.events import Counted
from millstream.task.source import SourceTaskLoop
from millstream_api import Origin, SourceRecord, SourceTask

BOTH_WAYS = pytest.mark.parametrize(
    "bench", [False, True], ids=["commits in turn", "commits overlapped"], indirect=True
)

PARTITION = {"file": "a"}
FULL_DISK = BrokerError("the disk is full", retriable=True)


def record(value: str, position: int, topic: str = "data", partition: Any = PARTITION) -> SourceRecord:
    return SourceRecord(topic, value, partition, {"position": position})


def records(*values: str, start: int = 0) -> list[SourceRecord]:
    return [record(value, start + at + 1) for at, value in enumerate(values)]


class Script(SourceTask[Any]):
    """Polls what each step gives or raises; behind the last one it asks for its own stop."""

    def __init__(self, context: Any, steps: Sequence[Any], control: Control) -> None:
        self.context = context
        self.steps = list(steps)
        self.control = control
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def poll(self) -> Any:
        self.calls.append("poll")
        if not self.steps:
            self.context.wait(0)  # what is under way comes to its end, and a failure of it before the stop
            if self.control.error is None:
                self.control.stop()
            return []
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def stop(self) -> None:
        self.calls.append("stop")


class Listening(Script):
    """Hears of records and commits."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.heard: list[tuple[str, Origin | None]] = []
        self.durable: list[Any] = []

    def commit_record(self, record: SourceRecord, written: Origin | None) -> None:
        self.heard.append((record.value, written))

    def commit(self, durable: Any) -> None:
        self.durable.append(list(durable))


def run(bench: Any, steps: Sequence[Any], kind: type[Script] = Script, **changes: Any) -> Script:
    """Run a task through its steps on this thread."""
    control = changes.pop("control", None) or HastyControl()
    made: list[Script] = []

    def plugin(context: Any) -> Script:
        made.append(kind(context, steps, control))
        return made[0]

    SourceTaskLoop(bench.source_parts(plugin, control=control, **changes)).run()
    return made[0]


def stored(bench: Any) -> Any:
    return bench.stored().get('{"file": "a"}')


def numbers(bench: Any) -> dict[str, Any]:
    return [event for event in bench.told if isinstance(event, Counted)][-1].values


def failing(times: dict[str, int], error: Exception = FULL_DISK) -> Callable[[str], Exception | None]:
    def faults(name: str) -> Exception | None:
        if times.get(name, 0) > 0:
            times[name] -= 1
            return error
        return None

    return faults
