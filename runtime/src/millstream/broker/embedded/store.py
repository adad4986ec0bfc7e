"""One SQLite file of the log as one client sees it: own connection; every commit, checkpoint, close under a lock.

Why the lock, and `wal_autocheckpoint=0`: with busy time-outs a commit waited up to 1.4 s, with flock 90 ms at most;
and SQLite's WAL-reset race (mended in 3.51.3, 3.50.7, 3.44.6) needs a checkpoint beside a commit.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

from millstream.broker.complaint import Complaint
from millstream.broker.embedded.failures import explained
from millstream.broker.embedded.filesystem import prepare_folder
from millstream.broker.embedded.locks import FileLock, Lock, ThreadLock
from millstream.broker.embedded.schema import prepare
from millstream.errors import BrokerError, FencedError, IllegalStateError
from millstream.lifecycle import Clock

log = logging.getLogger(__name__)

CHECKPOINT_BYTES = 32 << 20  # a writer checkpoints after so many bytes of its own
WAL_BYTES = 64 << 20  # a write-ahead log larger than this is given back
TRANSACTION_BYTES = 64 << 10  # the pages a small transaction writes at least
BUSY_SECONDS = 5.0
OPEN_SECONDS = 20.0
CLOSE_SECONDS = 5.0  # longer than any commit or checkpoint of a process that runs
ABANDONED: list[sqlite3.Connection] = []
"""Connections that could not be closed under the lock: kept from the garbage collector, which would close them."""


@dataclass(slots=True)
class SharedMemory:
    """A database in memory and how many stores of this process use it."""

    connection: sqlite3.Connection
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


MEMORIES: dict[str, SharedMemory] = {}
MEMORIES_LOCK = threading.Lock()


class Store:
    """Any thread may use it; one at a time does. Never crosses a fork: opening is per process."""

    def __init__(self, path: str, clock: Clock, memory: bool = False, sync_full: bool = False) -> None:
        self.path = path
        self._memory = memory
        self._turn = threading.RLock()  # flock keeps processes apart, not the threads that share a descriptor
        self._commits = 0
        self._pid = os.getpid()
        self._checkpoint_complaint = Complaint(clock, log, f"the log {path!r} can be tidied again")
        self._sync = "full" if sync_full or memory else "normal"
        self._unchecked = 0
        self._opened: os.stat_result | None = None  # its file; None: in memory
        self._connection: sqlite3.Connection | None
        self._lock: Lock
        if memory:
            self._connection, self._lock = _join_memory(path)
        else:
            self._open_file()

    def _open_file(self) -> None:
        prepare_folder(self.path)
        self._lock = FileLock(f"{self.path}.lock")
        if not self._lock.acquire_within(OPEN_SECONDS):
            self._lock.close()
            raise BrokerError(
                f"the log {self.path!r} cannot be opened: another process has held {self.path}.lock for "
                f"{OPEN_SECONDS:.0f} s, and may be stopped; `lsof {self.path}.lock` names it: continue or end it"
            )
        try:
            self._connection = _connect(self.path)
            prepare(self._connection, self.path)
            self._connection.execute(f"pragma synchronous={self._sync}")
            self._opened = os.stat(self.path)
        except sqlite3.Error as error:
            self._abandon()
            raise explained(error, self.path) from error
        except BaseException:
            self._abandon()
            raise
        self._lock.release()

    def _abandon(self) -> None:
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        self._lock.release()
        self._lock.close()

    @contextmanager
    def writing(self, epoch: int | None = None, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end of the block, gone when it raises.

        epoch:   raises FencedError if a later worker has claimed the log.
        durable: this transaction and all earlier ones survive a power failure.
        """
        barrier = durable and self._sync != "full"
        with self._turn:
            connection = self._use()
            self._lock.acquire()
            try:
                if barrier:
                    connection.execute("pragma synchronous=full")
                try:
                    yield from self._transaction(connection, epoch)
                finally:
                    if barrier:
                        connection.execute("pragma synchronous=normal")
                self._commits += 1
                self._unchecked += TRANSACTION_BYTES
                if self._unchecked >= CHECKPOINT_BYTES and not self._memory:
                    self._checkpoint(connection)
            except sqlite3.Error as error:
                raise explained(error, self.path) from error
            finally:
                self._lock.release()

    def _transaction(self, connection: sqlite3.Connection, epoch: int | None) -> Iterator[sqlite3.Connection]:
        try:
            connection.execute("begin immediate")
            if epoch is not None:
                _check_epoch(connection, epoch, self.path)
            yield connection
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise

    def check_in_place(self) -> None:
        """Raise BrokerError when its path leads here no longer: SQLite goes on writing to one without a name."""
        if self._opened is None:
            return
        try:
            in_place = os.path.samestat(os.stat(self.path), self._opened)
        except FileNotFoundError:
            in_place = False
        except OSError as error:
            raise BrokerError(f"the log {self.path!r} cannot be found any more: {error.strerror}") from error
        if in_place:
            return
        raise BrokerError(
            f"the log {self.path!r} was removed or replaced while this worker uses it, and what it writes is gone when "
            "it ends; restart it, and it uses what is there then"
        )

    def wrote(self, size: int) -> None:
        """Bytes that went into the transaction under way: they decide when to checkpoint."""
        self._unchecked += size

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Single statements; every cursor is read to its end or closed within the block."""
        guard: AbstractContextManager[object] = self._guard() if self._memory else nullcontext()
        with self._turn, guard:
            try:
                yield self._use()
            except sqlite3.Error as error:
                raise explained(error, self.path) from error

    @contextmanager
    def _guard(self) -> Iterator[None]:
        self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def version(self) -> tuple[int, int]:
        """Changes when anybody has committed, this store or another client."""
        with self._turn:
            connection = self._use()
            if self._memory:
                return 0, connection.total_changes
            try:
                found: tuple[int] = connection.execute("pragma data_version").fetchone()
            except sqlite3.Error as error:
                raise explained(error, self.path) from error
            return found[0], self._commits

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """What was committed stays so when this fails: it is tried again after the next bytes."""
        self._unchecked = 0
        try:
            connection.execute("pragma wal_checkpoint(passive)").fetchall()
            if os.stat(f"{self.path}-wal").st_size > WAL_BYTES:
                connection.execute("pragma busy_timeout=100")
                try:
                    connection.execute("pragma wal_checkpoint(truncate)").fetchall()
                finally:
                    connection.execute(f"pragma busy_timeout={int(BUSY_SECONDS * 1000)}")
        except sqlite3.Error as error:
            self._checkpoint_complaint.failed(str(explained(error, self.path)))
        else:
            self._checkpoint_complaint.mended()

    def _use(self) -> sqlite3.Connection:
        if self._connection is None:
            raise IllegalStateError(f"the log {self.path!r} was closed by this client; open another")
        if self._pid != os.getpid():
            raise IllegalStateError(
                f"the log {self.path!r} was opened in pid {self._pid}, before a fork; open it anew here"
            )
        return self._connection

    def close(self) -> None:
        """Let go, under the lock: the last connection's close checkpoints. May be called twice.

        When the lock cannot be had, the connection is left to the end of the process, as at a kill: nothing is lost.
        """
        if not self._turn.acquire(timeout=CLOSE_SECONDS):  # another thread of ours waits for the lock
            _tell_abandoned(self.path)
            return
        try:
            connection, self._connection = self._connection, None
            if connection is None or self._pid != os.getpid():
                return
            if self._memory:
                _leave_memory(self.path)
            elif self._lock.acquire_within(CLOSE_SECONDS):
                _close(connection, self._lock)
            else:
                ABANDONED.append(connection)
                _tell_abandoned(self.path)
        finally:
            self._turn.release()


def _close(connection: sqlite3.Connection, lock: Lock) -> None:
    try:
        connection.close()
    finally:
        lock.release()
        lock.close()


def _tell_abandoned(path: str) -> None:
    log.warning(
        "another process has held %s.lock for %.0f s, and may be stopped (`lsof` names it): this one goes without "
        "closing the log, which loses nothing",
        *(path, CLOSE_SECONDS),
    )


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False, cached_statements=64
    )
    try:
        for pragma in ("wal_autocheckpoint=0", "cache_size=-2048", "mmap_size=0", "secure_delete=0"):
            connection.execute(f"pragma {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _check_epoch(connection: sqlite3.Connection, epoch: int, path: str) -> None:
    (newest,) = connection.execute("select value from meta where key = 'epoch'").fetchone()
    if newest < epoch:
        raise FencedError(
            f"the log {path!r} was removed or replaced while the worker runs (epoch {newest}, not {epoch}), "
            "and nothing was written; restart the worker"
        )
    if newest > epoch:
        raise FencedError(
            f"the log {path!r} belongs to a later start of the worker (epoch {newest}, this writer has {epoch}); "
            "nothing was written, and this process must stop"
        )


def _join_memory(name: str) -> tuple[sqlite3.Connection, Lock]:
    with MEMORIES_LOCK:
        memory = MEMORIES.get(name)
        if memory is None:
            memory = SharedMemory(_connect(":memory:"))
            prepare(memory.connection, name)
            MEMORIES[name] = memory
        memory.users += 1
        return memory.connection, ThreadLock(memory.lock)


def _leave_memory(name: str) -> None:
    with MEMORIES_LOCK:
        memory = MEMORIES[name]
        memory.users -= 1
        if memory.users == 0:
            del MEMORIES[name]
            memory.connection.close()
