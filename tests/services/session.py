"""The services of one test session: each started once, all that are needed at the same time."""

import importlib
import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from services.errors import Unavailable

if TYPE_CHECKING:
    from services.form import Form

REQUIRED = "MILLSTREAM_REQUIRE_SERVICES"


class Service(Protocol):
    """What a module of this package gives to be a fixture."""

    @classmethod
    def of_session(cls, session: "Session") -> "Service":
        """Start it; `session.get` gives another service that it needs. Raises Unavailable."""

    @property
    def logs(self) -> Mapping[str, Path]:
        """Its log files by name."""

    def stop(self) -> None: ...


class Session:
    """Starts services in threads; a service that did not start raises the same error at each `get`."""

    def __init__(self, catalogue: dict[str, str]) -> None:
        self._catalogue = catalogue
        self._starting: dict[str, Future[Service]] = {}
        #: those that a test started for itself
        self.own: list[Service] = []
        self._one_at_a_time = threading.Lock()
        self._beginning = threading.Lock()  # a service that starts may need another one
        self._threads = ThreadPoolExecutor(max_workers=len(catalogue), thread_name_prefix="service")

    @property
    def form(self) -> "Form":
        """Process or container, for all of them."""
        from services.form import chosen

        return chosen()

    def begin(self, names: Iterable[str]) -> None:
        """Start them in the background."""
        for name in names:
            with self._beginning:
                if name not in self._starting:
                    self._starting[name] = self._threads.submit(self._start, name)

    def wait(self) -> None:
        """Until everything begun is up, or has failed; `get` tells which."""
        for starting in list(self._starting.values()):  # what one needs beside them is up before it is
            starting.exception()

    def get(self, name: str) -> Any:
        self.begin([name])
        return self._starting[name].result()

    def up(self) -> list[Service]:
        """Those that started, in the order of their start."""
        done = [starting for starting in list(self._starting.values()) if starting.done()]
        return [*(starting.result() for starting in done if starting.exception() is None), *self.own]

    def stop(self) -> None:
        """In the opposite order of their start."""
        self.wait()
        with ExitStack() as last_first:
            last_first.callback(self._threads.shutdown)
            for service in self.up():
                last_first.callback(service.stop)

    def kind(self, name: str) -> Any:
        """The class of a service, on a machine that was swept."""
        module, _, attribute = self._catalogue[name].partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise Unavailable(f"{error.name} is not installed: pip install -r requirements/services.txt") from error
        with self._one_at_a_time:
            _swept()
        return found

    def _start(self, name: str) -> Service:
        started: Service = self.kind(name).of_session(self)
        return started


@cache
def _swept() -> list[str]:
    """What earlier runs left behind; also the one place that first asks for the engine."""
    from services import engine, folders

    return [*engine.sweep(), *folders.sweep()]


def required() -> bool:
    """Whether a missing service is a failure."""
    return os.environ.get(REQUIRED, "") not in ("", "0")
