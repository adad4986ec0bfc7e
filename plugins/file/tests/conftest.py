"""What a task is given by the worker, as little of it as the file connectors use."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest


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
