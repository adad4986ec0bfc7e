"""The suite of source connectors."""

import copy
import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from millstream_api import MillstreamError, Place, RetriableError, SourceBatch, SourceRecord, check
from millstream_conformance.calling import CALLS, in_time
from millstream_conformance.comparing import difference
from millstream_conformance.connector import ConnectorConformance
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
from millstream_conformance.leftovers import changes_nothing, nothing_left_behind, nothing_printed
from millstream_conformance.suite import Capability, does_not_apply

STOP_S = 1.0
INSIDE_S = 0.2
MOST_TASKS = 3
#: as an operator may type them: of another connector, of another type, empty
STRANGE_OFFSETS: tuple[tuple[Place, Place | None], ...] = (
    ({"millstream.conformance": "no such partition"}, {"no such field": "x"}),
    ({"millstream.conformance": None}, {"no such field": None}),
    ({"millstream.conformance": "no such partition"}, None),
    ({}, {}),
)


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

        Raises what the task raised on its thread. The test also fails when its `start` or `stop` takes too long.
        """
        source = self.running(blocking=True)
        polling, ended = threading.Event(), threading.Event()

        def polls() -> None:
            while not source.context.wait(0) and not ended.is_set():
                polling.set()
                source.task.poll()

        running = _Aside(source, polls)
        running.starts()
        in_time(lambda seconds: running.polled.is_set() or polling.wait(seconds), CALLS.patience_s)
        in_time(running.polled.wait, INSIDE_S)  # long enough to be inside a poll
        ended.set()
        end(source)
        over = in_time(running.polled.wait, STOP_S)
        source.context.stop()
        assert over, "poll went on for more than a second: wait with context.wait, interrupt in cancel"
        running.stops()


class _Aside:
    """A source that starts, polls and stops on a thread of its own."""

    def __init__(self, source: RunningSource, polls: Callable[[], None]) -> None:
        self.started, self.polled = threading.Event(), threading.Event()
        self._source = source
        self._polls = polls
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def starts(self) -> None:
        if not self.started.wait(CALLS.patience_s):
            pytest.fail(CALLS.given_up("the task's start"))

    def stops(self) -> None:
        """Wait for the end, and raise what was raised there."""
        self._thread.join(CALLS.patience_s)
        if self._thread.is_alive():
            pytest.fail(CALLS.given_up("the task's stop"))
        if self._failure:
            raise self._failure[0]

    def _run(self) -> None:
        try:
            try:
                self._source.start()
                self.started.set()
                self._polls()
            finally:
                self.started.set()
                self.polled.set()
                self._source.stop()
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            self._failure.append(error)


class SourceEnds(SourcePromises):
    """That a source's polls come to an end."""

    def test_a_poll_without_data_returns(self) -> None:
        source = self.running()

        def polls() -> None:
            for _ in range(QUIET_POLLS):
                source.poll()

        running = _Aside(source, polls)
        running.starts()
        returned = running.polled.wait(CALLS.patience_s)
        source.context.stop()
        if not returned:
            CALLS.given_up("the task's poll")
            source.task.cancel()
            pytest.fail(
                f"{QUIET_POLLS} polls without data took more than {CALLS.patience_s:g} s: return [] when there is none"
            )
        source.task.cancel()
        running.stops()

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


class SourceOffsets(SourceSharing):
    """That offsets can be set by an operator; for a source that overrides `alter_offsets`."""

    def test_offsets_that_an_operator_sets_are_gone_on_from(self) -> None:
        self.needs_override("alter_offsets")
        whole = self.collected()
        stored = offsets_after(whole[:1])
        if not stored:
            does_not_apply("the source keeps no offsets for this configuration")
        self.altered([(json.loads(partition), offset) for partition, offset in stored.items()])
        again = collect(self.plugin_class(), self.settings(), stored, len(whole) - 1)
        assert not difference(
            [told(record) for record in again[: len(whole) - 1]], [told(record) for record in whole[1:]]
        )

    def test_offsets_that_an_operator_forgets_are_forgotten(self) -> None:
        self.needs_override("alter_offsets")
        whole = self.collected()
        partitions = offsets_after(whole)
        if not partitions:
            does_not_apply("the source keeps no offsets for this configuration")
        self.altered([(json.loads(partition), None) for partition in partitions])
        again = collect(self.plugin_class(), self.settings(), {}, len(whole))
        assert not difference([told(record) for record in again[: len(whole)]], [told(record) for record in whole])

    def test_offsets_of_another_connector_are_refused_in_words_or_taken(self) -> None:
        self.needs_override("alter_offsets")
        for pair in STRANGE_OFFSETS:
            refusal = "…"
            try:
                self.asked_to_alter([pair])
            except (MillstreamError, ValueError) as error:
                refusal = str(error)
            assert refusal.strip(), f"alter_offsets refuses {pair} without a word"


class SourceTraces(SourceOffsets):
    """That a source leaves and shows nothing."""

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

    def test_the_process_stays_as_it_was(self) -> None:
        self.plugin_class()
        with changes_nothing():
            self.collected()

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.collected()
        nothing_printed(capfd)


class SourceConformance(SourceTraces):
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
