"""The course of every task, source or sink: held while paused, started, turned until it ends, closed."""

import logging
from collections.abc import Callable
from typing import Protocol

from millstream.errors import trace_of, unexplained
from millstream.identity import TargetState
from millstream.task.control import Control
from millstream.task.states import Happening, Lifecycle

log = logging.getLogger(__name__)


class StopAskedError(Exception):
    """The task was asked to stop while it waited for something; no failure."""


class Course(Protocol):
    """What a kind of task does at each step. All on one thread."""

    def begin(self) -> None:
        """Make the plugin's task and start it."""
        ...

    def turn(self) -> None:
        """One iteration, which ends in bounded time once the control is stopping (save for the plugin's own calls)."""
        ...

    def finish(self, failure: BaseException | None) -> BaseException | None:
        """The last commit, after a failure as well; gives the failure the task ends with. Not after a cancel."""
        ...

    def close(self) -> None:
        """Stop the plugin's task, close the clients. Called always, and once; raises nothing."""
        ...


def live(course: Course, control: Control, lifecycle: Lifecycle) -> None:
    """Run one task from its beginning to its end on the calling thread. Raises nothing.

    FAILED is told before the plugin's `stop` is called, so that a `stop` that hangs does not hide the failure (Java
    tells it after); UNASSIGNED is told last, when a successor may start.
    """
    failure: BaseException | None = None
    try:
        _turn_until_the_end(course, control, lifecycle)
    except StopAskedError:
        pass
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises, SystemExit too, is its task's failure
        failure = error
    if not control.cancelled:
        failure = course.finish(failure)
    failed = failure is not None and not control.stopping
    if failure is not None:
        if failed:
            if unexplained(failure):
                log.error("The task failed by an error without an explanation; it was raised here", exc_info=failure)
            lifecycle.happen(Happening.FAILED, trace_of(failure))
        else:
            log.warning("The task raised after it was asked to stop: %s", failure, exc_info=unexplained(failure))
    course.close()
    if not failed:
        lifecycle.happen(Happening.STOPPED)


def _turn_until_the_end(course: Course, control: Control, lifecycle: Lifecycle) -> None:
    if control.target is TargetState.PAUSED:
        lifecycle.happen(Happening.HELD)
        control.wait_while_paused()
    if control.stopping:
        return
    course.begin()
    if not control.stopping:
        lifecycle.happen(Happening.STARTED)
    while not control.stopping:
        if control.error is not None:
            raise control.error
        course.turn()


def quietly(what: str, step: Callable[[], object]) -> None:
    """Do one step of closing: what it raises is logged, and the next step is done all the same."""
    try:
        step()
    except BaseException as error:
        log.warning("Could not %s: %s", what, error, exc_info=unexplained(error))
