"""What was handed to librdkafka and is not told yet: which of it is over, and which rows of it were refused.

Reports are asked for refused records alone: one for each record costs half as much again as sending it. What is left
is known by the number of messages that librdkafka still holds, and no failed record can be missed, since it is held
until its report was taken:

- none held: everything is over;
- all of it is for one partition, idempotent, without a time limit, and nothing was refused: records are acknowledged
  in the order they were handed over, so that the first `sent - held` are over.
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
BY_KEY = -1
NOT_KNOWN = -1  # the offset of a record that was written by an earlier attempt, or with acks=0; as Java's


@dataclass(slots=True)
class Pending:
    """One Outgoing.

    end:    how many messages had been handed over after its last.   since: monotonic seconds.
    held:   bytes that it takes in this process until it is over.
    hint:   the row after the one that was refused last: refusals come in order.
    where:  the partition of all rows, or of each; BY_KEY: librdkafka chooses it.
    origins: by row, when each record is reported.
    """

    batch: Outgoing
    done: Done
    size: int
    since: float
    held: int = 0
    end: int = 0
    hint: int = 0
    where: int | Sequence[int] = BY_KEY
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
        raise AssertionError("librdkafka refused a record that this batch does not have")

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
    """held: how many messages librdkafka has.   in_order: see above."""

    def __init__(self, held: Callable[[], int], in_order: bool) -> None:
        self.size = 0
        self._held = held
        self._in_order = in_order
        self._sent = 0
        self._over = 0
        self._pending: deque[Pending] = deque()
        self._lane: Lane | None = None
        self._mixed = False

    def add(self, pending: Pending, count: int, lane: Lane | None) -> None:
        """`count` messages of it were handed over, all into `lane`, or into several partitions (None)."""
        if not self._pending:
            self._lane, self._mixed = lane, lane is None
        elif lane is None or lane != self._lane:
            self._mixed = True
        self._sent += count
        pending.end = self._sent
        self._pending.append(pending)
        self.size += pending.held

    def refused(self) -> None:
        """Something was: until all is over the order says nothing."""
        self._mixed = True

    def look(self) -> None:
        """Just before the client's callbacks are served: what is over by now has no refusal that they do not tell.

        Counted after them, rows refused in between, whose refusal waits for the next time, could be taken for written
        when rows behind them were acknowledged.
        """
        self._over = self._sent - self._held()

    def land(self) -> bool:
        """Tell what was over at the last look. The client's callbacks have been served since; none left: all is.

        True: something was.
        """
        before = len(self._pending)
        if not before:
            return False
        held = self._held()
        if held and (self._mixed or not self._in_order):
            return False
        while self._pending and (not held or self._pending[0].end <= self._over):
            pending = self._pending.popleft()
            self.size -= pending.held
            pending.tell()
        return len(self._pending) < before

    def abandon(self, error: Exception) -> None:
        """Nothing more is heard: what is out is told, with `error` for the rows of which nothing is known."""
        while self._pending:
            pending = self._pending.popleft()
            self.size -= pending.held
            for row in range(len(pending.batch.values)):
                pending.failures.setdefault(row, error)
            pending.tell()

    @property
    def empty(self) -> bool:
        return not self._pending

    @property
    def rows(self) -> int:
        return sum(len(pending.batch.values) for pending in self._pending)

    @property
    def unclear_since(self) -> float | None:
        """Since when something has been out whose end only an empty client can show."""
        if self._pending and (self._mixed or not self._in_order):
            return self._pending[0].since
        return None


def arrived(pending: Pending, row: int, message: Message) -> None:
    """A record was reported as written."""
    assert pending.origins is not None
    kind, _ = message.timestamp()
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    where = NOT_KNOWN if offset is None else offset
    pending.origins[row] = Origin(topic, partition, where, "LogAppendTime" if kind == 2 else "CreateTime")
