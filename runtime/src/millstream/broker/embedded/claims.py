"""Partitions that members of a group have in hand: a new reader begins when the former one has committed and let go.

As on Kafka, where a partition is assigned once its former owner has revoked it. A member's death frees what it had.
"""

import fcntl
import logging
import os
import struct
import threading
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from typing import Protocol

from millstream.broker.embedded.filesystem import LogFiles
from millstream.broker.embedded.holders import lock_holders
from millstream.broker.embedded.locks import open_lock
from millstream.lifecycle import Clock
from millstream_api.records import TopicPartition

log = logging.getLogger(__name__)

LONGEST_SECONDS = 300.0
"""Kafka's `max.poll.interval.ms`: who has not called `poll` for so long is not waited for any more. Here that can only
be a thread that was abandoned in a call of its plugin; a process in its place has been killed by then."""
LONG_SECONDS = 15.0
"""A handover that takes longer is said. A process that does not stop in order is ended sooner."""


class Hands(Protocol):
    """What one member has."""

    def take(self, name: int) -> bool:
        """False: another has it. What is one's own already can be taken again."""
        ...

    def let_go(self, name: int) -> None: ...

    def holders(self, names: Collection[int]) -> Sequence[int]:
        """Pids of those who have any of them; empty where nobody says."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class FileHands:
    """One byte a claim, locked by this open file and no other (fcntl(2), open file description locks)."""

    def __init__(self, path: str) -> None:
        self._fd = open_lock(path)

    def take(self, name: int) -> bool:
        try:
            self._lock(fcntl.F_WRLCK, name, 1)
        except BlockingIOError:
            return False
        return True

    def let_go(self, name: int) -> None:
        self._lock(fcntl.F_UNLCK, name, 1)

    def holders(self, names: Collection[int]) -> Sequence[int]:
        return lock_holders(os.fstat(self._fd).st_ino, names)

    def close(self) -> None:
        if self._fd >= 0:
            self._lock(fcntl.F_UNLCK, 0, 0)  # a process that the plugin forked has this file open, too
            os.close(self._fd)
            self._fd = -1

    def _lock(self, kind: int, start: int, length: int) -> None:
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi0q", kind, os.SEEK_SET, start, length, 0))


class MemoryHands:
    """The same between the threads that share a log in memory."""

    _lock = threading.Lock()
    _held: dict[tuple[str, int], "MemoryHands"] = {}  # of the whole process

    def __init__(self, path: str) -> None:
        self._path = path

    def take(self, name: int) -> bool:
        with self._lock:
            return self._held.setdefault((self._path, name), self) is self

    def let_go(self, name: int) -> None:
        with self._lock:
            if self._held.get((self._path, name)) is self:
                del self._held[self._path, name]

    def holders(self, names: Collection[int]) -> Sequence[int]:
        return (os.getpid(),)

    def close(self) -> None:
        with self._lock:
            for key in [key for key, holder in self._held.items() if holder is self]:
                del self._held[key]


class Claims:
    """What a member of `group` may open now. On the task's thread."""

    def __init__(self, files: LogFiles, group: str, clock: Clock) -> None:
        self._group = group
        self._clock = clock
        self._since: dict[TopicPartition, float] = {}  # waited for since, monotonic seconds
        self._told: set[TopicPartition] = set()
        self._hands: Hands | None = None
        if files.memory:
            self._hands = MemoryHands(files.data)
        elif hasattr(fcntl, "F_OFD_SETLK"):  # Linux; elsewhere nobody is waited for
            self._hands = FileHands(files.claims)

    @property
    def waiting(self) -> bool:
        """Something was asked for that another has."""
        return bool(self._since)

    def free(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Those of them that are this member's from now on; the others have to be asked for again."""
        now = self._clock.monotonic()
        before, self._since = self._since, {}
        free: list[TopicPartition] = []
        for partition in partitions:
            if self._hands is None or self._hands.take(self._name(partition)):
                free.append(partition)
                continue
            since = before.get(partition, now)
            if now - since >= LONGEST_SECONDS:
                log.warning(
                    "%s-%d is read on although another reader of group %r, which has not polled for %.0f s, has not "
                    "let go of it: what that one still writes comes twice",
                    *(*partition, self._group, now - since),
                )
                free.append(partition)
                continue
            self._since[partition] = since
        if news := sorted(self._since.keys() - before.keys()):
            log.info("Waiting until another reader of group %r has let go of %s", self._group, _named(news))
        self._tell_long_waits(now)
        return free

    def _tell_long_waits(self, now: float) -> None:
        self._told &= self._since.keys()
        long = sorted(tp for tp, since in self._since.items() if now - since >= LONG_SECONDS and tp not in self._told)
        if not long or self._hands is None:
            return
        self._told.update(long)
        waited = now - min(self._since[partition] for partition in long)
        log.warning(
            "Nobody reads %s here since %.0f s: another reader of group %r has not let go of it%s. It is read on in "
            "%.0f s at the latest, or as soon as that one lets go or its process ends",
            *(_named(long), waited, self._group, _called(self._hands.holders([self._name(one) for one in long]))),
            LONGEST_SECONDS - waited,
        )

    def let_go(self, partitions: Collection[TopicPartition]) -> None:
        if self._hands is not None:
            for partition in partitions:
                self._hands.let_go(self._name(partition))

    def close(self) -> None:
        if self._hands is not None:
            self._hands.close()

    def _name(self, partition: TopicPartition) -> int:
        text = f"{self._group}\0{partition.topic}\0{partition.partition}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 2  # a position in a file


def _called(pids: Sequence[int]) -> str:
    if os.getpid() in pids:
        return (
            f", a thread of this process (pid {os.getpid()}) that is still in a call of its plugin, though its task "
            "may have been given up (task.isolation=thread)"
        )
    return f", in pid {' or '.join(map(str, pids))}" if pids else ""


def _named(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{topic}-{partition}" for topic, partition in partitions)
