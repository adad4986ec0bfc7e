"""The suite of source connectors."""

import threading
from collections.abc import Sequence

import pytest

from millstream_api import SourceBatch, SourceRecord, check
from millstream_conformance.contexts import SourceHarnessContext, spelled
from millstream_conformance.harness import (
    QUIET_POLLS,
    collect,
    make_task,
    offsets_after,
    rows_of,
    task_settings,
)
from millstream_conformance.leftovers import nothing_left_behind
from millstream_conformance.settings import ConnectorConformance

STOP_S = 1.0


class SourceConformance(ConnectorConformance):
    """Certifies a source connector.

    records:  how many records the tests look at.

    A source that reads from an outside overrides `feed`, which puts `n` records there; it is called once a test, on an
    outside that the author's own fixture made empty.
    """

    records = 5

    def feed(self, n: int) -> None:
        """Put n records where the source finds them; a source that makes its own has nothing to do."""

    def collected(self, most: int | None = None) -> list[SourceRecord]:
        self.feed(self.records)
        found = collect(self.plugin_class(), self.settings(), {}, most or self.records)
        assert len(found) >= self.records, f"fed {self.records} records, and the source delivered {len(found)}"
        return found[: self.records]

    def test_partitions_and_offsets_are_json_clean(self) -> None:
        for record in self.collected():
            for place in (record.source_partition, record.source_offset):
                if place is not None:
                    spelled(place)
                    assert all(isinstance(name, str) for name in place), f"a name in {place!r} is no text"

    def test_values_fit_their_schemas(self) -> None:
        for record in self.collected():
            if record.value_schema is not None:
                check(record.value_schema, record.value)
            if record.key_schema is not None:
                check(record.key_schema, record.key)

    def test_restarted_after_any_committed_prefix_nothing_is_lost(self) -> None:
        whole = self.collected()
        if any(record.source_offset is None for record in whole):
            pytest.skip("the source keeps no offsets for this configuration")
        for committed in range(len(whole) + 1):
            rest = whole[committed:]
            again = collect(self.plugin_class(), self.settings(), offsets_after(whole[:committed]), len(rest))
            told = [(record.topic, record.key, record.value) for record in again[: len(rest)]]
            assert told == [(record.topic, record.key, record.value) for record in rest], (
                f"restarted with the offsets of the first {committed} records, others came than the ones that follow"
            )

    def test_a_batch_answers_for_its_offsets_after_the_next_poll(self) -> None:
        self.feed(self.records)
        cls = self.plugin_class()
        context = SourceHarnessContext()
        task = make_task(cls, task_settings(cls, self.settings())[0], context)
        task.start()
        try:
            polled: Sequence[SourceRecord | SourceBatch] = task.poll()
            batches = [item for item in polled if isinstance(item, SourceBatch)]
            if not batches:
                pytest.skip("the source returns records, not batches")
            before = [[batch.offset_at(row) for row in range(len(batch))] for batch in batches]
            task.poll()
            assert [[batch.offset_at(row) for row in range(len(batch))] for batch in batches] == before
        finally:
            context.stop()
            task.stop()

    def test_a_poll_without_data_returns(self) -> None:
        cls = self.plugin_class()
        context = SourceHarnessContext()
        task = make_task(cls, task_settings(cls, self.settings())[0], context)
        task.start()
        try:
            for _ in range(QUIET_POLLS):
                list(rows_of(task.poll()))
        finally:
            context.stop()
            task.stop()

    def test_stop_ends_a_blocked_poll_within_a_second(self) -> None:
        cls = self.plugin_class()
        context = SourceHarnessContext(blocking=True)
        task = make_task(cls, task_settings(cls, self.settings())[0], context)
        ready = threading.Event()

        def run() -> None:
            task.start()
            ready.set()
            while not context.wait(0):
                task.poll()
            task.stop()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(10), "start did not return within 10 s"
        thread.join(0.2)  # long enough to be inside a poll
        context.stop()
        task.cancel()
        thread.join(STOP_S)
        assert not thread.is_alive(), "poll went on for more than a second after stop: wait with context.wait"

    def test_nothing_is_left_behind(self) -> None:
        self.collected()  # what a library opens once and keeps is not the connector's
        with nothing_left_behind():
            collect(self.plugin_class(), self.settings(), {}, self.records)

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.collected()
        assert capfd.readouterr().out == ""
