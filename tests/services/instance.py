"""What a test can do to a running service, be it a process or a container, and how it is told what to run."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from services.errors import EndedError, ServiceError
from services.usage import Usage

T = TypeVar("T")

#: a JVM starts in 5 s, and in more than a minute where seven others start
PATIENCE_S = 240.0
LOG_TAIL = 8_000


@dataclass(frozen=True)
class Program:
    """What to run. Paths are the same in a container: `folder` is mounted there for writing, `reads` for reading."""

    name: str
    command: Sequence[str]
    folder: Path
    reads: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / "console.log"


class Instance(Protocol):
    """A program that runs, or did. `start` after `stop` or `kill` runs it again in the same folder."""

    program: Program

    def start(self) -> None: ...

    def stop(self) -> None:
        """End it in good order."""

    def kill(self) -> None:
        """End it as a loss of power does: SIGKILL."""

    def pause(self) -> None:
        """It keeps its memory and its connections and does nothing: SIGSTOP."""

    def resume(self) -> None: ...

    def alive(self) -> bool: ...

    def wait(self) -> None:
        """For its own end; raises EndedError when that was not a good one."""

    def usage(self) -> Usage:
        """Memory and CPU seconds of its processes now."""

    def remove(self) -> None:
        """End it; nothing of it stays but its folder."""


def tail(log: Path, since: int = 0) -> str:
    """What was written from that byte on, at most the last `LOG_TAIL` bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - LOG_TAIL))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def until(condition: Callable[[], T], instance: Instance, what: str, patience: float = PATIENCE_S) -> T:
    """The first true value of `condition`, while the instance lives."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if not instance.alive():
            raise EndedError(f"{instance.program.name} ended before {what}:\n{tail(instance.program.log)}")
        if time.monotonic() > deadline:
            log = tail(instance.program.log)
            raise ServiceError(f"{instance.program.name}: waited {patience:.0f} s for {what}, last: {value!r}\n{log}")
        time.sleep(0.05)
