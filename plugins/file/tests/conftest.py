"""What a task is given by the worker, as little of it as the file connectors use."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from millstream_file.config import FileSinkConfig
from millstream_file.sink import FileStreamSinkTask


class FakeContext:
    """Remembers how long the task wanted to wait, and waits not at all."""

    def __init__(self) -> None:
        self.stored: dict[str | None, Mapping[str, Any]] = {}
        self.waited: list[float] = []
        self.retries: list[float] = []
        self.commits_asked = 0

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return False

    def retry_in(self, seconds: float) -> None:
        self.retries.append(seconds)

    def request_commit(self) -> None:
        self.commits_asked += 1

    def offset(self, partition: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return self.stored.get(partition["filename"])

    def offsets(self, partitions: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | None]:
        return [self.offset(partition) for partition in partitions]


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


@pytest.fixture
def started(context: Any, request: pytest.FixtureRequest) -> Callable[..., FileStreamSinkTask]:
    def start(file: Path | None) -> FileStreamSinkTask:
        task = FileStreamSinkTask(FileSinkConfig(file=None if file is None else str(file)), context)
        request.addfinalizer(task.stop)
        task.start()
        return task

    return start
