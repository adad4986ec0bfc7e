"""What both ways of delivering a source's rows share: slices on their way, patience, telling the plugin."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

from millstream.broker.complaint import Complaint
from millstream.broker.ports import Delivered, Outgoing
from millstream.errors import BrokerError, MillstreamError, RetriableError
from millstream.identity import TargetState
from millstream.lifecycle import Clock
from millstream.pipeline.poll import Routed, SourceSlice
from millstream.task.control import Control
from millstream.task.living import StopAskedError
from millstream.task.offsets import Offsets
from millstream_api import Origin, Place, SourceTask

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1  # Java's "source send retry pause"; doubled up to the longest
LONGEST_PAUSE_SECONDS = 5.0
LOOK_SECONDS = 0.25  # how often a wait looks whether the task is to pause


class Delivery(Protocol):
    """How rows and offsets get into the log: `Transactions`, `Overlapped`, `AtLeastOnce`. Used by the task's thread."""

    def send(self, slice: SourceSlice) -> None:
        """Hand one slice over. Waits while the broker is away; raises what fails the task."""
        ...

    def polled(self) -> None:
        """A poll is over, all its slices are sent; it may have been empty."""
        ...

    def tend(self) -> None:
        """Do what is due although nothing was polled."""
        ...

    def settle(self) -> None:
        """Commit what may be committed, before a pause."""
        ...

    def finish(self, failure: BaseException | None) -> None:
        """The last commit. After a failure what came before it may still be committed; raises what `Outlet.end` has
        told before as exactly as can be."""
        ...

    def close(self) -> None:
        """Leave the producer alone from now on; after `finish`, or in its place for a cancelled task."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """A slice, or the part of it before a failed or refused row: its first `rows` rows."""

    slice: SourceSlice
    rows: int
    outgoing: Sequence[Routed]

    @classmethod
    def of(cls, slice: SourceSlice) -> "Load":
        return cls(slice, slice.rows if slice.failed_row is None else slice.failed_row, slice.outgoing)

    @property
    def surviving(self) -> int:
        """Rows that the pipeline neither dropped nor skipped."""
        return sum(len(routed.rows) for routed in self.outgoing)

    def newest(self) -> Iterator[tuple[Place | None, Place | None]]:
        """The last place of each source partition among the surviving rows; may call the plugin's `offset_at`."""
        ledger = self.slice.ledger
        for _, rows in ledger.split(self.survivors()):
            yield ledger.place(rows[-1])

    def survivors(self) -> Sequence[int]:
        if len(self.outgoing) == 1:
            return self.outgoing[0].rows
        return sorted(row for routed in self.outgoing for row in routed.rows)

    def before(self, row: int) -> "Load":
        """What of it is before `row`."""
        outgoing = []
        for routed in self.outgoing:
            length = bisect_left(routed.rows, row)
            if length:
                outgoing.append(Routed(head(routed.batch, length), routed.rows[:length]))
        return Load(self.slice, row, outgoing)


def head(batch: Outgoing, length: int) -> Outgoing:
    """The first `length` rows of a batch."""
    if length == len(batch.values):
        return batch
    columns = ("keys", "partitions", "timestamps", "headers")
    short = {name: column[:length] for name in columns if (column := getattr(batch, name)) is not None}
    return replace(batch, values=batch.values[:length], **short)


class Sent:
    """One load that was handed to the producer, and what has been heard of it."""

    __slots__ = ("_origins", "load", "refused", "waiting")

    def __init__(self, load: Load) -> None:
        self.load = load
        self.waiting: list[Routed] = list(load.outgoing)
        self.refused: dict[int, Exception] = {}  # row of the slice -> why
        self._origins: list[tuple[Sequence[int], Callable[[], Sequence[Origin | None]]]] = []

    def hearing(self, routed: Routed) -> Callable[[Delivered], None]:
        """What to give the producer along with one of its batches."""
        return lambda delivered: self._heard(routed, delivered)

    def _heard(self, routed: Routed, delivered: Delivered) -> None:
        self.waiting = [other for other in self.waiting if other is not routed]
        for at, error in delivered.failures.items():
            self.refused[routed.rows[at]] = error
        if delivered.origins is not None:
            self._origins.append((routed.rows, delivered.origins))

    def origins(self) -> Mapping[int, Origin | None]:
        return {row: origin for rows, given in self._origins for row, origin in zip(rows, given(), strict=True)}


def refusal(load: Load, row: int, error: Exception) -> MillstreamError:
    """The failure of a task whose row the broker refused, in Connect's words, and which row that is."""
    failure = MillstreamError("Unrecoverable exception from producer send callback")
    partition, offset = load.slice.ledger.place(row)
    failure.add_note(f"the record with source partition {partition!r}, source offset {offset!r}")
    failure.__cause__ = error
    return failure


class Patience:
    """Waiting while the broker is away: the task stays RUNNING, keeps its rows, and says so once and every 30 s.

    hold: called on the waiting thread when the task is to pause; returns when it is to go on, or to end.
    """

    def __init__(self, control: Control, clock: Clock, what: str, hold: Callable[[], None]) -> None:
        self._control = control
        self._what = what
        self._hold = hold
        self._pause = FIRST_PAUSE_SECONDS
        self._complaint = Complaint(clock, log, f"{what}: it succeeded now")

    def of_another_thread(self, hold: Callable[[], None]) -> "Patience":
        """With pauses and a `hold` of its own; what lasts is said once by both."""
        other = copy(self)
        other._hold, other._pause = hold, FIRST_PAUSE_SECONDS
        return other

    def wait(self, error: Exception) -> None:
        """Wait a while. Raises StopAskedError when the task is to stop, `error` when it cannot pass by itself."""
        if not passing(error):
            raise error
        self.complain(error)
        left = self._pause
        while left > 0:
            if self._control.wait(min(left, LOOK_SECONDS)):
                raise self._control.error or StopAskedError
            left -= LOOK_SECONDS
            if self._control.target is TargetState.PAUSED:  # as Java, which keeps what it could not send
                self._hold()
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    def complain(self, error: Exception) -> None:
        self._complaint.failed(f"{self._what}: {error}. Nothing is skipped; the task tries again until it succeeds")

    def over(self) -> None:
        self._complaint.mended()
        self._pause = FIRST_PAUSE_SECONDS


def passing(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, RetriableError) or (isinstance(error, BrokerError) and error.retriable)


def skippable(error: Exception) -> bool:
    """Whether `errors.tolerance=all` may leave the row out: it is at fault itself. What hinders every row, such as an
    outage, would lose them all."""
    return isinstance(error, BrokerError) and error.skippable


class Upstream:
    """Tells the plugin what became of its records. What it raises is logged and ignored, as in Java."""

    def __init__(self, task: SourceTask[Any]) -> None:
        self._task = task
        self.hears_records = type(task).commit_record is not SourceTask.commit_record
        self.hears_commits = type(task).commit is not SourceTask.commit

    def records(self, sent: Sent, written: bool = True) -> None:
        """Each row of a slice in poll order, with where it is; `written` False: the transaction was aborted."""
        if not self.hears_records:
            return
        origins = sent.origins() if written else {}
        for row in range(sent.load.rows):
            try:
                self._task.commit_record(sent.load.slice.record(row), origins.get(row))
            except Exception as error:
                log.error("commit_record raised; the record stays written", exc_info=error)

    def committed(self, offsets: Offsets) -> None:
        if not self.hears_commits or not offsets:
            return
        try:
            self._task.commit(offsets)
        except Exception as error:
            log.error("commit raised; the offsets stay committed", exc_info=error)
