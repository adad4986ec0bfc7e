"""The topics of a log: which file each is in, its partitions' slots, its limits. One per client, with connections."""

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from millstream.broker.embedded.filesystem import LogFiles
from millstream.broker.embedded.store import Store
from millstream.broker.ports import NewTopic
from millstream.errors import BrokerError, ConflictError, IllegalStateError
from millstream.lifecycle import Clock
from millstream.settings.topic import OFFSETS, unknown_config, wrong_config

log = logging.getLogger(__name__)

FILE = "millstream.file"
"""Topic config of the embedded log: `meta` puts a topic beside the configs and statuses, away from the records."""

LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
LONGEST_NAME = 249
MOST_PARTITIONS = 10_000


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Of the whole log; a topic's own config goes before.   offsets: the topic of the worker's source offsets."""

    partitions: int = 1
    max_message_bytes: int = 1_048_588
    retention_ms: int = 7 * 24 * 3600 * 1000
    retention_bytes: int = -1
    sync_full: bool = False
    offsets: str = OFFSETS


@dataclass(frozen=True, slots=True)
class Topic:
    """slots[p] identifies partition p in its file."""

    name: str
    store: Store
    slots: tuple[int, ...]
    config: Mapping[str, str]

    @property
    def compacted(self) -> bool:
        return self.config.get("cleanup.policy", "delete") == "compact"

    def number(self, key: str, default: int) -> int:
        """A whole number from the topic's config."""
        return int(self.config.get(key, default))


class Catalog:
    """The topics, and the two files they are in, shared by all clients of a broker; topics never go, so what was found
    stays found. A file is opened when somebody looks into it: most tasks never do into the second, and a connection is
    a tenth of an idle task's memory. A log in memory is there from the beginning, for others of its name."""

    def __init__(self, files: LogFiles, settings: LogSettings, clock: Clock) -> None:
        self.files = files
        self.settings = settings
        self.clock = clock
        self._data: Store | None = None
        self._meta: Store | None = None
        self._lock = threading.RLock()
        self._users = 1
        self._known: dict[str, Topic] = {}
        if files.memory:
            _ = self.data

    @property
    def data(self) -> Store:
        """The file of records; both are made where they are missing. Raises BrokerError saying what is wrong."""
        with self._lock:
            if self._data is None:
                data = self._opened(self.files.data)
                try:
                    if self.files.memory or not os.path.exists(self.files.meta):
                        _ = self.meta
                except BaseException:
                    data.close()
                    raise
                self._data = data
            return self._data

    @property
    def meta(self) -> Store:
        with self._lock:
            if self._meta is None:
                self._meta = self._opened(self.files.meta)
            return self._meta

    def _opened(self, path: str) -> Store:
        if not self._users:
            raise IllegalStateError(f"the log {path!r} was closed by this client; open another")
        return Store(path, self.clock, self.files.memory, self.settings.sync_full)

    def shared(self) -> "Catalog":
        """The same, for one more client, who closes it as well."""
        with self._lock:
            self._users += 1
        return self

    def version(self) -> tuple[object, object]:
        """Changes when anybody has committed to a file that was looked into."""
        meta = self._meta
        return self.data.version(), None if meta is None else meta.version()

    def find(self, name: str) -> Topic | None:
        topic = self._known.get(name)
        if topic is None:
            topic = self._look(self.data, name) or self._look(self.meta, name)
            if topic is not None:
                self._known[name] = topic
        return topic

    def _look(self, store: Store, name: str) -> Topic | None:
        with store.reading() as connection:
            return _read(connection, store, name)

    def names(self) -> list[str]:
        found: list[str] = []
        for store in (self.data, self.meta):
            with store.reading() as connection:
                found.extend(name for (name,) in connection.execute("select name from topic").fetchall())
        return sorted(found)

    def topics(self, names: Collection[str] | None = None) -> Iterator[Topic]:
        for name in self.names() if names is None else names:
            topic = self.find(name)
            if topic is not None:
                yield topic

    def create(self, new: NewTopic) -> Topic:
        """Raises ConflictError if it exists, BrokerError if its name, partitions or config are not legal."""
        count = self.settings.partitions if new.partitions == -1 else new.partitions
        _check(new, count)
        if self.find(new.name) is not None:
            raise ConflictError(f"Topic {new.name!r} already exists.")
        store = self.meta if new.config.get(FILE) == "meta" else self.data
        with store.writing() as connection:
            if connection.execute("select 1 from topic where name = ?", (new.name,)).fetchone():
                raise ConflictError(f"Topic {new.name!r} already exists.")
            config = json.dumps({key: text.strip() for key, text in new.config.items()}, ensure_ascii=False)
            number = connection.execute("insert into topic(name, config) values(?, ?)", (new.name, config)).lastrowid
            connection.executemany("insert into part(topic, part) values(?, ?)", [(number, p) for p in range(count)])
        topic = self.find(new.name)
        assert topic is not None
        _tell(topic)
        return topic

    def find_or_create(self, name: str) -> Topic:
        """What the first record of a topic does."""
        topic = self.find(name)
        if topic is None:
            try:
                topic = self.create(NewTopic(name))
            except ConflictError:
                topic = self.find(name)
                assert topic is not None
        return topic

    def close(self) -> None:
        """One client has done with it; the last one closes the files."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
        for store in (self._data, self._meta):
            if store is not None:
                store.close()


def is_internal(topic: Topic, settings: LogSettings) -> bool:
    """Whether it is the worker's own: configs, statuses, source offsets."""
    return topic.config.get(FILE) == "meta" or topic.name == settings.offsets


def next_offset(connection: sqlite3.Connection, slot: int) -> int:
    """The offset the next row of a partition will get."""
    (offset,) = connection.execute("select next from part where slot = ?", (slot,)).fetchone()
    return int(offset)


def _read(connection: sqlite3.Connection, store: Store, name: str) -> Topic | None:
    found = connection.execute("select id, config from topic where name = ?", (name,)).fetchone()
    if found is None:
        return None
    slots = connection.execute("select slot from part where topic = ? order by part", (found[0],)).fetchall()
    return Topic(name, store, tuple(slot for (slot,) in slots), json.loads(found[1]))


def _check(new: NewTopic, count: int) -> None:
    if not new.name or len(new.name) > LONGEST_NAME or new.name in {".", ".."} or not LEGAL.issuperset(new.name):
        raise BrokerError(
            f"cannot create the topic {new.name!r}: a name has 1 to {LONGEST_NAME} of the characters a-z A-Z 0-9 . _ - "
            "and is neither . nor ..; change the setting that names it",
            skippable=True,
        )
    if not 1 <= count <= MOST_PARTITIONS:
        raise BrokerError(
            f"cannot create the topic {new.name!r} with {count} partitions: it takes 1 to {MOST_PARTITIONS}, or -1 for "
            "the broker's num.partitions"
        )
    policy = new.config.get("cleanup.policy", "delete").strip()
    if policy not in {"delete", "compact"}:
        raise BrokerError(
            f"cannot create the topic {new.name!r} with cleanup.policy={policy!r}: "
            "the embedded log has delete and compact"
        )
    if wrong := wrong_config(new.config):
        raise BrokerError(f"cannot create the topic {new.name!r}: {'; '.join(wrong.values())}")


def _tell(topic: Topic) -> None:
    """What of its settings the log does not do, and Kafka would: that which changes records, and slips of the pen."""
    if topic.config.get("message.timestamp.type") == "LogAppendTime":
        log.warning(
            "topic %r: message.timestamp.type=LogAppendTime is not followed as it is written: records keep the time"
            " that they were given",
            topic.name,
        )
    unknown = {name: nearest for name, nearest in unknown_config(topic.config).items() if name != FILE}
    if unknown:
        meant = [f"{name} (did you mean {nearest}?)" if nearest else name for name, nearest in unknown.items()]
        log.warning(
            "topic %r: Kafka's topics have no such settings; they are not used: %s", topic.name, ", ".join(meant)
        )
