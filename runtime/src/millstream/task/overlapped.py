"""Exactly once, with the commits on a thread of their own: while one is under way the next polls are read and
converted, and whatever has gathered meanwhile goes into one transaction.

Sound because nothing waits for more rows: what a poll gave is handed over behind it, and is committed though the next
poll never returns. Only plugins that are told nothing (`commit`, `commit_record`) are served so, and before a plugin
waits everything is in the log. The thread does what succeeds, and calls no plugin: where a row is refused or the log
cannot be written, it takes the transaction back, and the task's own thread does it again, in `Transactions`' exact way;
what may pass by itself it tries again as long as the plugin's poll lasts.
What does not pass by itself is said at once, and ends the poll under way as a stop does: a plugin may block for hours.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from millstream.broker.ports import Producer
from millstream.lifecycle import Spawned, StopToken, spawn
from millstream.pipeline.poll import SourceSlice
from millstream.task.delivery import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Load,
    Patience,
    Sent,
    passing,
    skippable,
)
from millstream.task.living import StopAskedError
from millstream.task.offsets import Newest
from millstream.task.outlet import Outlet
from millstream.task.transaction import Transaction, check_late_refusals, newest_places
from millstream.task.transactions import check_topics

log = logging.getLogger(__name__)

TRANSACTION_BYTES = 2 << 20  # it takes polls until it has so many: larger ones fall out of the processor's caches
MOST_BYTES = 4 << 20  # that wait for the transaction under way; then the task waits, too
ROW_BYTES = 100  # of a row beside its key, value and headers; dropped ones are kept as well until they are counted


@dataclass(slots=True)
class Gathered:
    """Polls for one transaction. size: their bytes, estimated.   started, ended: of their commit, monotonic seconds."""

    loads: list[Load] = field(default_factory=list)
    offsets: Newest = field(default_factory=Newest)
    size: int = 0
    started: float = 0.0
    ended: float = 0.0
    sent: list[Sent] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """All rows were dropped: nothing to write, and no transaction (TransactionMetricsGroup counts none)."""
        return not self.offsets and not any(load.outgoing for load in self.loads)


class Overlapped:
    """A `Delivery`. Its methods are the task's thread's; `_work` is the other one."""

    def __init__(self, outlet: Outlet) -> None:
        assert outlet.parts.rows is not None
        self._outlet = outlet
        self._pause = FIRST_PAUSE_SECONDS  # of the thread's, between two attempts
        self._exact = Transaction(outlet, keeps_prefix=True)
        self._failure: BaseException | None = None  # of the exact transaction, which has the rows from then on
        self._poll: list[Load] = []
        self._changed = threading.Condition()
        # under the condition:
        self._waiting: deque[Gathered] = deque()
        self._flying: Gathered | None = None
        self._landed: list[Gathered] = []
        self._taken_back: Gathered | None = None  # to be done again, before anything else
        self._passes = False  # what hindered it may be over by itself
        self._redoing = False  # the task's thread does it
        self._to_hold = False  # the task is to pause, and the thread waits for the log
        self._broken: BaseException | None = None  # nobody knows whether it is in the log: nothing is written any more
        self._thread: Spawned | None = None

    def send(self, slice: SourceSlice) -> None:
        check_topics(slice, self._outlet.parts.settings)
        self._poll.append(Load.of(slice))

    def polled(self) -> None:
        if self._poll:
            self._hand_over()
            self._await(lambda: sum(gathered.size for gathered in self._waiting) < MOST_BYTES)
        elif self._thread is not None:
            self._await(self._idle)

    def tend(self) -> None:
        if self._thread is not None:
            self._await(self._idle)

    def settle(self) -> None:
        if self._poll:
            self._hand_over()
        self.tend()

    def finish(self, failure: BaseException | None) -> None:
        if self._broken is None and self._failure is None:
            self.settle()
        elif self._broken is None and not self._exact.broken:
            self._exact.commit()
        if self._exact.open:
            self._exact.abort()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.stop.set()
            with self._changed:
                self._changed.notify_all()
            self._thread.join()

    def _hand_over(self) -> None:
        """Give the poll to the thread. Asks the plugin for its offsets, one a source partition."""
        loads, self._poll = self._poll, []
        places = newest_places(loads)
        size = sum(map(estimated, loads))
        with self._changed:
            if not self._waiting or self._waiting[-1].size >= TRANSACTION_BYTES:
                self._waiting.append(Gathered())
            gathered = self._waiting[-1]
            gathered.loads.extend(loads)
            gathered.offsets.put_all(places)
            gathered.size += size
            self._changed.notify_all()
        if self._thread is None:
            self._thread = spawn(f"{self._outlet.parts.id} commits", self._work)

    def _idle(self) -> bool:
        return self._flying is None and not self._waiting

    def _await(self, met: Callable[[], bool]) -> None:
        """Wait until `met`, and do what only this thread may: count what was committed, do again what failed."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: met() or self._to_hold or self._taken_back is not None or self._broken is not None
                )
                over = met()
                landed, self._landed = self._landed, []
                hold, self._to_hold = self._to_hold, False
                self._redoing = redo = self._taken_back is not None  # from here on the thread leaves it alone
            for gathered in landed:
                count(self._outlet, gathered)
            failure = self._failure or self._broken
            if failure is not None:
                raise failure
            if redo:
                self._again()
            elif over:
                return
            elif hold:
                self._outlet.hold()

    def _again(self) -> None:
        """Write what was taken back, and what came since, on this thread, with patience and to the refused row."""
        with self._changed:
            assert self._taken_back is not None
            loads = [load for gathered in (self._taken_back, *self._waiting) for load in gathered.loads]
            self._waiting.clear()
        try:
            for load in loads:
                self._exact.add(load)
            self._exact.commit()
        except BaseException as error:
            self._failure = error
            raise
        with self._changed:
            self._taken_back, self._redoing = None, False
            self._changed.notify_all()

    def _next(self, stop: StopToken) -> Gathered | None:
        """What to write now; None: nothing any more. What passes by itself must not wait for the plugin's poll."""
        with self._changed:
            while not stop.is_set and self._broken is None:
                if self._taken_back is None and self._waiting:
                    self._flying = self._waiting.popleft()
                    return self._flying
                taken_back = self._taken_back if self._passes and not self._redoing else None
                if self._changed.wait(None if taken_back is None else self._pause):
                    continue  # by whoever changed something
                if taken_back is not None and taken_back is self._taken_back and not self._redoing:
                    self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
                    self._flying, self._taken_back = taken_back, None
                    return taken_back
            return None

    def _work(self, stop: StopToken) -> None:
        def ask_to_hold() -> None:
            """The task's state is its own thread's: it pauses once it waits, too, not while its plugin's poll lasts."""
            with self._changed:
                self._to_hold = True
                self._changed.notify_all()

        while (gathered := self._next(stop)) is not None:
            broken: BaseException | None = None
            hindrance: Exception | None = None
            gathered.started = self._outlet.parts.clock.monotonic()
            try:
                patience = self._exact.patience.of_another_thread(ask_to_hold)  # whose pauses begin anew
                hindrance = write(self._outlet, patience, gathered)
            except BaseException as error:  # noqa: BLE001 - raised on the task's thread
                broken = error
            gathered.ended = self._outlet.parts.clock.monotonic()
            if broken is None:
                say(self._exact.patience, hindrance)  # before the task's thread may write it, and say that it could
            with self._changed:
                self._flying = None
                if broken is not None:
                    self._broken = broken
                elif hindrance is None:
                    self._landed.append(gathered)
                    self._pause = FIRST_PAUSE_SECONDS
                else:
                    self._taken_back, self._passes = gathered, passing(hindrance)
                self._changed.notify_all()
            if broken is not None or not (hindrance is None or passing(hindrance)):
                end(self._outlet, broken or hindrance)


def estimated(load: Load) -> int:
    """Bytes of the rows, by a few of them: it bounds memory, so that it need not be exact."""
    size = ROW_BYTES * load.rows
    for routed in load.outgoing:
        values = routed.batch.values
        sample = (values[0], values[len(values) // 2], values[-1])
        size += len(values) * max(100 if value is None else len(value) for value in sample)
    return size


def count(outlet: Outlet, gathered: Gathered) -> None:
    """What was committed, on the task's thread."""
    if not gathered.empty:
        outlet.metrics.transaction(sum(sent.load.surviving - len(sent.refused) for sent in gathered.sent))
    outlet.flushed(gathered.started, succeeded=True, ended=gathered.ended)
    for sent in gathered.sent:
        outlet.arrived(sent)


def write(outlet: Outlet, patience: Patience, gathered: Gathered) -> Exception | None:
    """One transaction; what hindered it: then nothing was written, and the same rows may be written again.

    Raises what came when it can no longer be said whether they are in the log."""
    parts = outlet.parts
    producer = parts.producer
    if gathered.empty:
        gathered.sent = [Sent(load) for load in gathered.loads]
        return None
    try:
        outlet.check_cancelled()
        producer.begin()
    except Exception as error:  # noqa: BLE001 - it comes again on the task's thread, if it does not pass
        return error
    try:
        _send(outlet, gathered)
    except Exception as error:  # noqa: BLE001 - as above; what was sent is in memory until the commit
        _abort(producer, patience)
        return error
    parts.failpoint("source.commit.before")
    try:
        producer.commit()
    except Exception as error:
        _abort(producer, patience)
        if passing(error):
            return error
        raise
    parts.failpoint("source.commit.after")
    check_late_refusals(gathered.sent, parts.settings.tolerate_failures)
    return None


def _abort(producer: Producer, patience: Patience) -> None:
    """Until it succeeds, or the task is to stop; raises what does not pass."""
    while True:
        try:
            producer.abort()
        except Exception as error:  # noqa: BLE001 - raised again unless it can pass
            patience.wait(error)
        else:
            return


def say(patience: Patience, hindrance: Exception | None) -> None:
    """That the log cannot be written lasts or is over. patience: of the task's thread: both of them say it once."""
    if hindrance is None:
        patience.over()
    elif passing(hindrance):
        patience.complain(hindrance)


def end(outlet: Outlet, error: BaseException | None) -> None:
    """What the task's thread learns of when the poll returns must not wait for that to be known."""
    if error is None or isinstance(error, StopAskedError):
        return
    log.error("Rows cannot be written, and the task ends there; a poll under way is cancelled: %s", error)
    outlet.end(error)


def _send(outlet: Outlet, gathered: Gathered) -> None:
    parts = outlet.parts
    assert parts.rows is not None
    gathered.sent = []
    for load in gathered.loads:
        sent = Sent(load)
        gathered.sent.append(sent)
        for routed in load.outgoing:
            outlet.topics.ensure(routed.batch.topic)
            parts.producer.send(routed.batch, sent.hearing(routed))
        _check(sent.refused.values(), parts.settings.tolerate_failures)
    parts.failpoint("source.send.after")
    parts.failpoint("source.offsets.before")
    offsets = gathered.offsets.entries()
    if offsets:
        refused: list[Exception] = []
        parts.producer.send(parts.rows.rows(offsets), lambda delivered: refused.extend(delivered.failures.values()))
        _check(refused, tolerates=False)


def _check(refused: Iterable[Exception], tolerates: bool) -> None:
    """Raise what rows were refused for; tolerated, they are reported with the others, once those are in the log."""
    for error in refused:
        if not tolerates or not skippable(error):
            raise error
