"""Source offsets in their topic (spec §3.3): read by content, written with exactly the key bytes that are stored."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millstream.broker.ports import Admin, Broker, Consumer, ConsumerSettings, NewTopic, Outgoing
from millstream.errors import DataError, WorkerError
from millstream.lifecycle import Clock, StopToken
from millstream.settings.topic import OFFSETS_SETTING
from millstream.storage.java_json import dump_bytes, dumps, hash_map_order, loads
from millstream.storage.topic_log import InternalTopic, LogRow, TopicLog, ensure_topic

log = logging.getLogger(__name__)

Place = Mapping[str, Any]
INT64 = range(-(2**63), 2**63)
CLOSED = (
    "Offset reader closed while attempting to read offsets. This is likely because the task was been scheduled to stop "
    "but has taken longer than the graceful shutdown period to do so."
)
"""Java's sentence. Source: OffsetStorageReaderImpl.offsets."""


def open_offsets(broker: Broker, admin: Admin, topic: str, client_id: str, clock: Clock) -> "OffsetStore":
    """Read the offsets topic to its end, made if it is missing. Raises ConfigError if it is not compacted."""
    wanted = InternalTopic(NewTopic(topic, 1), OFFSETS_SETTING, "source connector offsets")
    partitions = ensure_topic(admin, wanted).partitions
    store = OffsetStore(broker.consumer(ConsumerSettings(client_id)), topic, clock)
    store.start(partitions)
    return store


class OffsetIndex:
    """Stored offsets by connector and partition, whatever the spelling of their keys. Any thread.

    where: the topic or file they are kept in, for the log.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._values: dict[bytes, bytes] = {}
        self._keys: dict[tuple[str, str], bytes] = {}  # (connector, canonical partition) -> key bytes as stored last

    def put(self, key: bytes, value: bytes | None) -> None:
        """value None: there is none any more."""
        identity = _identity(key, self._where)
        with self._lock:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
            if identity is not None and (value is not None or identity not in self._keys):
                self._keys[identity] = key

    def texts(self, connector: str, partitions: Iterable[str]) -> list[bytes | None]:
        """Stored values in the order asked; partitions by their canonical texts."""
        with self._lock:
            return [self._values.get(self._keys.get((connector, text), b"")) for text in partitions]

    def read(self, connector: str, partitions: Sequence[Place | None]) -> list[dict[str, Any] | None]:
        found = self.texts(connector, [canonical(partition) for partition in partitions])
        return [None if value is None else offset_of(value) for value in found]

    def all(self, connector: str) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Every stored (partition, offset) of a connector, in the order in which their keys came."""
        with self._lock:
            keys = [
                (text, key) for (name, text), key in self._keys.items() if name == connector and key in self._values
            ]
            stored = [(key, self._values[key]) for text, key in keys if text != "null"]
        return [(loads(key)[1], offset_of(value)) for key, value in stored]

    def key(self, connector: str, partition: Place | None) -> bytes:
        """The key bytes stored for this partition, whatever their order of fields; new ones in the order given."""
        text = canonical(partition)
        with self._lock:
            stored = self._keys.get((connector, text))
        return dump_bytes([connector, partition]) if stored is None else stored


class OffsetStore:
    """Methods may be called from any thread. Writing is the caller's: `rows` gives what to send."""

    def __init__(self, consumer: Consumer, topic: str, clock: Clock) -> None:
        self.topic = topic
        self._log = TopicLog(consumer, topic, clock, self._apply)
        self._index = OffsetIndex(topic)

    def start(self, partitions: int) -> None:
        """Read the topic, which has so many partitions, to its end, however long that takes."""
        self._log.start(partitions, over=StopToken())

    def refresh(self) -> None:
        self._log.read_to_end()

    def read(
        self, connector: str, partitions: Sequence[Place | None], over: StopToken | None = None
    ) -> list[dict[str, Any] | None]:
        """Offsets in the order asked, None where none is stored; the topic is read to its end first, once for all.

        over: to wait for that as long as it takes, until this is set.

        Integers come back as int, fractions as float, bytes as base64 text. Raises DataError for a partition that
        could not have been stored.
        """
        for partition in partitions:
            check_place(partition)
        if not self._log.read_to_end(over=over):
            raise WorkerError(CLOSED)
        return self._index.read(connector, partitions)

    def all(self, connector: str) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Every stored (partition, offset) of a connector, in the order in which their keys came."""
        self._log.read_to_end()
        return self._index.all(connector)

    def rows(self, connector: str, offsets: Iterable[tuple[Place | None, Place | None]]) -> Outgoing:
        """Rows that store these offsets; the offset None deletes. Raises DataError for what is not JSON-clean."""
        keys: list[bytes | None] = []
        values: list[bytes | None] = []
        for partition, offset in offsets:
            keys.append(self.key(connector, partition))
            check_place(offset)
            values.append(None if offset is None else dump_bytes(offset))
        return Outgoing(self.topic, values, keys)

    def key(self, connector: str, partition: Place | None) -> bytes:
        """The key bytes stored for this partition, whatever their order of fields; new ones in the order given."""
        return self._index.key(connector, partition)

    def _apply(self, row: LogRow) -> None:
        if row.key is None:
            log.warning(
                "Ignoring a row without a key at offset %d of partition %d of %r", row.offset, row.partition, self.topic
            )
            return
        self._index.put(row.key, row.value)

    def close(self) -> None:
        self._log.close()


def canonical(partition: Place | None) -> str:
    """One text for all spellings of the same partition; `1`, `1.0` and `true` stay three."""
    check_place(partition)
    return dumps(None if partition is None else dict(sorted(partition.items())))


def normalised(place: Place | None) -> dict[str, Any] | None:
    """As Java's converter gives it back, a HashMap: what a PATCH of offsets hands to the connector and stores."""
    if place is None:
        return None
    check_place(place)
    return hash_map_order(loads(dumps(place)))


def check_place(place: Any) -> None:
    """Raise DataError unless it is None or text to primitive (OffsetUtils.java)."""
    if place is None:
        return
    if not isinstance(place, Mapping):
        raise DataError(f"Offsets must be specified as a Map, not {type(place).__name__}")
    for name, value in place.items():
        if not isinstance(name, str):
            raise DataError(f"Offsets may only use String keys, not {name!r} ({type(name).__name__})")
        if value is not None and not isinstance(value, (bool, int, float, str, bytes)):
            raise DataError(
                f"Offsets may only contain primitive types as values, but field {name} contains "
                f"{_java_type(value)}; they are None, bool, int, float, str and bytes"
            )
        if isinstance(value, int) and value not in INT64:
            raise DataError(f"Offsets hold integers of 64 bits, but field {name} contains {value}", path=name)


def _java_type(value: object) -> str:
    """The schema type by which Java's message names it (ConnectSchema.schemaType); else the Python class."""
    if isinstance(value, Mapping):
        return "MAP"
    return "ARRAY" if isinstance(value, (list, tuple)) else type(value).__name__


def _identity(key: bytes, where: str) -> tuple[str, str] | None:
    try:
        parsed = loads(key)
    except ValueError:
        log.warning("Ignoring a key that is not JSON in the stored offsets of %r", where)
        return None
    if not (isinstance(parsed, list) and len(parsed) == 2 and isinstance(parsed[0], str)):
        log.warning("Ignoring a key in the stored offsets of %r that is not [connector, partition]", where)
        return None
    if parsed[1] is not None and not isinstance(parsed[1], dict):
        log.warning("Ignoring a key in the stored offsets of %r whose partition is no object", where)
        return None
    try:
        return parsed[0], canonical(parsed[1])
    except DataError as error:
        log.warning("Ignoring a key in the stored offsets of %r: %s", where, error)
        return None


def offset_of(value: bytes) -> dict[str, Any] | None:
    try:
        parsed = loads(value)
    except ValueError as error:
        raise DataError(f"a stored source offset is not JSON: {error}; reset the connector's offsets") from error
    if parsed is not None and not isinstance(parsed, dict):
        raise DataError("a stored source offset is not a JSON object; reset the connector's offsets")
    return parsed
