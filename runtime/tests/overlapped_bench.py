"""What the tests of overlapped commits share: a source that gives what it is told to, its rows, commits held back."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from task_bench import SECONDS

from millstream.task.control import Control
from millstream.task.source import SourceTaskLoop
from millstream_api import SourceRecord, SourceTask

PARTITION = {"file": "a"}


class Polls(SourceTask[Any]):
    """Each poll is one of the steps, a callable that gives records; behind the last it asks for its own stop."""

    def __init__(self, steps: Sequence[Callable[[], Any]], control: Control) -> None:
        self.steps = list(steps)
        self.control = control

    def poll(self) -> Any:
        if self.steps:
            return self.steps.pop(0)()
        self.control.stop()
        return []


def rows(*values: str, start: int = 0) -> list[SourceRecord]:
    return [SourceRecord("data", value, PARTITION, {"position": start + at + 1}) for at, value in enumerate(values)]


def give(*values: str, start: int = 0) -> Callable[[], list[SourceRecord]]:
    return lambda: rows(*values, start=start)


def run(bench: Any, steps: Sequence[Callable[[], Any]], kind: type[Polls] = Polls, **changes: Any) -> None:
    control = changes.pop("control", None) or Control()
    SourceTaskLoop(bench.source_parts(lambda context: kind(steps, control), control=control, **changes)).run()


@contextmanager
def running(bench: Any, steps: Sequence[Callable[[], Any]], release: threading.Event, **changes: Any) -> Iterator[None]:
    """`run` for the length of a block, at whose end the poll that waits is released."""
    thread = threading.Thread(target=run, args=(bench, steps), kwargs=changes)
    thread.start()
    try:
        yield
    finally:
        release.set()
        thread.join(SECONDS)


def waiting(release: threading.Event) -> Callable[[], list[SourceRecord]]:
    """A poll that blocks until then, and gives nothing."""

    def poll() -> list[SourceRecord]:
        assert release.wait(SECONDS), "nobody released the poll"
        return []

    return poll


def stored(bench: Any) -> Any:
    return bench.stored().get('{"file": "a"}')


class Gate:
    """Faults of a producer that hold the first commit back until the gate is opened, and count commits."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.commits = 0

    def __call__(self, name: str) -> None:
        if name == "commit":
            self.commits += 1
            self.reached.set()
            assert self.opened.wait(SECONDS), "nobody opened the gate"
