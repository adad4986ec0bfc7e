"""Who is there: tasks or connectors by name, those that wait for their predecessor, and those that are still going."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from millstream.worker.runs import Supervised

Name = TypeVar("Name", bound=Hashable)
Run = TypeVar("Run", bound=Supervised)


class Roster(Generic[Name, Run]):
    """Changed on the loop's thread only; `present` may be called on any.

    on_gone: called whenever one that was asked to go has gone.
    """

    def __init__(self, on_gone: Callable[[], None]) -> None:
        self._present: dict[Name, Run] = {}
        self._coming: dict[Name, Run] = {}
        self._leaving: dict[Run, Name] = {}
        self._on_gone = on_gone

    def present(self) -> Mapping[Name, Run]:
        """Those that run, are about to, or have failed, as they are now."""
        return self._present.copy()

    def expected(self) -> Mapping[Name, Run]:
        """Those that are present, and those that begin when their predecessor is gone."""
        return {**self._present.copy(), **self._coming.copy()}

    def get(self, name: Name) -> Run | None:
        return self._present.get(name)

    def leaving(self) -> Sequence[Run]:
        """What they were given is not there for others before they have gone."""
        return tuple(self._leaving)

    def all(self) -> Sequence[Run]:
        return (*self._present.values(), *self._coming.values(), *self._leaving)

    def dismiss(self, name: Name, timeout: float) -> "Future[None]":
        """Ask it to go, within `timeout` seconds; done when nothing of that name is left running."""
        self._turn_back(name, timeout)
        return self._send_away(name, timeout)

    def succeed(self, name: Name, run: Run, timeout: float, begin: Callable[[], None]) -> None:
        """Begin when the former one of this name, if there is one, is gone: two at once would write twice.

        Until then it can be dismissed, stopped and given another target; one that is over by then does not begin.
        """
        self._turn_back(name, timeout)
        self._coming[name] = run

        def look() -> None:
            if self._coming.get(name) is not run:
                return
            former = self._present.get(name)
            if run.is_over:
                del self._coming[name]
            elif (former is None or former.is_settled) and name not in self._leaving.values():
                self._present[name] = run
                del self._coming[name]
                begin()
            else:
                self._send_away(name, timeout).add_done_callback(lambda _: look())

        look()

    def _turn_back(self, name: Name, timeout: float) -> None:
        """It is not to begin any more."""
        coming = self._coming.pop(name, None)
        if coming is not None:
            coming.stop(timeout)

    def _send_away(self, name: Name, timeout: float) -> "Future[None]":
        run = self._present.pop(name, None)
        if run is not None:
            self._leaving[run] = name
            run.stop(timeout).add_done_callback(lambda _: self._gone(run))
        leaving = [run for run, former in self._leaving.items() if former == name]
        return together([run.stop(timeout) for run in leaving])

    def _gone(self, run: Run) -> None:
        self._leaving.pop(run, None)
        self._on_gone()


def together(each: "Sequence[Future[None]]") -> "Future[None]":
    """Done when all of them are; with none, at once."""
    done: Future[None] = Future()
    left = len(each)
    if not left:
        done.set_result(None)

    def one_less(_: "Future[None]") -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    for one in each:
        one.add_done_callback(one_less)
    return done
