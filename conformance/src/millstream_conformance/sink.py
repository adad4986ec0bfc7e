"""The suite of sink connectors."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from millstream_api import STRING, Schema, TopicPartition
from millstream_conformance.harness import RunningSink
from millstream_conformance.leftovers import nothing_left_behind
from millstream_conformance.settings import ConnectorConformance
from millstream_conformance.suite import Capability


class SinkPromises(ConnectorConformance):
    """What a sink's author tells of it, and the tests of what he claims beyond the rest."""

    topic = "conformance"
    value_schema: Schema | None = STRING

    def values(self, n: int) -> Sequence[Any]:
        """n values that the sink takes, all different."""
        return [f"value {row}" for row in range(n)]

    def read_back(self) -> Sequence[Any] | None:
        """The values that are outside now, in order; None when that cannot be asked."""
        return None

    def running(self) -> RunningSink:
        return RunningSink(self.plugin_class(), self.settings(), self.topic)

    def test_tombstones_do_not_stop_it(self) -> None:
        if Capability.TOMBSTONES not in self.capabilities:
            pytest.skip("the sink does not claim tombstones")
        sink = self.running()
        sink.put([None], keys=["key"])
        sink.stop()

    def test_a_batch_put_twice_is_there_once(self) -> None:
        if Capability.IDEMPOTENT not in self.capabilities:
            pytest.skip("the sink does not claim to be idempotent")
        values = self.values(3)
        sink = self.running()
        batch = sink.put(values, schema=self.value_schema)
        sink.task.put(batch)
        sink.stop()
        assert list(self.read_back() or ()) == list(values)


class SinkConformance(SinkPromises):
    """Certifies a sink connector.

    topic:  the topic the records come from.

    An author whose outside can be read overrides `read_back`; `values` and `value_schema` fit the sink.
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
        found = self.read_back()
        if found is None:
            pytest.skip("the outside cannot be read back")
        assert list(found) == list(values)

    def test_what_was_committed_is_outside_even_if_the_task_goes_no_further(self) -> None:
        sink = self.running()
        values = self.values(5)
        sink.put(values, schema=self.value_schema)
        committed = sink.commit()
        found = self.read_back()
        sink.stop()
        if found is None:
            pytest.skip("the outside cannot be read back")
        assert list(found)[: committed.get(sink.partition, 0)] == list(values)[: committed.get(sink.partition, 0)]

    def test_pre_commit_is_never_ahead_of_what_was_put(self) -> None:
        sink = self.running()
        for count in (1, 4, 0):
            sink.put(self.values(count), schema=self.value_schema)
            committed = sink.commit()
            assert set(committed) <= {TopicPartition(self.topic, 0)}
            assert all(offset <= sink.position for offset in committed.values())
        sink.stop()

    def test_null_keys_and_keys_are_taken(self) -> None:
        sink = self.running()
        values = self.values(2)
        sink.put(values, keys=[None, "key"], schema=self.value_schema)
        sink.stop()

    def test_what_is_put_is_not_changed(self) -> None:
        sink = self.running()
        values = list(self.values(3))
        before = copy.deepcopy(values)
        batch = sink.put(values, schema=self.value_schema)
        sink.stop()
        assert [record.value for record in batch] == before

    def test_nothing_is_left_behind(self) -> None:
        first = self.running()
        first.stop()
        with nothing_left_behind():
            sink = self.running()
            sink.put(self.values(3), schema=self.value_schema)
            sink.stop()

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        sink = self.running()
        sink.put(self.values(3), schema=self.value_schema)
        sink.stop()
        assert capfd.readouterr().out == ""
