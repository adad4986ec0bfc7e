"""The suite of source connectors."""

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from millstream_api import RetriableError, SourceBatch, SourceRecord, check
from millstream_conformance.comparing import difference
from millstream_conformance.contexts import spelled
from millstream_conformance.harness import (
    QUIET_POLLS,
    RunningSource,
    collect,
    offsets_after,
    rows_of,
    task_settings,
    told,
)
from millstream_conformance.leftovers import nothing_left_behind
from millstream_conformance.settings import ConnectorConformance
from millstream_conformance.suite import Capability, does_not_apply

STOP_S = 1.0
START_S = 10.0
POLL_S = 10.0
MOST_TASKS = 3


class SourcePromises(ConnectorConformance):
    """What a source's author tells of it, and what the suite does with that.

    records:  how many records the tests look at, from 1; 5 by default.
    """

    hook = "register_sources"
    records = 5

    def feed(self, n: int) -> None:
        """Put n records where the source finds them; a source that makes its own has nothing to do.

        Called at most once a test, on the test's thread, before the task starts, on an outside that the author's own
        fixture made empty.
        """

    def running(self, blocking: bool = False) -> RunningSource:
        """A task of the connector, made and not started.

        blocking:  `context.wait` waits; else it returns at once.

        Raises ConfigError for settings that will not do, and what the connector's `start` and `task_configs` raise.
        """
        cls = self.plugin_class()
        return RunningSource(cls, task_settings(cls, self.settings())[0], blocking=blocking)

    def collected(self) -> list[SourceRecord]:
        """Feed the source, and give the first `records` records that one task polls.

        Fails the test when there are fewer.
        """
        self.feed(self.records)
        found = collect(self.plugin_class(), self.settings(), {}, self.records)
        assert len(found) >= self.records, f"fed {self.records} records, and the source delivered {len(found)}"
        return found[: self.records]

    def ends_within_a_second(self, end: Callable[[RunningSource], None]) -> None:
        """Poll on a thread; after `end`, called on the test's, it must be over within STOP_S, else the test fails.

        Raises what the task raised on its thread. The test also fails when `start` takes longer than START_S.
        """
        source = self.running(blocking=True)
        ready, ended = threading.Event(), threading.Event()
        failure: list[BaseException] = []

        def run() -> None:
            try:
                source.start()
                ready.set()
                while not source.context.wait(0) and not ended.is_set():
                    source.task.poll()
            except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
                failure.append(error)
            finally:
                ready.set()
                source.task.stop()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(START_S), f"start did not return within {START_S:.0f} s"
        thread.join(0.2)  # long enough to be inside a poll
        ended.set()
        end(source)
        thread.join(STOP_S)
        alive = thread.is_alive()
        source.context.stop()
        assert not alive, "poll went on for more than a second: wait with context.wait, interrupt in cancel"
        if failure:
            raise failure[0]


class SourceEnds(SourcePromises):
    """That a source's polls come to an end."""

    def test_a_poll_without_data_returns(self) -> None:
        done = threading.Event()
        failure: list[BaseException] = []
        source = self.running()

        def run() -> None:
            try:
                source.start()
                for _ in range(QUIET_POLLS):
                    source.poll()
            except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
                failure.append(error)
            finally:
                done.set()
                source.stop()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        returned = done.wait(POLL_S)
        source.context.stop()
        source.task.cancel()
        thread.join(STOP_S)
        assert returned, f"{QUIET_POLLS} polls without data took more than {POLL_S:.0f} s: return [] when there is none"
        if failure:
            raise failure[0]

    def test_stop_ends_a_blocked_poll_within_a_second(self) -> None:
        def stop(source: RunningSource) -> None:
            source.context.stop()
            source.task.cancel()

        self.ends_within_a_second(stop)

    def test_cancel_alone_ends_a_blocked_poll_within_a_second(self) -> None:
        self.needs(Capability.CANCEL)
        self.ends_within_a_second(lambda source: source.task.cancel())


class SourceSharing(SourceEnds):
    """That several tasks share the work; for a source that gives as many task configs as it may."""

    def several(self) -> int:
        """How many tasks of three it wants. Skips the test of a source that wants one, or makes its records itself."""
        if type(self).feed is SourcePromises.feed:
            does_not_apply("the source makes its records itself")
        wanted = len(task_settings(self.plugin_class(), self.settings(), MOST_TASKS))
        if wanted == 1:
            does_not_apply("the source has one task, whatever it is allowed")
        return wanted

    def test_several_tasks_give_together_what_one_gives(self) -> None:
        self.several()
        alone = self.collected()
        shared = collect(self.plugin_class(), self.settings(), {}, 2 * len(alone) + 1, MOST_TASKS)
        assert not difference(_by_partition(shared), _by_partition(alone)), (
            "rows came twice, not at all, or in another order"
        )

    def test_restarted_with_more_tasks_nothing_is_lost(self) -> None:
        self.several()
        whole = self.collected()
        if any(record.source_offset is None for record in whole):
            does_not_apply("the source keeps no offsets for this configuration")
        for committed in range(len(whole) + 1):
            stored = offsets_after(whole[:committed])
            again = collect(self.plugin_class(), self.settings(), stored, 2 * len(whole) + 1, MOST_TASKS)
            assert not difference(_by_partition(again), _by_partition(whole[committed:])), (
                f"restarted by {MOST_TASKS} tasks with the offsets of the first {committed} records of one task, "
                "others came than the ones that follow"
            )


def _by_partition(records: Sequence[SourceRecord]) -> dict[str, list[str]]:
    """What each source partition's records say, in order: between partitions there is none."""
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault(spelled(record.source_partition or {}), []).append(repr(told(record)))
    return found


class SourceConformance(SourceSharing):
    """Certifies a source connector.

    A source that reads from an outside overrides `feed`; `away`, where the outside can be taken away. A class that
    leaves `feed` as it is says that the source makes its own records.
    """

    def test_partitions_and_offsets_are_json_clean(self) -> None:
        for record in self.collected():
            assert (record.source_partition is None) == (record.source_offset is None), (
                "a record has a source partition and a source offset, or neither"
            )
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
            for header in record.headers:
                if header.schema is not None:
                    check(header.schema, header.value)

    def test_restarted_after_any_committed_prefix_nothing_is_lost(self) -> None:
        whole = self.collected()
        if any(record.source_offset is None for record in whole):
            does_not_apply("the source keeps no offsets for this configuration")
        for committed in range(len(whole) + 1):
            rest = whole[committed:]
            again = collect(self.plugin_class(), self.settings(), offsets_after(whole[:committed]), len(rest))
            assert not difference([told(record) for record in again[: len(rest)]], [told(record) for record in rest]), (
                f"restarted with the offsets of the first {committed} records, others came than the ones that follow"
            )

    def test_restarted_behind_everything_it_gives_nothing_again(self) -> None:
        if type(self).feed is SourcePromises.feed:
            does_not_apply("the source makes its records itself")
        whole = self.collected()
        if any(record.source_offset is None for record in whole):
            does_not_apply("the source keeps no offsets for this configuration")
        again = collect(self.plugin_class(), self.settings(), offsets_after(whole), 1)
        assert not again, f"restarted behind the last record it gave {len(again)} again"

    def test_what_was_polled_is_not_changed_afterwards(self) -> None:
        self.feed(self.records)
        source = self.running()
        source.start()
        try:
            polled: list[tuple[Sequence[Any], Sequence[Any]]] = []
            for _ in range(self.records):
                items = source.poll()
                polled.append((items, copy.deepcopy([told(record) for record in rows_of(items)])))
        finally:
            source.stop()
        for items, before in polled:
            assert not difference([told(record) for record in rows_of(items)], before), (
                "a later poll, commit or stop changed what an earlier poll had handed over"
            )

    def test_stored_offsets_are_not_changed(self) -> None:
        stored = offsets_after(self.collected())
        before = copy.deepcopy(stored)
        collect(self.plugin_class(), self.settings(), stored, 1)
        assert not difference(stored, before), "the task changed an offset that context.offset gave it"

    def test_a_batch_answers_for_its_offsets_after_the_next_poll(self) -> None:
        self.feed(self.records)
        source = self.running()
        source.start()
        try:
            batches = [item for item in source.poll() if isinstance(item, SourceBatch)]
            if not batches:
                does_not_apply("the source returns records, not batches")
            before = [[batch.offset_at(row) for row in range(len(batch))] for batch in batches]
            source.poll()
            assert not difference([[batch.offset_at(row) for row in range(len(batch))] for batch in batches], before)
        finally:
            source.stop()

    def test_while_the_outside_is_away_poll_raises_retriable_error_and_then_goes_on(self) -> None:
        outage = self.outage()
        self.feed(self.records)
        source = self.running()
        source.start()
        try:
            with outage:
                for _ in range(QUIET_POLLS):
                    try:
                        found = list(rows_of(source.poll()))
                    except RetriableError:
                        break
                    assert not found, "records came although the outside is away"
                else:
                    pytest.fail("the outside is away, and poll raised no RetriableError")
            again: list[SourceRecord] = []
            for _ in range(QUIET_POLLS + self.records):
                again.extend(rows_of(source.poll()))
            assert len(again) >= self.records, "after the outage not all records came"
        finally:
            source.stop()

    def test_secrets_are_in_no_log_output_or_record(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        secrets = self.secrets()
        with caplog.at_level(logging.DEBUG):
            records = self.collected()
        printed = capfd.readouterr()
        shown = caplog.text + printed.out + printed.err + repr([told(record) for record in records])
        leaked = sorted(name for name, text in secrets.items() if text in shown)
        assert not leaked, f"the secrets {leaked} are shown"

    def test_nothing_is_left_behind(self) -> None:
        self.collected()  # what a library opens once and keeps is not the connector's
        with nothing_left_behind():
            collect(self.plugin_class(), self.settings(), {}, self.records)

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.collected()
        assert capfd.readouterr().out == ""
