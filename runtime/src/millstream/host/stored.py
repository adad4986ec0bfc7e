"""Stored source offsets, for a connector that asks: read by its own child from the log."""

import threading
from collections.abc import Sequence
from typing import Any

from millstream.broker.connect import open_broker
from millstream.host.installed import Places
from millstream.storage.offsets import OffsetStore
from millstream_api import Place

OFFSET_TOPIC = "connect-offsets"


class StoredOffsets:
    """Opens the log when it is asked for the first time."""

    def __init__(self, connector: str, places: Places) -> None:
        self._connector = connector
        self._places = places
        self._opening = threading.Lock()
        self._broker: Any = None
        self._store: OffsetStore | None = None

    def offsets(self, partitions: Sequence[Place]) -> Sequence[Place | None]:
        with self._opening:
            if self._store is None:
                self._broker = open_broker(bootstrap(self._places), text(self._places.worker))
                self._store = offset_store(self._broker, self._places)
            return self._store.read(self._connector, partitions)

    def close(self) -> None:
        with self._opening:
            if self._broker is not None:
                self._broker.close()
                self._broker = self._store = None
