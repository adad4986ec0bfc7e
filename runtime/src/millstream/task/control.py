"""What is wanted of a task, set by the host's thread and read by the task's."""

import threading
from collections.abc import Callable

from millstream.identity import TargetState
from millstream.lifecycle import spawn


class Control:
    """The wish for one task: target state, stop, cancel. Every method may be called from any thread.

    `stop` is a wish: the loop ends after the call it is in, commits and closes. `cancel` is the end of patience
    (`task.shutdown.graceful.timeout.ms` is over): nothing is told, committed or waited for any more.
    """

    def __init__(self, target: TargetState = TargetState.STARTED) -> None:
        self._changed = threading.Condition()
        self._target = target
        self._stopping = False
        self._cancelled = False
        self._error: BaseException | None = None
        self._wake: Callable[[], None] | None = None
        self._cancel_call: Callable[[], None] | None = None

    def interruptible(self, wake: Callable[[], None] | None, cancel_call: Callable[[], None] | None) -> None:
        """The loop says how it is woken (any change) and how its plugin's blocking call is ended (stop, failure).

        `wake` is called on the thread that asks, `cancel_call` once, on a thread of its own, since a plugin's may
        block; at once when the stop or the failure came before."""
        with self._changed:
            self._wake, self._cancel_call = wake, cancel_call
            late = self._stopping or self._error is not None
        if late:
            self._interrupt(hard=True)

    def wait(self, seconds: float) -> bool:
        """Sleep until a stop, a failure or the end of `seconds`; true for the first two."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping or self._error is not None, seconds)

    def wait_while_paused(self) -> None:
        """Block while the target is PAUSED and nobody asks for a stop or reports a failure."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or self._error is not None or self._target is not TargetState.PAUSED
            )

    @property
    def target(self) -> TargetState:
        return self._target

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    @property
    def error(self) -> BaseException | None:
        """What the plugin gave to `context.fail`; the loop raises it at its next step."""
        return self._error

    def aim(self, target: TargetState) -> None:
        """Pause, resume, or, as STOPPED never applies to a task (§5.2), stop."""
        if target is TargetState.STOPPED:
            self.stop()
            return
        with self._changed:
            self._target = target
            self._changed.notify_all()
        self._interrupt(hard=False)

    def stop(self) -> None:
        """Ask the task to end, and interrupt what it may be blocked in (the plugin's `cancel`)."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._interrupt(hard=True)

    def cancel(self) -> None:
        self._cancelled = True
        self.stop()

    def fail(self, error: BaseException) -> None:
        """Fail the task from a plugin's own thread; the first error counts."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
        self._interrupt(hard=True)

    def _interrupt(self, hard: bool) -> None:
        wake = self._wake  # looked at once: the task may close at any moment
        if wake is not None:
            wake()
        with self._changed:
            cancel_call = self._cancel_call if hard else None
            if hard:
                self._cancel_call = None
        if cancel_call is not None:
            call = cancel_call
            spawn("cancel", lambda _: call())
