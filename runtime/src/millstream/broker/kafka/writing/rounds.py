"""When rows go out: a batch of each partition at most, and the next when all of those are acknowledged.

librdkafka has one batch of a partition out at a time, and while rows of that partition wait behind it, the thread of
their broker does not sleep (rd_kafka_toppar_producer_serve asks to be woken for them before it finds that none may be
sent): a core for as long as the broker is slow. What waits here costs nothing. It goes on when the task's thread comes
by, and while a plugin's poll keeps that away, by a thread that looks ever more seldom.

A source at full speed whose answers come quickly is worth the burning: there a second round goes behind the first.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable

from millstream.broker.kafka.writing.flight import BY_KEY, Flight, Lane, Pending
from millstream.broker.kafka.writing.handing import part_size
from millstream.errors import message_of
from millstream.lifecycle import Clock, Spawned, StopToken, spawn

log = logging.getLogger(__name__)

QUICK_SECONDS = 0.025  # beside linger.ms: an answer for which it may be burned
MOST_ROWS = 10_000  # librdkafka's batch.num.messages
ROW_OVERHEAD = 36  # rd_kafka_msg_wire_size: RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD
ROUNDING = 1e-9  # of shares
OPEN_SHARE = 0.8  # of linger.ms, for which librdkafka waits for more
LEAST_ROWS = 2_500  # of those that waited: 1.4 ms of a processor, which may take long where others want it, too
LEAST_SECONDS = 0.001
MOST_SECONDS = 0.05
LINGER_SECONDS = 0.005  # a full batch leaves before linger.ms is over
NOTICE_SHARE = 0.1  # of the time that a round has been out already


class Room:
    """What of a batch of each partition is taken, as a share of 1. Rows by key may fill the fullest of their partitions
    with twice the mean; beyond that, what does not fit waits for one answer behind the others."""

    def __init__(self) -> None:
        self._taken: defaultdict[Lane, float] = defaultdict(float)

    def take(self, pending: Pending, batch_bytes: int) -> int:
        """How many of its rows that are not out fit: one at least, where nothing else is there."""
        share = _share(pending, batch_bytes)
        free = 1.0 - self._of(pending.lane)
        fit = max(int(free / share), 1 if free == 1.0 else 0)
        every = len(pending.batch.values)
        rows, taken = min(every - pending.handed, fit), 0.0
        if 0 < rows < every:
            rows, taken = _part(pending, rows, batch_bytes, free)
        self._taken[pending.lane] += max(rows * share, taken)
        return rows

    def clear(self) -> None:
        self._taken.clear()

    def is_of(self, lane: Lane) -> bool:
        """Whether all of it is for this one partition."""
        return lane[1] != BY_KEY and self._taken.keys() == {lane}

    def _of(self, lane: Lane) -> float:
        topic, partition = lane
        taken = self._taken.get
        if partition != BY_KEY:
            return taken(lane, 0.0) + taken((topic, BY_KEY), 0.0)
        known = (share for (name, one), share in self._taken.items() if name == topic and one != BY_KEY)
        return taken(lane, 0.0) + max(known, default=0.0)


def _share(pending: Pending, batch_bytes: int) -> float:
    """Of a batch that one of its rows takes."""
    row = pending.size / max(len(pending.batch.values), 1) + ROW_OVERHEAD
    return max(1 / MOST_ROWS, row / batch_bytes) * min(1.0, 2 / pending.spread)


def _part(pending: Pending, rows: int, batch_bytes: int, free: float) -> tuple[int, float]:
    """How many of its next rows are no more than what is free, and what they take: they may be longer than the mean."""
    start, scale, least = pending.handed, min(1.0, 2 / pending.spread) / batch_bytes, 1 if free == 1.0 else 0
    while True:
        taken = (part_size(pending.batch, start, start + rows) + rows * ROW_OVERHEAD) * scale
        if rows <= least or taken <= free + ROUNDING:
            return rows, taken
        rows = max(min(int(rows * free / taken), rows - 1), least)


class Rounds:
    """What may go out now, and the thread that sees to it while nobody else does.

    step: hands over what may go now, and says whether something still waits.   linger: seconds.
    All that the producer does goes on under `changed`, save where it asks brokers for topics.
    """

    def __init__(self, name: str, step: Callable[[], bool], linger: float, clock: Clock) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._name = name
        self._step = step
        self._linger = linger
        self._clock = clock
        self._room = Room()
        self._rows = 0
        self._began: float | None = None  # when the first rows of the round were handed over
        self._since: float | None = None  # the same of the one before it, while two are out
        self._ended = clock.monotonic()  # when the last round was over
        self._quick = False  # whether that was answered soon
        self._full = False
        self._thread: Spawned | None = None
        self._idle = False
        self._failure: BaseException | None = None  # of the thread

    def begin(self) -> None:
        """Nothing is out."""
        self.next()
        self._room.clear()
        self._began = None

    def next(self) -> None:
        """A round is over."""
        now = self._clock.monotonic()
        began = self._began if self._since is None else self._since
        if began is not None:
            self._quick = now - max(began, self._ended) < self._linger + QUICK_SECONDS
        self._ended, self._since = now, None

    def ahead(self, pending: Pending) -> bool:
        """Whether a source at full speed gets quick answers: another round then begins behind the one that is out."""
        if not (self._quick and self._full and self._room.is_of(pending.lane)):
            return False
        self._room.clear()
        self._since, self._began = self._began, None
        return True

    def take(self, pending: Pending, batch_bytes: int, waited: bool) -> int:
        """How many rows of it are of this round. batch_bytes: how large a batch may be.   waited: since before it."""
        now = self._clock.monotonic()
        if self._began is None:
            self._began, self._rows, self._full = now, 0, False
        elif now - self._began >= OPEN_SHARE * self._linger and not (waited and self._rows < LEAST_ROWS):
            return 0  # the others may have left already
        rows = self._room.take(pending, batch_bytes)
        self._rows += rows
        self._full = not rows
        return rows

    @property
    def notice(self) -> float:
        """Seconds until it is worth while to look again whether the round is over, which nothing tells."""
        return min(max(NOTICE_SHARE * self._out, LEAST_SECONDS), MOST_SECONDS)

    @property
    def _out(self) -> float:
        return 0.0 if self._began is None else self._clock.monotonic() - self._began

    def wake(self) -> None:
        """Something waits."""
        if self._thread is None:
            self._thread = spawn(self._name, self._work)
        elif self._idle:
            self.changed.notify_all()

    def check(self) -> None:
        """Raise what ended the thread; another takes its place if there is need."""
        failure, self._failure = self._failure, None
        if failure is not None:
            self._thread = None
            raise failure

    def close(self) -> None:
        """Nothing more is handed over by the thread. Not to be called under `changed`."""
        if self._thread is not None:
            self._thread.stop.set()
            with self.changed:
                self.changed.notify_all()
            self._thread.join()

    def _work(self, stop: StopToken) -> None:
        with self.changed:
            while not stop.is_set:
                try:
                    self._idle = not self._step()
                except BaseException as error:  # noqa: BLE001 - raised on the task's thread
                    self._failure = error
                    log.error("[%s] rows that wait for Kafka go no further: %s", self._name, message_of(error))
                    return
                lingering = min(max(self._linger - self._out, 0.0), LINGER_SECONDS)
                self.changed.wait(None if self._idle else lingering + self.notice)


class Passing:
    """Which rows may pass to librdkafka now: of the round that is open, or of one behind it.

    in_order: whether rows for one partition are acknowledged in order.
    serve:    takes all reports; whether no row has to go again.
    """

    def __init__(self, flight: Flight, rounds: Rounds, in_order: bool, serve: Callable[[], bool]) -> None:
        self._flight = flight
        self._rounds = rounds
        self._in_order = in_order
        self._serve = serve
        self._lane: Lane | None = None  # of the rounds that are out, while there are two
        self._mixed = False  # rows are out that are of no round

    def look(self) -> bool:
        """Whether nothing is out; what is over is noted."""
        if self._flight.look():
            self._rounds.begin()
            self._mixed = False
            return True
        if self._flight.look_at_first(self._serve):
            self._rounds.next()
        return False

    def take(self, pending: Pending, batch_bytes: int, waited: bool) -> int:
        """As `Rounds.take`; of two rounds that are out both have the same one partition."""
        if self._flight.ahead is not None:
            return self._rounds.take(pending, batch_bytes, waited) if pending.lane == self._lane else 0
        rows = self._rounds.take(pending, batch_bytes, waited)
        if not rows and self._in_order and not self._mixed and self._rounds.ahead(pending):
            self._flight.part()
            self._lane = pending.lane
            rows = self._rounds.take(pending, batch_bytes, waited)
        return rows

    def refused(self) -> None:
        """A row was: all that is out is waited for."""
        self._flight.ahead = None

    def goes_again(self, refused: bool) -> None:
        """Rows of several partitions are out again. Where whole batches are refused, none comes behind others again."""
        self._flight.ahead = None
        self._mixed = True
        self._in_order = self._in_order and not refused

    def handed(self, pending: Pending, start: int) -> None:
        """Its rows from `start` on were handed over, save those that were refused at once."""
        if self._flight.ahead is not None:
            refused = sum(start <= row < pending.handed for row in pending.failures)
            self._flight.ahead += pending.handed - start - refused
