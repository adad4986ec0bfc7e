"""Stored source offsets in a child.

On the embedded log the child reads the log itself, and gives rows for the task's own transaction; on Kafka, at least
once, the worker keeps them, and the child asks it.
"""

import threading
from collections.abc import Callable, Sequence

from millstream.broker.connect import open_broker
from millstream.broker.ports import AdminSettings, Broker, Outgoing
from millstream.errors import ConfigError
from millstream.host.asking import Asking
from millstream.host.channel import Answer, Settings
from millstream.host.installed import Places
from millstream.lifecycle import StopToken, SystemClock
from millstream.settings.topic import offset_topic
from millstream.storage.java_json import dumps
from millstream.storage.kept_offsets import READ, WRITE
from millstream.storage.offsets import CLOSED, OffsetStore, check_place, offset_of, open_offsets
from millstream_api import Place

EMBEDDED = "sqlite:"


def text(settings: Settings) -> dict[str, str]:
    """Give the settings that have a value."""
    return {name: value for name, value in settings.items() if value is not None}


def bootstrap(places: Places) -> str:
    """Give the worker's `bootstrap.servers`. Raises ConfigError when the worker did not say which log it uses."""
    found = places.worker.get("bootstrap.servers")
    if not found:
        raise ConfigError({"bootstrap.servers": "bootstrap.servers is missing; set it, such as sqlite:millstream.db"})
    return found


def is_embedded(places: Places) -> bool:
    """Whether topics live in the embedded log."""
    return bootstrap(places).startswith(EMBEDDED)


def open_store(broker: Broker, places: Places, client_id: str) -> OffsetStore:
    """Read the offsets topic to its end, made if it is missing."""
    admin = broker.admin(AdminSettings(f"{client_id}-admin"))
    try:
        return open_offsets(broker, admin, offset_topic(places.worker), client_id, SystemClock())
    finally:
        admin.close()


class TaskOffsets:
    """Both offset ports of a source task over one store; the store is read when it is first asked.

    over: set when nobody waits for offsets any more.
    """

    def __init__(self, connector: str, broker: Broker, places: Places, over: StopToken) -> None:
        self._over = over
        self._connector = connector
        self._broker = broker
        self._places = places
        self._opening = threading.Lock()
        self._store: OffsetStore | None = None

    def offsets(self, partitions: Sequence[Place]) -> Sequence[Place | None]:
        return self._opened().read(self._connector, partitions, self._over)

    def rows(self, offsets: Sequence[tuple[Place | None, Place | None]]) -> Outgoing:
        return self._opened().rows(self._connector, offsets)

    def close(self) -> None:
        with self._opening:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _opened(self) -> OffsetStore:
        with self._opening:
            if self._store is None:
                self._store = open_store(self._broker, self._places, f"connector-offsets-{self._connector}")
            return self._store


class AskedOffsets:
    """Both offset ports of a source task whose worker keeps the offsets; exact, as texts go over the channel."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def offsets(self, partitions: Sequence[Place]) -> Sequence[Place | None]:
        texts = self._asking.ask(READ, {"partitions": [_spelled(each) for each in partitions]}, CLOSED)
        return [None if text is None else offset_of(text.encode()) for text in texts]

    def write(
        self, offsets: Sequence[tuple[Place | None, Place | None]], done: Callable[[Exception | None], None]
    ) -> None:
        pairs = [[_spelled(partition), None if offset is None else _spelled(offset)] for partition, offset in offsets]

        def told(answer: Answer) -> None:
            done(None if answer.failure is None else answer.failure.error())

        self._asking.put(WRITE, {"offsets": pairs}, told)


class StoredOffsets:
    """A connector's view: opens the log, or asks the worker, when it is asked for the first time."""

    def __init__(self, connector: str, places: Places, asking: Asking) -> None:
        self._connector = connector
        self._places = places
        self._asking = asking
        self._opening = threading.Lock()
        self._broker: Broker | None = None
        self._offsets: TaskOffsets | None = None

    def offsets(self, partitions: Sequence[Place]) -> Sequence[Place | None]:
        if not is_embedded(self._places):
            return AskedOffsets(self._asking).offsets(partitions)
        with self._opening:
            if self._offsets is None:
                self._broker = open_broker(bootstrap(self._places), text(self._places.worker))
                self._offsets = TaskOffsets(self._connector, self._broker, self._places, self._asking.over)
            offsets = self._offsets
        return offsets.offsets(partitions)

    def close(self) -> None:
        with self._opening:
            if self._offsets is not None and self._broker is not None:
                self._offsets.close()
                self._broker.close()
                self._offsets = self._broker = None


def _spelled(place: Place | None) -> str:
    check_place(place)
    return dumps(place)
