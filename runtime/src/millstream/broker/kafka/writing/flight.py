"""What a producer was given and has not told yet: what waits to be handed to librdkafka, what is out, what is over.

Reports are asked for refused records alone: one for each record costs half as much again as sending it. That the others
are written is known by the number of messages that librdkafka still holds: when it holds none, all that was out is
over, and no failed record can be missed, since it is held until its report was taken. What waits is handed over in
rounds, each when the one before is over (`rounds.py`), so that this moment comes again and again. Of two rounds that
are out for one partition, idempotent and without a time limit, the first is acknowledged first: it is over when no more
is held than the second has.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import Message

from millstream.broker.ports import Delivered, Outgoing
from millstream_api.records import Origin

Done = Callable[[Delivered], None]
Lane = tuple[str, int]
BY_KEY = -1  # librdkafka chooses the partition, by the key
NOT_KNOWN = -1  # the offset of a record that was written by an earlier attempt, or with acks=0; as Java's


@dataclass(slots=True)
class Pending:
    """One Outgoing.

    held:   bytes that it takes in this process until it is over.
    handed: how many of its rows were handed over.
    hint:   the row after the one that was refused last: refusals come in order.
    where:  the partition of all rows, or of each.
    lane:   the one partition of all rows, if that is known; else BY_KEY.   spread: over how many they spread evenly.
    origins: by row, when each record is reported.
    """

    batch: Outgoing
    done: Done
    size: int
    held: int = 0
    handed: int = 0
    hint: int = 0
    where: int | Sequence[int] = BY_KEY
    lane: Lane = ("", BY_KEY)
    spread: int = 1
    failures: dict[int, Exception] = field(default_factory=dict)
    origins: list[Origin | None] | None = None

    def refuse(self, message: Message, error: Exception) -> int:
        """Note that a record was refused; gives its row. Of equal rows the first not refused yet: it decides."""
        values, keys = self.batch.values, self.batch.keys
        value, key, one = message.value(), message.key(), message.partition()
        count = len(values)
        for row in (*range(self.hint, count), *range(self.hint)):
            if (
                row not in self.failures
                and values[row] == value
                and (keys is None or keys[row] == key)
                and self.partition(row) in (BY_KEY, one)
            ):
                self.failures[row] = error
                self.hint = row + 1
                return int(row)
        raise AssertionError(
            f"librdkafka refused a record for partition {one} of topic {self.batch.topic!r}, "
            f"and this batch of {count} rows does not have it"
        )

    def partition(self, row: int) -> int:
        return self.where if isinstance(self.where, int) else self.where[row]

    def loosen(self, row: int) -> None:
        """Its partition is gone: librdkafka may choose another."""
        if not isinstance(self.where, list):
            self.where = [self.where] * len(self.batch.values) if isinstance(self.where, int) else list(self.where)
        self.where[row] = BY_KEY

    def tell(self) -> None:
        origins = self.origins
        self.done(Delivered(self.failures, None if origins is None else partial(_given, origins)))


def _given(origins: Sequence[Origin | None]) -> Sequence[Origin | None]:
    return origins


class Flight:
    """held: how many messages librdkafka has, those included whose report was not taken yet."""

    def __init__(self, held: Callable[[], int]) -> None:
        self.size = 0
        self.waiting: deque[Pending] = deque()  # the first may have been handed over in part
        self._held = held
        self._out: deque[Pending] = deque()
        self._over: deque[Pending] = deque()
        self.ahead: int | None = None  # how many messages are of a second round, behind the first; None: there is one
        self._before = 0  # how many of `_out` are over with the first

    def add(self, pending: Pending) -> None:
        """It waits."""
        self.waiting.append(pending)
        self.size += pending.held

    def left(self) -> None:
        """All rows of the first that waited are out."""
        self._out.append(self.waiting.popleft())

    def look(self) -> bool:
        """Whether nothing is out, so that what was is over."""
        if self._held():
            return False
        self._over.extend(self._out)
        self._out.clear()
        self.ahead = None
        return True

    def part(self) -> None:
        """What is handed over from here on, and counted in `ahead`, is acknowledged after all that is out."""
        self._before, self.ahead = len(self._out), 0

    def look_at_first(self, serve: Callable[[], bool]) -> bool:
        """Whether all is over that is out before what was handed over ahead.

        serve: takes all reports; whether nothing has to go again.   A refused record is held until its report was
        taken, and counts: so first they are counted, then reports are taken.
        """
        if self.ahead is None or self._held() > self.ahead:
            return False
        self.ahead = None
        if not serve():
            return False  # all that is out is waited for
        for _ in range(self._before):
            self._over.append(self._out.popleft())
        return True

    def land(self) -> bool:
        """Tell what is over. True: something was."""
        something = bool(self._over)
        while self._over:
            self._tell(self._over.popleft())
        return something

    def drop(self, error: Exception) -> None:
        """What waits is not to be handed over any more: those rows fail with `error`, once what is out is over."""
        while self.waiting:
            self.fail_first(self.waiting[0].handed, error)

    def fail_first(self, start: int, error: Exception) -> None:
        """Nobody knows what is out of the rows from `start` on of the first that waits, or none is: they fail."""
        pending = self.waiting[0]
        for row in range(start, len(pending.batch.values)):
            pending.failures.setdefault(row, error)
        self.left()

    def abandon(self, error: Exception) -> None:
        """Nothing more is heard: what is out is told, with `error` for the rows of which nothing is known."""
        self.land()
        self.drop(error)
        while self._out:
            pending = self._out.popleft()
            for row in range(len(pending.batch.values)):
                pending.failures.setdefault(row, error)
            self._tell(pending)

    @property
    def empty(self) -> bool:
        return not (self.waiting or self._out or self._over)

    @property
    def rows(self) -> int:
        return sum(len(pending.batch.values) for some in (self.waiting, self._out) for pending in some)

    def _tell(self, pending: Pending) -> None:
        self.size -= pending.held
        pending.tell()


def topics_of(flight: Flight) -> Sequence[str]:
    """Of what is out, and of what waits behind it."""
    return sorted({pending.batch.topic for some in (flight.waiting, flight._out) for pending in some})


def arrived(pending: Pending, row: int, message: Message) -> None:
    """A record was reported as written."""
    assert pending.origins is not None
    kind, _ = message.timestamp()
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    where = NOT_KNOWN if offset is None else offset
    pending.origins[row] = Origin(topic, partition, where, "LogAppendTime" if kind == 2 else "CreateTime")
