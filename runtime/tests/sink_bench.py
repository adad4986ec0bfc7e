"""What the tests of the sink task's loop share: a task that keeps what it is given."""

from collections.abc import Mapping
from typing import Any

from task_bench import HastyControl

from millstream.broker.ports import Incoming
from millstream.task.control import Control
from millstream.task.events import Counted
from millstream.task.sink import SinkTaskLoop
from millstream_api import SinkBatch, SinkTask, TopicPartition

FIRST = TopicPartition("data", 0)
SECOND = TopicPartition("data", 1)


class Keeping(SinkTask[Any]):
    """Keeps what it is given, and stops itself at its `turns`-th put."""

    turns = 3

    def __init__(self, context: Any, control: Control) -> None:
        self.context = context
        self.control = control
        self.puts: list[list[str]] = []
        self.calls: list[Any] = []

    def start(self) -> None:
        self.calls.append("start")

    def open(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("open", sorted(partitions)))

    def put(self, batch: SinkBatch) -> None:
        self.puts.append([record.value for record in batch])
        if len(self.puts) >= self.turns:
            self.control.stop()
        self.take(batch)

    def take(self, batch: SinkBatch) -> None: ...

    def close(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("close", sorted(partitions)))

    def stop(self) -> None:
        self.calls.append("stop")


def run(bench: Any, kind: type[Keeping] = Keeping, **changes: Any) -> Keeping:
    control = changes.pop("control", None) or HastyControl()
    made: list[Keeping] = []

    def plugin(context: Any) -> Keeping:
        made.append(kind(context, control))
        return made[0]

    SinkTaskLoop(bench.sink_parts(plugin, control=control, **changes)).run()
    return made[0]


def numbers(bench: Any) -> Mapping[str, Any]:
    values: Mapping[str, Any] = [event for event in bench.told if isinstance(event, Counted)][-1].values
    return values


def rows(*values: str, partition: int = 0, start: int = 0) -> Incoming:
    offsets = range(start, start + len(values))
    return Incoming("data", partition, offsets, [value.encode() for value in values], [0] * len(values))
