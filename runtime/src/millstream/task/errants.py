"""Records that a sink could not write: reported, and awaited before the next commit (§6.5)."""

import threading
from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

from millstream.pipeline.poll import SinkPipeline
from millstream_api import SinkRecord, TopicPartition


class Errants:
    """What is under way for reported records, by the partition they were consumed from."""

    def __init__(self, pipeline: SinkPipeline) -> None:
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self._under_way: dict[TopicPartition, list[Future[Any]]] = {}

    def report(self, record: SinkRecord, error: Exception) -> None:
        """Report a record instead of failing. Raises `Tolerance exceeded in error handler` with tolerance `none`."""
        futures = self._pipeline.errant(record, error)
        if futures:
            origin = record.origin
            with self._lock:
                self._under_way.setdefault(TopicPartition(origin.topic, origin.partition), []).extend(futures)

    def wait(self, partitions: Collection[TopicPartition]) -> None:
        """Return once all reports of `partitions` are written; raises what hindered one."""
        for future in self._take(partitions):
            future.result()

    def cancel(self, partitions: Collection[TopicPartition]) -> None:
        for future in self._take(partitions):
            future.cancel()

    def _take(self, partitions: Collection[TopicPartition]) -> list[Future[Any]]:
        with self._lock:
            return [future for partition in partitions for future in self._under_way.pop(partition, [])]
