"""The suite of sink connectors."""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from millstream_api import STRING, RetriableError, Schema, SinkBatch, TopicPartition
from millstream_conformance.comparing import difference
from millstream_conformance.connector import ConnectorConformance
from millstream_conformance.harness import Row, RunningSink
from millstream_conformance.leftovers import changes_nothing, nothing_left_behind, nothing_printed
from millstream_conformance.suite import Capability, does_not_apply

NOTHING_UNFIT = object()


class SinkPromises(ConnectorConformance):
    """What a sink's author tells of it, and the tests of what he claims beyond the rest.

    topic:         the topic the records come from.
    value_schema:  of the values; None: without schema.
    unfit:         a value that cannot be written, beside others that can; by default there is none.
    """

    hook = "register_sinks"
    topic = "conformance"
    value_schema: Schema | None = STRING
    unfit: Any = NOTHING_UNFIT

    def values(self, n: int) -> Sequence[Any]:
        """n values that the sink takes, from 0 to 20, all different; as `value_schema` has them."""
        return [f"value {row}" for row in range(n)]

    def read_back(self) -> Sequence[Any] | None:
        """The values that are outside now, in order; None when that cannot be asked.

        Asked after a commit, or after the task's `stop`; values that compare equal to those of `values`.
        """
        return None

    def running(self, reports: bool = True) -> RunningSink:
        """A task of the connector, started and opened with partition 0.

        reports:  whether somebody hears of records that cannot be written; else `context.report` is None.

        Raises ConfigError for settings that will not do, and what the connector and the task raise themselves.
        """
        return RunningSink(self.plugin_class(), self.settings(), self.topic, reports)

    def found(self) -> list[Any]:
        """What `read_back` gives, as a list. Skips the test when it gives None."""
        found = self.read_back()
        if found is None:
            does_not_apply("the outside cannot be read back: override `read_back`")
        return list(found)

    def test_tombstones_do_not_stop_it(self) -> None:
        self.needs(Capability.TOMBSTONES)
        sink = self.running()
        sink.put([None], keys=["key"])
        sink.stop()

    def test_a_batch_put_twice_is_there_once(self) -> None:
        self.needs(Capability.IDEMPOTENT)
        values = self.values(3)
        sink = self.running()
        batch = sink.put(values, schema=self.value_schema)
        sink.task.put(batch)
        sink.stop()
        assert not difference(self.found(), list(values))

    def test_one_bad_record_goes_to_the_errant_reporter_and_the_others_arrive(self) -> None:
        if self.unfit is NOTHING_UNFIT:
            does_not_apply("the suite names no value that cannot be written: set `unfit`")
        values = list(self.values(2))
        sink = self.running()
        batch = sink.put([values[0], self.unfit, values[1]], schema=self.value_schema)
        sink.stop()
        assert [record.origin.offset for record, _ in sink.context.reported] == [batch.origins[1].offset], (
            "one record of three cannot be written: hand it, and it alone, to context.report"
        )
        assert not difference(self.found(), values)

    def test_one_bad_record_fails_the_task_when_nobody_hears_of_it(self) -> None:
        if self.unfit is NOTHING_UNFIT:
            does_not_apply("the suite names no value that cannot be written: set `unfit`")
        sink = self.running(reports=False)
        batch = sink.batch([self.unfit], None, self.value_schema)
        with pytest.raises(Exception) as caught:
            _written(sink, batch)
        sink.task.stop()
        assert not isinstance(caught.value, RetriableError), "a record that can never be written is put again for ever"


class SinkSharing(SinkPromises):
    """Batches of any shape, several partitions, several tasks."""

    def test_columns_and_rows_are_the_same_outside(self) -> None:
        """One batch of three rows, three of one, and one whose rows alternate between two groups."""
        values = list(self.values(9))
        sink = self.running()
        sink.put(values[:3], schema=self.value_schema)
        for value in values[3:6]:
            sink.put([value], schema=self.value_schema)
        keyed = [Row(values[6], "a", key_schema=STRING), Row(values[7]), Row(values[8], "b", key_schema=STRING)]
        sink.put_rows(keyed, self.value_schema)
        sink.stop()
        assert not difference(self.found(), values), (
            "batches of three rows, of one row, and of rows in two groups did not arrive alike: the numbers in "
            "`group.rows` say where a group's rows belong"
        )

    def test_rows_of_several_partitions_arrive_in_the_order_of_each(self) -> None:
        values = list(self.values(8))
        sink = self.running()
        sink.open(1)
        for half in (values[:4], values[4:]):
            sink.put_rows([Row(value, partition=at % 2) for at, value in enumerate(half)], self.value_schema)
        sink.stop()
        found = self.found()
        for number in (0, 1):
            own = values[number::2]
            assert not difference([value for value in found if value in own], own), f"the rows of partition {number}"

    def test_each_partition_has_its_own_offset_and_goes_on_when_another_is_taken_away(self) -> None:
        values = list(self.values(6))
        sink = self.running()
        second = sink.open(1)
        rows = [Row(values[0]), Row(values[1], partition=1), Row(values[2]), Row(values[3])]
        sink.put_rows(rows, self.value_schema)
        self._within(sink.commit(), sink)
        positions = dict(sink.positions)
        assert all(offset <= positions[at] for at, offset in sink.close(second).items())
        sink.put(values[4:], schema=self.value_schema)
        committed = sink.commit()
        assert second not in committed, "pre_commit answers for a partition that was taken away"
        self._within(committed, sink)
        sink.stop()
        found = self.found()
        assert [value for value in values if value not in found] == []

    def _within(self, committed: Mapping[TopicPartition, int], sink: RunningSink) -> None:
        assert set(committed) <= set(sink.positions), "pre_commit answers for a partition that is not assigned"
        ahead = [at for at, offset in committed.items() if offset > sink.positions[at]]
        assert not ahead, f"pre_commit is ahead of what was put of {ahead}"

    def test_two_tasks_write_beside_each_other(self) -> None:
        values = list(self.values(12))
        first = self.running()
        second = RunningSink(self.plugin_class(), self.settings(), self.topic, task=1)
        tasks = (first, second)
        for at in range(0, 12, 2):
            tasks[at // 2 % 2].put_rows(
                [Row(value, partition=at // 2 % 2) for value in values[at : at + 2]], self.value_schema
            )
            tasks[at // 2 % 2].commit()
        for sink in tasks:
            sink.stop()
        found = self.found()
        for number in (0, 1):
            own = [value for at, value in enumerate(values) if at // 2 % 2 == number]
            assert not difference([value for value in found if value in own], own), f"the rows of task {number}"


class SinkTraces(SinkSharing):
    """That a sink leaves and shows nothing."""

    def test_secrets_are_in_no_log_or_output(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        secrets = self.secrets()
        with caplog.at_level(logging.DEBUG):
            sink = self.running()
            sink.put(self.values(3), schema=self.value_schema)
            sink.stop()
        printed = capfd.readouterr()
        leaked = sorted(name for name, text in secrets.items() if text in caplog.text + printed.out + printed.err)
        assert not leaked, f"the secrets {leaked} are shown"

    def test_nothing_is_left_behind(self) -> None:
        first = self.running()
        first.stop()
        with nothing_left_behind():
            sink = self.running()
            sink.put(self.values(3), schema=self.value_schema)
            sink.stop()

    def test_the_process_stays_as_it_was(self) -> None:
        self.plugin_class()
        with changes_nothing():
            sink = self.running()
            sink.put(self.values(3), schema=self.value_schema)
            sink.stop()

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        sink = self.running()
        sink.put(self.values(3), schema=self.value_schema)
        sink.stop()
        nothing_printed(capfd)


class SinkConformance(SinkTraces):
    """Certifies a sink connector.

    An author whose outside can be read overrides `read_back`, whose outside can be taken away `away`; `values` and
    `value_schema` fit the sink. Each test has the outside to itself: the author's own fixture empties it.
    """

    def test_an_empty_batch_is_taken(self) -> None:
        sink = self.running()
        sink.put([])
        sink.stop()

    def test_records_arrive_in_order(self) -> None:
        sink = self.running()
        values = self.values(20)
        sink.put(values[:7], schema=self.value_schema)
        sink.put(values[7:], schema=self.value_schema)
        sink.stop()
        assert not difference(self.found(), list(values))

    def test_records_that_come_again_after_a_restart_are_taken_and_none_is_lost(self) -> None:
        values = list(self.values(4))
        first = self.running()
        first.put(values[:3], schema=self.value_schema)
        first.stop()
        second = self.running()  # nothing was committed: the same rows from the same offset on
        second.put(values, schema=self.value_schema)
        second.stop()
        found = self.found()
        assert [value for value in values if value not in found] == []

    def test_what_was_committed_is_outside_even_if_the_task_goes_no_further(self) -> None:
        sink = self.running()
        values = self.values(5)
        sink.put(values, schema=self.value_schema)
        committed = sink.commit()
        try:
            found = self.found()
        finally:
            sink.stop()
        assert not difference(
            found[: committed.get(sink.partition, 0)], list(values)[: committed.get(sink.partition, 0)]
        )

    def test_pre_commit_is_never_ahead_of_what_was_put(self) -> None:
        sink = self.running()
        for count in (1, 4, 0):
            sink.put(self.values(count), schema=self.value_schema)
            committed = sink.commit()
            assert set(committed) <= {TopicPartition(self.topic, 0)}
            assert all(offset <= sink.position for offset in committed.values())
        sink.stop()

    def test_offsets_that_an_operator_sets_or_forgets_are_taken(self) -> None:
        """In the form that a worker gives those of a consumer group."""
        partition = {"kafka_topic": self.topic, "kafka_partition": 0}
        for offset in ({"kafka_offset": 3}, None):
            self.altered([(partition, offset)])

    def test_null_keys_and_keys_are_taken(self) -> None:
        sink = self.running()
        values = self.values(2)
        sink.put(values, keys=[None, "key"], schema=self.value_schema)
        sink.stop()

    def test_what_is_put_is_not_changed(self) -> None:
        sink = self.running()
        batch = sink.batch(list(self.values(3)), ["a", None, "b"], self.value_schema)
        before = copy.deepcopy(_columns(batch))
        sink.task.put(batch)
        sink.task.pre_commit({sink.partition: 3})
        sink.context.stop()
        sink.task.stop()
        assert not difference(_columns(batch), before), "the sink changed the batch that it was given"

    def test_while_the_outside_is_away_put_raises_retriable_error_and_takes_the_same_batch_later(self) -> None:
        outage = self.outage()
        values = list(self.values(3))
        sink = self.running()
        batch = sink.batch(values, None, self.value_schema)
        with outage, pytest.raises(RetriableError):
            _written(sink, batch)
        sink.hand_over(batch)
        sink.stop()
        found = self.found()
        assert [value for value in values if value not in found] == []


def _columns(batch: SinkBatch) -> list[tuple[Any, ...]]:
    return [(group.topic, list(group.values), group.keys) for group in batch.groups]


def _written(sink: RunningSink, batch: SinkBatch) -> None:
    """A sink may write in `put`, or collect there and write in `pre_commit`."""
    sink.task.put(batch)
    sink.task.pre_commit({sink.partition: sink.position + len(batch)})
