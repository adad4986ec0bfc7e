"""Connectors that tell everybody the secret they were given, named as `leaking:Class`."""

import logging
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from millstream_api import Config, Settings, SourceConnector, SourceRecord, SourceTask, key

log = logging.getLogger(__name__)


class LeakingConfig(Config):
    password: str = key(doc="Is told.")
    where: str = key("", doc="In which method.")

    @classmethod
    def validate(cls, settings: Any) -> Any:
        told = dict(settings)
        if told.get("where") == "validate":
            leak(told["password"])
        return super().validate(settings)


def leak(password: str) -> None:
    """Raise with the password in the message, percent-encoded in it, in a note and in the cause; log it first."""
    try:
        raise KeyError(password)
    except KeyError as cause:
        log.warning("about to log in with %s", password)
        error = RuntimeError(f"cannot log in at db://ada:{quote(password, safe='')}@host with {password!r}")
        error.add_note(f"the password was {password}")
        log.exception("did not log in")
        raise error from cause


def print_in_pieces(password: str) -> None:
    """Print it cut in the middle of a line, letter by letter, and as bytes."""
    print("piece by piece ", password[:4], sep="", end="", flush=True)
    print(password[4:], " and on", sep="", flush=True)
    print(*password, sep="")
    for number in password.encode():
        sys.stderr.buffer.write(bytes([number]))
        sys.stderr.buffer.flush()
    sys.stderr.buffer.write(b" was the last of it\n")
    sys.stderr.buffer.flush()


LATE = threading.Event()


def leak_late(password: str) -> None:
    LATE.wait(120)
    leak(password)


class LeakingTask(SourceTask[LeakingConfig]):
    def start(self) -> None:
        self._do("task-start")

    def poll(self) -> Sequence[SourceRecord]:
        self._do("poll")
        self.context.wait(0.05)
        return []

    def stop(self) -> None:
        self._do("task-stop")

    def _do(self, where: str) -> None:
        if where == "task-start" and self.config.where == "thread":
            threading.Thread(target=leak, args=(self.config.password,), name="reader").start()
        elif where == "task-start" and self.config.where == "late":
            threading.Thread(target=leak_late, args=(self.config.password,), name="late reader").start()
        elif where == "task-start" and self.config.where == "print":
            print(f"logged in with {self.config.password}")
            sys.stdout = sys.__stdout__  # as one does who had redirected it
            print(f"logged in again with {self.config.password}")
            print(f"could not log out with {self.config.password}", file=sys.__stderr__)
        elif where == "task-start" and self.config.where == "pieces":
            print_in_pieces(self.config.password)
        elif self.config.where == where:
            leak(self.config.password)


class Leaking(SourceConnector[LeakingConfig]):
    config_class = LeakingConfig
    task_class = LeakingTask

    def __init__(self, config: LeakingConfig, context: Any) -> None:
        super().__init__(config, context)
        self._do("init")

    def start(self) -> None:
        self._do("start")

    def monitor(self) -> None:
        self._do("monitor")
        while not self.context.wait(0.05):
            pass

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        self._do("task_configs")
        return [{}]

    def stop(self) -> None:
        self._do("stop")

    def alter_offsets(self, offsets: Sequence[tuple[Any, Any]]) -> bool:
        self._do("alter_offsets")
        return True

    def probe(self) -> Iterable[Any]:
        self._do("probe")
        return []

    def _do(self, where: str) -> None:
        if self.config.where == where:
            leak(self.config.password)
