"""What a sink may ask for and do wrong, on a real broker: no row is lost, and none passes another."""

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from running import until

from millstream.broker.connect import open_broker
from millstream.broker.ports import AdminSettings, Broker, ConsumerSettings, NewTopic, Outgoing, ProducerSettings
from millstream.errors import RetriableError
from millstream.identity import State, TaskId
from millstream.lifecycle import SystemClock, spawn
from millstream.task.control import Control
from millstream.task.events import StateChanged
from millstream.task.parts import SinkParts, SinkSettings
from millstream.task.sink import SinkTaskLoop
from millstream_api import SinkBatch, SinkTask, TopicPartition
from services.abreast import abreast
from services.kafka import Kafka
from services.standalone import named

BENCH = Path(__file__).parents[2] / "runtime" / "tests" / "task_bench.py"
SPEC = importlib.util.spec_from_file_location("task_bench", BENCH)
assert SPEC is not None
assert SPEC.loader is not None
task_bench = sys.modules.get("task_bench") or importlib.util.module_from_spec(SPEC)
if "task_bench" not in sys.modules:
    sys.modules["task_bench"] = task_bench
    SPEC.loader.exec_module(task_bench)

pytestmark = pytest.mark.usefixtures("patient")
WAIT_S = 60.0
COUNT = 300
ALERT = {"heartbeat.interval.ms": "500"}  # soon hears of others that come and go
LATE_S = 8.0  # librdkafka looks twice a second whether max.poll.interval.ms is over
#: the least that brokers let pass (group.min.session.timeout.ms)
HASTY = {**ALERT, "max.poll.interval.ms": "6000", "session.timeout.ms": "6000"}
#: for what is to stay a member on a machine that stands still for a moment
GROUP_S = 9.0
PATIENT = {**ALERT, "max.poll.interval.ms": str(int(GROUP_S * 1000)), "session.timeout.ms": str(int(GROUP_S * 1000))}
RANGE = "org.apache.kafka.clients.consumer.RangeAssignor"
COOPERATIVE = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"
STRATEGIES = (RANGE, COOPERATIVE)
Take = Callable[["Sink", SinkBatch], None]


class Sink(SinkTask[Any]):
    """Keeps what it was given and took; `take` is its own part, which may raise."""

    def __init__(self, context: Any, take: Take) -> None:
        self.context = context
        self.take = take
        self.puts: list[list[tuple[int, int]]] = []  # (partition, offset) of each row
        self.taken: list[tuple[int, int]] = []
        self.calls: list[tuple[str, list[int]]] = []
        self.at_open: Mapping[TopicPartition, int] = {}

    def open(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("open", sorted(each.partition for each in partitions)))
        if self.at_open:
            self.context.seek(self.at_open)

    def put(self, batch: SinkBatch) -> None:
        rows = [(origin.partition, origin.offset) for origin in batch.origins]
        self.puts.append(rows)
        self.take(self, batch)
        self.taken += rows

    def close(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("close", sorted(each.partition for each in partitions)))

    def of(self, partition: int) -> list[int]:
        """Offsets it took, in order."""
        return [offset for each, offset in self.taken if each == partition]


@dataclass
class Running:
    """A sink task on a thread of its own."""

    broker: Broker
    topic: str
    take: Take
    overrides: Mapping[str, str]
    control: Control = field(default_factory=Control)
    told: list[Any] = field(default_factory=list)
    flush_ms: int = 300
    at_open: Mapping[TopicPartition, int] = field(default_factory=dict)

    def start(self) -> "Running":
        self.made: list[Sink] = []
        consumer = self.broker.consumer(ConsumerSettings("sink", self.topic, overrides=self.overrides))
        parts = SinkParts(
            id=TaskId(self.topic, 0),
            plugin=self._plugin,
            pipeline=task_bench.PlainSinkPipeline(),
            consumer=consumer,
            control=self.control,
            tell=self.told.append,
            clock=SystemClock(),
            settings=SinkSettings(topics=[self.topic], offset_flush_interval_ms=self.flush_ms, max_poll_rows=50),
        )
        self.ended = threading.Event()
        self._thread = spawn("sink", lambda _: SinkTaskLoop(parts).run(), on_death=lambda _: self.ended.set())
        return self

    @property
    def task(self) -> Sink:
        until(lambda: self.made, "the task to be made", WAIT_S)
        return self.made[0]

    @property
    def states(self) -> list[State]:
        return [event.state for event in self.told if isinstance(event, StateChanged)]

    def stop(self) -> None:
        self.control.stop()
        assert self.ended.wait(WAIT_S)
        traces = [event.trace for event in self.told if isinstance(event, StateChanged) and event.trace]
        assert self.states == [State.RUNNING, State.UNASSIGNED], traces

    def _plugin(self, context: Any) -> Sink:
        self.made.append(Sink(context, self.take))
        self.made[0].at_open = self.at_open
        return self.made[0]


@pytest.fixture
def broker(kafka: Kafka) -> Iterator[Broker]:
    broker = open_broker(kafka.address())
    yield broker
    broker.close()


def topic_of(broker: Broker) -> str:
    """A new one: two partitions with COUNT rows each."""
    name = named("sunk")
    assert broker.admin(AdminSettings("test")).create_topics([NewTopic(name, 2)]) == {name: None}
    filled(broker, name, COUNT)
    return name


def filled(broker: Broker, topic: str, count: int) -> None:
    producer = broker.producer(ProducerSettings("test"))
    for partition in range(2):
        rows: list[bytes | None] = [b"row"] * count
        producer.send(Outgoing(topic, rows, None, [partition] * count), lambda delivered: None)
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)


def committed(broker: Broker, topic: str) -> list[int]:
    found = broker.admin(AdminSettings("test")).group_offsets(topic)
    return [found.get(TopicPartition(topic, partition), 0) for partition in range(2)]


def taking(sink: Sink, batch: SinkBatch) -> None:
    """It takes everything."""


def test_a_put_that_is_retried_for_longer_than_the_group_waits_gets_the_same_rows_and_stays_a_member(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    def case(tried: tuple[str, float | None]) -> None:
        """retry_in: None: it is put again when a commit is due."""
        (strategy, retry_in), topic, refused = tried, topic_of(broker), []

        def away(sink: Sink, batch: SinkBatch) -> None:
            if not len(batch) or len(sink.taken) < 100:
                return
            refused.append(time.monotonic())
            if len(refused) <= 10 or refused[-1] - refused[0] < GROUP_S + 3.0:
                if retry_in is not None:
                    sink.context.retry_in(retry_in)
                raise RetriableError("the database is away")

        running = Running(broker, topic, away, {**PATIENT, "partition.assignment.strategy": strategy}).start()
        until(lambda: len(refused) > 2, "the put to be retried", WAIT_S)
        filled(broker, topic, 10)  # nothing of it may come before
        task = running.task
        until(lambda: len(task.taken) == 2 * (COUNT + 10), "every row", WAIT_S)
        assert [task.of(partition) for partition in range(2)] == [list(range(COUNT + 10))] * 2  # once each, in order
        first = next(rows for rows in task.puts if rows and task.puts.count(rows) > 1)
        assert task.puts.count(first) > 10
        assert [name for name, _ in task.calls if name == "close"] == []
        running.stop()
        assert committed(broker, topic) == [COUNT + 10] * 2

    abreast(case, *product(STRATEGIES, (None, 0.2)))
    assert "max.poll.interval.ms" not in caplog.text


def test_a_member_that_comes_while_a_put_is_retried_takes_its_share_and_the_rows_that_wait_are_put_once(
    broker: Broker,
) -> None:
    def case(strategy: str) -> None:
        topic, released = topic_of(broker), threading.Event()

        def away(sink: Sink, batch: SinkBatch) -> None:
            if len(batch) and not released.is_set():
                sink.context.retry_in(0.1)
                raise RetriableError("the database is away")

        settings = {**ALERT, "partition.assignment.strategy": strategy}
        one = Running(broker, topic, away, settings).start()
        until(lambda: len([rows for rows in one.task.puts if rows]) > 3, "the put to be retried", WAIT_S)
        two = Running(broker, topic, taking, settings).start()
        until(lambda: len(two.task.context.assignment()) == 1, "the second to have its share", WAIT_S)
        until(lambda: len(two.task.taken) == COUNT, "its rows", WAIT_S)
        (theirs,) = (each.partition for each in two.task.context.assignment())
        assert one.task.taken == []
        two.stop()  # its partition comes back while the put is retried still
        until(lambda: len(one.task.context.assignment()) == 2, "both partitions", WAIT_S)
        released.set()
        until(lambda: len(one.task.of(1 - theirs)) == COUNT, "the rows that waited", WAIT_S)
        filled(broker, topic, 10)
        until(lambda: len(one.task.taken) == COUNT + 20, "the new rows", WAIT_S)
        assert one.task.of(1 - theirs) == list(range(COUNT + 10))
        assert one.task.of(theirs) == list(range(COUNT, COUNT + 10))
        one.stop()
        assert committed(broker, topic) == [COUNT + 10] * 2

    abreast(case, *STRATEGIES)


def test_a_paused_partition_rests_while_the_other_is_read_and_goes_on_where_it_was(broker: Broker) -> None:
    def case(strategy: str) -> None:
        topic = topic_of(broker)

        def once(sink: Sink, batch: SinkBatch) -> None:
            if not sink.taken and len(batch):
                sink.context.pause(TopicPartition(topic, batch.origins[0].partition))

        running = Running(broker, topic, once, {**PATIENT, "partition.assignment.strategy": strategy}).start()
        until(lambda: running.task.taken, "the first rows", WAIT_S)
        task = running.task
        paused = TopicPartition(topic, task.taken[0][0])
        rested = task.of(paused.partition)
        began = time.monotonic()
        until(lambda: len(task.of(1 - paused.partition)) == COUNT, "the rows of the other", WAIT_S)
        until(lambda: time.monotonic() - began > GROUP_S + 1.0, "the group to have had a reason", WAIT_S)
        assert task.of(paused.partition) == rested
        task.context.resume(paused)
        until(lambda: len(task.of(paused.partition)) == COUNT, "the rest", WAIT_S)
        assert [task.of(partition) for partition in range(2)] == [list(range(COUNT))] * 2
        assert [name for name, _ in task.calls if name == "close"] == []
        running.stop()

    abreast(case, *STRATEGIES)


def test_a_sink_reads_from_where_it_sought_at_its_opening_and_again_from_where_it_goes_back_to(broker: Broker) -> None:
    def case(strategy: str) -> None:
        topic, back = topic_of(broker), []
        first, second = (TopicPartition(topic, partition) for partition in range(2))

        def once(sink: Sink, batch: SinkBatch) -> None:
            if len(sink.taken) > 100 and not back:
                back.append(len(sink.taken) + len(batch))  # this batch is put yet
                sink.context.seek({first: 10})

        settings = {**ALERT, "partition.assignment.strategy": strategy}
        running = Running(broker, topic, once, settings, at_open={first: 40, second: 290}).start()
        until(lambda: back, "it to go back", WAIT_S)
        task = running.task

        def done() -> bool:
            again = [offset for partition, offset in task.taken[back[0] :] if partition == 0]
            return again[-1:] == [COUNT - 1] and COUNT - 1 in task.of(1)

        until(done, "the end", WAIT_S)
        before, after = task.taken[: back[0]], task.taken[back[0] :]
        read = [offset for partition, offset in before if partition == 0]
        assert read == list(range(40, 40 + len(read)))
        assert [offset for partition, offset in after if partition == 0] == list(range(10, COUNT))
        assert task.of(1) == list(range(290, COUNT))
        running.stop()
        assert committed(broker, topic) == [COUNT, COUNT]

    abreast(case, *STRATEGIES)


def test_a_put_comes_again_without_rows_when_the_sink_wants_to_be_called(broker: Broker) -> None:
    called: list[float] = []

    def wanting(sink: Sink, batch: SinkBatch) -> None:
        if not len(batch) and len(sink.taken) == 2 * COUNT:
            called.append(time.monotonic())
        sink.context.retry_in(0.2)

    running = Running(broker, topic_of(broker), wanting, ALERT, flush_ms=60_000).start()
    until(lambda: len(called) > 5, "five calls", WAIT_S)
    running.stop()


def test_a_put_that_is_too_slow_for_its_group_names_the_settings_and_its_rows_come_again(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    def case(strategy: str) -> None:
        topic, released, late = topic_of(broker), threading.Event(), []

        def slow(sink: Sink, batch: SinkBatch) -> None:
            if len(sink.taken) >= 100:
                late.append(time.monotonic() + LATE_S)
                released.wait(WAIT_S)

        assignor = {"partition.assignment.strategy": strategy}
        one = Running(broker, topic, slow, {**HASTY, **assignor}).start()
        until(lambda: len(one.task.taken) >= 100, "the first rows", WAIT_S)
        two = Running(broker, topic, taking, {**PATIENT, **assignor}).start()
        until(lambda: len(two.task.context.assignment()) == 2, "the other to have all", WAIT_S)
        until(lambda: time.monotonic() > late[0], "its own client to notice, perhaps after its group", WAIT_S)
        released.set()
        until(lambda: len(one.task.context.assignment()) == 1, "the slow one to come back", WAIT_S)
        filled(broker, topic, 10)
        until(lambda: committed(broker, topic) == [COUNT + 10] * 2, "every row to be committed", WAIT_S)
        for partition in range(2):
            assert set(one.task.of(partition)) | set(two.task.of(partition)) == set(range(COUNT + 10))
            assert two.task.of(partition) == sorted(set(two.task.of(partition)))
        one.stop()
        two.stop()

    abreast(case, *STRATEGIES)
    assert caplog.text.count("consumer.override.max.poll.interval.ms") >= len(STRATEGIES)
    assert caplog.text.count("consumer.override.max.poll.records") >= len(STRATEGIES)
