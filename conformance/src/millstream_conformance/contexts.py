"""What connectors and tasks are given by the harness in the worker's place."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from millstream_api import Place, SinkRecord, TopicPartition


def spelled(place: Place) -> str:
    """A source partition as a key: its JSON, names sorted. Raises TypeError or ValueError if it is not JSON-clean."""
    return json.dumps(place, sort_keys=True, allow_nan=False)


class HarnessContext:
    """The context of connectors and tasks. Time stands still: `wait` returns at once, unless `blocking`."""

    transaction = None

    def __init__(self, stored: Mapping[str, Place] | None = None, blocking: bool = False) -> None:
        self.stored = dict(stored or {})
        self.failure: Exception | None = None
        self.reported: list[tuple[SinkRecord, Exception]] = []
        self._blocking = blocking
        self._stop = threading.Event()
        self._assigned: frozenset[TopicPartition] = frozenset()

    def wait(self, seconds: float) -> bool:
        return self._stop.wait(seconds if self._blocking else 0)

    def stop(self) -> None:
        self._stop.set()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self._stop.set()

    def progress(self, done: int, total: int | None = None, unit: str = "records", of: str = "") -> None:
        """Nobody looks."""

    def offset(self, partition: Place) -> Place | None:
        return self.offsets([partition])[0]

    def offsets(self, partitions: Iterable[Place]) -> Sequence[Place | None]:
        return [self.stored.get(spelled(partition)) for partition in partitions]


class SourceHarnessContext(HarnessContext):
    def request_reconfiguration(self) -> None:
        """A harness run is too short for it."""


class SinkHarnessContext(HarnessContext):
    def __init__(self, partitions: frozenset[TopicPartition], reports: bool = True) -> None:
        super().__init__()
        self._assigned = partitions
        self._reports = reports
        self.sought: dict[TopicPartition, int] = {}

    @property
    def report(self) -> Callable[[SinkRecord, Exception], None] | None:
        return (lambda record, error: self.reported.append((record, error))) if self._reports else None

    def assign(self, partitions: frozenset[TopicPartition]) -> None:
        """What `assignment` gives from now on."""
        self._assigned = partitions

    def assignment(self) -> frozenset[TopicPartition]:
        return self._assigned

    def pause(self, *partitions: TopicPartition) -> None:
        """Batches are handed over by the test, whatever is paused."""

    def resume(self, *partitions: TopicPartition) -> None:
        """As `pause`."""

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.sought.update(offsets)

    def request_commit(self) -> None:
        """The test commits when it wants to."""

    def retry_in(self, seconds: float) -> None:
        """The test puts again at once."""
