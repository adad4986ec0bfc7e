"""The embedded log as a broker: opened from `sqlite:<path>`, owned by one worker at a time."""

import os
import sqlite3
from collections.abc import Collection, Mapping

from millstream.broker.embedded import retention
from millstream.broker.embedded.admin import EmbeddedAdmin, cluster_id
from millstream.broker.embedded.catalog import Catalog, LogSettings
from millstream.broker.embedded.consumer import EmbeddedConsumer
from millstream.broker.embedded.failures import explained
from millstream.broker.embedded.filesystem import LogFiles, log_files
from millstream.broker.embedded.locks import FileLock, OwnerLock
from millstream.broker.embedded.producer import EmbeddedProducer
from millstream.broker.ports import AdminSettings, ConsumerSettings, ProducerSettings, SinkGroup
from millstream.errors import BrokerError, ConfigError
from millstream.lifecycle import Clock, SystemClock
from millstream.settings.topic import offset_topic

SCHEME = "sqlite:"

NUMBERS: Mapping[str, tuple[str, int]] = {
    "num.partitions": ("partitions", 1),
    "max.message.bytes": ("max_message_bytes", 1),
    "log.retention.ms": ("retention_ms", -1),
    "log.retention.bytes": ("retention_bytes", -1),
}


def open_embedded(
    bootstrap: str, settings: Mapping[str, str] | None = None, clock: Clock | None = None, at_once: bool = True
) -> "EmbeddedBroker":
    """Open the log, or make an empty one. Raises BrokerError or ConfigError saying what to change.

    at_once: false: the file is opened by the first look into it, and what is wrong with it comes out of that.
    """
    if not bootstrap.startswith(SCHEME):
        raise BrokerError(f"{bootstrap!r} is not an embedded log: name its file, as bootstrap.servers=sqlite:<path>")
    files = log_files(bootstrap.removeprefix(SCHEME))
    broker = EmbeddedBroker(bootstrap, files, read_settings(settings or {}), clock or SystemClock())
    if at_once:
        broker.check()
    return broker


def read_settings(settings: Mapping[str, str]) -> LogSettings:
    """The log's own settings among a worker's. Raises ConfigError with all problems."""
    problems: dict[str, str] = {}
    found: dict[str, int] = {}
    for name, (attribute, least) in NUMBERS.items():
        text = settings.get(name)
        if text is None:
            continue
        try:
            number = int(text)
        except ValueError:
            problems[name] = f"{name}={text!r} is not a whole number"
            continue
        if number < least:
            problems[name] = f"{name}={text!r} is too small: it is at least {least}"
        found[attribute] = number
    sync = settings.get("log.sync", "normal").strip()
    if sync not in {"normal", "full"}:
        problems["log.sync"] = (
            f"log.sync={sync!r}: it is 'normal' (before the outside is told) or 'full' (every commit)"
        )
    if problems:
        raise ConfigError(problems)
    return LogSettings(**found, sync_full=sync == "full", offsets=offset_topic(settings))


class EmbeddedBroker:
    """It and the clients it gives share one connection to each file: six of them cost a task 9 of the 14 ms of its
    start. The connections are there until the last of them is closed; so is a log in memory."""

    def __init__(self, bootstrap: str, files: LogFiles, settings: LogSettings, clock: Clock) -> None:
        self._bootstrap = bootstrap
        self._files = files
        self._catalog = Catalog(files, settings, clock)
        self._closed = False
        self._cluster_id: str | None = None

    @property
    def bootstrap(self) -> str:
        return self._bootstrap

    @property
    def files(self) -> LogFiles:
        return self._files

    @property
    def shared(self) -> bool:
        return not self._files.memory

    @property
    def cluster_id(self) -> str:
        if self._cluster_id is None:
            self._cluster_id = cluster_id(self._catalog)
        return self._cluster_id

    @property
    def client_threads(self) -> int:
        return 0

    def check(self) -> None:
        """What can be opened, and read, can be worked with."""
        _ = self.cluster_id

    def own(self) -> "EmbeddedOwnership":
        lock = None if self._files.memory else OwnerLock(self._files.owner, self._files.data)
        try:
            return EmbeddedOwnership(raise_epoch(self._catalog), lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def producer(self, settings: ProducerSettings) -> EmbeddedProducer:
        return EmbeddedProducer(self._catalog.shared(), settings)

    def consumer(self, settings: ConsumerSettings) -> EmbeddedConsumer:
        return EmbeddedConsumer(self._catalog.shared(), settings)

    def admin(self, settings: AdminSettings) -> EmbeddedAdmin:
        return EmbeddedAdmin(self._catalog.shared())

    def retain(self, sinks: Collection[SinkGroup]) -> int:
        for store in (self._catalog.data, self._catalog.meta):
            store.check_in_place()
        return retention.retain(self._catalog, sinks)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._catalog.close()


class EmbeddedOwnership:
    def __init__(self, epoch: int, lock: OwnerLock | None) -> None:
        self._epoch = epoch
        self._lock = lock

    @property
    def epoch(self) -> int:
        return self._epoch

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def raise_epoch(catalog: Catalog) -> int:
    """The same new epoch in both files; from now on every writer with an earlier one is refused."""
    with catalog.data.reading() as connection:
        (one,) = connection.execute("select value from meta where key = 'epoch'").fetchone()
    with catalog.meta.reading() as connection:
        (other,) = connection.execute("select value from meta where key = 'epoch'").fetchone()
    epoch = max(int(one), int(other)) + 1
    for store in (catalog.data, catalog.meta):
        with store.writing(durable=True) as connection:
            connection.execute("update meta set value = ? where key = 'epoch'", (epoch,))
    return epoch


def compact(bootstrap: str) -> Mapping[str, tuple[int, int]]:
    """Give freed pages back to the file system: file -> (bytes before, after). Raises BrokerError while a worker owns
    the log, or when there is none."""
    files = log_files(bootstrap.removeprefix(SCHEME))
    if files.memory or not os.path.exists(files.data):
        raise BrokerError(f"there is no log at {bootstrap!r} to compact: name its file, as sqlite:<path>")
    owner = OwnerLock(files.owner, files.data)
    try:
        open_embedded(bootstrap).close()  # refuses what is not a log of this version
        sizes: dict[str, tuple[int, int]] = {}
        for path in (files.data, files.meta):
            lock = FileLock(f"{path}.lock")
            lock.acquire()
            try:
                sizes[path] = retention.give_back(path)
            except sqlite3.Error as error:
                raise explained(error, path) from error
            finally:
                lock.release()
                lock.close()
        return sizes
    finally:
        owner.release()
