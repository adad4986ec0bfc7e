"""The loop of a source task (spec/runtime.md §5.3, §7.5)."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from millstream.errors import PluginError, RetriableError
from millstream.identity import TargetState
from millstream.metrics.readings import Measuring
from millstream.task.context import SourceTaskContext
from millstream.task.counting import SourceTaskMetrics
from millstream.task.delivery import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Delivery, Upstream
from millstream.task.emptiness import EmptyPolls
from millstream.task.living import StopAskedError, live, quietly
from millstream.task.outlet import Outlet
from millstream.task.overlapped import Overlapped
from millstream.task.parts import SourceParts, SourceSettings
from millstream.task.states import Happening, Lifecycle
from millstream.task.submitted import AtLeastOnce
from millstream.task.telling import Telling
from millstream.task.transactions import Transactions
from millstream_api import SourceBatch, SourceRecord, SourceTask

__all__ = ["SourceParts", "SourceSettings", "SourceTaskLoop"]

log = logging.getLogger(__name__)

CLOSE_SECONDS = 30.0  # the producer's, at the end of a task


class SourceTaskLoop:
    """Runs one source task on the calling thread until it is stopped or fails: `SourceTaskLoop(parts).run()`.

    `run` returns when everything is closed; it raises nothing an author or operator could meet: failures are told as
    `StateChanged(FAILED, trace)`.
    """

    def __init__(self, parts: SourceParts) -> None:
        self._parts = parts
        self._metrics = SourceTaskMetrics(parts.measuring or Measuring(parts.clock))
        self._lifecycle = Lifecycle(parts.tell, self._metrics, lambda: parts.control.cancelled)
        interval = parts.settings.metrics_interval_ms
        self._telling = Telling(parts.tell, parts.clock, interval, self._metrics, parts.errors)
        self._task: SourceTask[Any] | None = None
        self._outlet: Outlet | None = None
        self._delivery: Delivery | None = None
        self._away = 0.0
        self._ending = False

    def run(self) -> None:
        live(self, self._parts.control, self._lifecycle)
        self._telling.now()

    def begin(self) -> None:
        parts = self._parts
        bounded = parts.rows is not None and parts.settings.boundary == "connector"
        context = SourceTaskContext(parts.control, parts.tell, parts.reader, bounded)
        task = parts.plugin(context)
        self._task = task
        self._empty = EmptyPolls(type(task).__qualname__)
        parts.control.interruptible(None, task.cancel)
        upstream = Upstream(task)
        self._outlet = outlet = Outlet(parts, upstream, self._metrics, self._hold)
        task.start()
        delivery = self._delivery_of(outlet, context, upstream)
        if not (upstream.hears_records or upstream.hears_commits):  # else it would be told inside its own poll
            context.tend_before_waiting(_noting(delivery.tend, parts.control.fail))
        self._delivery = delivery

    def _delivery_of(self, outlet: Outlet, context: SourceTaskContext, upstream: Upstream) -> Delivery:
        settings = self._parts.settings
        if self._parts.rows is None:
            return AtLeastOnce(outlet)
        hears = upstream.hears_records or upstream.hears_commits
        if settings.overlapped and settings.boundary == "poll" and not hears:
            return Overlapped(outlet)
        return Transactions(outlet, context.requests)

    def turn(self) -> None:
        assert self._delivery is not None
        if self._parts.control.target is TargetState.PAUSED:
            self._delivery.settle()
            self._hold()
            return
        polled = self._poll()
        self._parts.failpoint("source.poll.after")
        if polled:
            for slice in self._parts.pipeline.slices(polled):
                self._delivery.send(slice)
                if slice.failure is not None:
                    raise slice.failure
        self._delivery.polled()
        self._telling.when_due()

    def finish(self, failure: BaseException | None) -> BaseException | None:
        self._ending = True
        if self._delivery is None:
            return failure
        try:
            self._delivery.finish(failure)
        except StopAskedError:
            log.warning("The task is stopping while the log cannot be written to; what it read last is read again")
        except BaseException as error:  # noqa: BLE001 - the last commit; what failed first is the failure
            if failure is None or self._foretold(failure):
                return error
            log.warning("The last commit of a failing task failed too: %s", error)
        return failure

    def _foretold(self, failure: BaseException) -> bool:
        """Whether the delivery told it between two polls, and tells it more exactly now. It stays where a poll that was
        cancelled for it has raised, too: that is told along with it."""
        assert self._outlet is not None
        return failure is self._outlet.foretold and failure.__cause__ is None

    def close(self) -> None:
        parts = self._parts
        parts.control.interruptible(None, None)
        if self._task is not None:
            quietly("stop the plugin's task", self._task.stop)
        if self._delivery is not None:
            quietly("end the delivery of rows", self._delivery.close)
        quietly("close the producer", lambda: parts.producer.close(0.0 if parts.control.cancelled else CLOSE_SECONDS))
        quietly("close the admin client", parts.admin.close)
        quietly("close the pipeline", parts.pipeline.close)

    def _hold(self) -> None:
        """Be PAUSED as long as that is wanted of a task that does not end."""
        control = self._parts.control
        ends = control.stopping or control.error is not None or self._ending
        if control.target is not TargetState.PAUSED or ends:
            return
        self._lifecycle.happen(Happening.PAUSED)
        self._telling.now()
        control.wait_while_paused()
        if not control.stopping and control.error is None:  # it went on, though it may be to pause again already
            self._lifecycle.happen(Happening.RESUMED)

    def _poll(self) -> Sequence[SourceRecord | SourceBatch]:
        assert self._task is not None
        started = self._parts.clock.monotonic()
        try:
            polled = self._task.poll()
        except RetriableError as error:
            self._away = min(max(2 * self._away, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            log.warning("poll failed and is tried again in %.1f s: %s", self._away, error)
            self._parts.control.wait(self._away)
            return ()
        except Exception as error:
            known = self._parts.control.error
            if known is None:
                raise
            raise known from error  # it came first; the poll was cancelled for it
        self._away = 0.0
        if not polled:  # None, Java's spelling of it, is taken as well
            self._empty.gave_nothing(polled, started)
            return ()
        self._empty.gave_rows()
        _check_polled(self._task, polled)
        duration = (self._parts.clock.monotonic() - started) * 1000
        self._metrics.polled(rows_of(polled), duration)
        return polled


def _check_polled(task: SourceTask[Any], polled: object) -> None:
    if not isinstance(polled, Sequence) or isinstance(polled, str | bytes):
        raise PluginError(
            f"poll of {type(task).__qualname__} gave a {type(polled).__name__}; it must give a list of "
            "SourceRecord and SourceBatch objects, [] for nothing yet"
        )


def rows_of(polled: Sequence[SourceRecord | SourceBatch]) -> int:
    """How many records a poll gave, without a look at each where there are no batches among them."""
    if not any(issubclass(kind, SourceBatch) for kind in set(map(type, polled))):
        return len(polled)
    return sum(len(some) if isinstance(some, SourceBatch) else 1 for some in polled)


def _noting(step: Callable[[], None], fail: Callable[[BaseException], None]) -> Callable[[], None]:
    """`step`, whose failure must not pass through the plugin that is waiting: the loop raises it."""

    def noted() -> None:
        try:
            step()
        except StopAskedError:
            return
        except Exception as error:  # noqa: BLE001 - raised by the loop, behind the poll
            fail(error)

    return noted
