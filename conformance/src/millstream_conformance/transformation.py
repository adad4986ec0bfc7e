"""The suites of transformations and predicates."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from millstream_api import (
    DataError,
    Predicate,
    Record,
    RecordBatch,
    Schema,
    SourceRecord,
    Transformation,
    Type,
)
from millstream_conformance.comparing import difference
from millstream_conformance.leftovers import nothing_printed
from millstream_conformance.settings import SettingsConformance
from millstream_conformance.suite import does_not_apply
from millstream_conformance.threads import side_by_side

CALLS = 2_000
ROW = Schema(Type.STRUCT, fields=[("id", Schema(Type.INT32)), ("name", Schema(Type.STRING, optional=True))])


class _LinkConformance(SettingsConformance):
    """What transformations and predicates share.

    config:  settings it runs with, without prefix.
    """

    config: Mapping[str, str] = {}

    def records(self) -> Sequence[SourceRecord]:
        """Records that the plugin takes; an author whose plugin needs others overrides it.

        One at least, of one topic and with the same schemas, so that they are rows of one batch.
        """
        return [
            SourceRecord("topic", {"id": row, "name": f"n{row}"}, {"p": 1}, {"o": row}, ROW, key=f"k{row}", timestamp=1)
            for row in range(4)
        ]

    def tombstone(self) -> SourceRecord:
        """A record without value and value schema, which a transformation passes on or refuses by DataError."""
        return SourceRecord("topic", None, {"p": 1}, {"o": 9}, key="k", timestamp=1)

    def batch(self) -> RecordBatch:
        """The records as columns; they share topic and schemas."""
        records = self.records()
        first = records[0]
        return RecordBatch(
            first.topic,
            first.value_schema,
            [record.value for record in records],
            first.key_schema,
            [record.key for record in records],
            [record.partition for record in records],
            [record.timestamp for record in records],
            [record.headers for record in records],
        )


def one_row(record: Record) -> RecordBatch:
    """The record as columns."""
    columns = ([record.key], [record.partition], [record.timestamp], [record.headers])
    return RecordBatch(record.topic, record.value_schema, [record.value], record.key_schema, *columns)


class TransformationConformance(_LinkConformance):
    """Certifies a transformation.

    transformation:  `module:Class`.
    drops:           whether it is there to drop records; one that changes them passes every one on, tombstones too.
    """

    hook = "register_transformations"
    transformation: str
    drops = False

    def test_a_record_or_nothing_comes_back_and_the_input_stays_as_it_was(self) -> None:
        made = self._timed()
        for record in self.records():
            before = copy.deepcopy(record)
            after = made.apply(record)
            assert not difference(record, before), "apply changed the record it was given: use record.replace"
            assert after is None or isinstance(after, Record)
            if isinstance(after, SourceRecord):
                kept = (after.source_partition, after.source_offset)
                assert kept == (record.source_partition, record.source_offset), "apply changed coordinates"

    def test_a_tombstone_passes_or_is_refused_as_data(self) -> None:
        tombstone = self.tombstone()
        before = copy.deepcopy(tombstone)
        try:
            after = self._timed().apply(tombstone)
        except DataError:
            return
        assert after is not None or self.drops, "the tombstone was dropped: what it stands for is never deleted"
        assert not difference(tombstone, before), "apply changed the record it was given: use record.replace"

    def test_every_record_passes(self) -> None:
        if self.drops:
            does_not_apply("the transformation is there to drop records")
        made = self._timed()
        assert [row for row, record in enumerate(self.records()) if made.apply(record) is None] == []

    def test_the_batch_form_takes_a_tombstone_as_the_record_form_does(self) -> None:
        self._needs_batch_form()
        try:
            parts = self._timed().apply_batch(one_row(self.tombstone()))
        except Exception:  # noqa: BLE001 - whatever a batch form raises
            return  # such rows go to the record form
        after = self._timed().apply(self.tombstone())
        assert not difference(_by_row(parts), {} if after is None else {0: _said(after)})

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        made = self._timed()
        for record in self.records():
            made.apply(record)
        if self.plugin_class().apply_batch is not Transformation.apply_batch:
            made.apply_batch(self.batch())
        nothing_printed(capfd)

    def test_the_batch_form_does_what_the_record_form_does(self) -> None:
        self._needs_batch_form()
        batch = self.batch()
        made = self._timed()
        got = _by_row(made.apply_batch(batch))
        record_form = self._timed()
        wanted: dict[int, tuple[Any, ...]] = {}
        for row, record in enumerate(self.records()):
            after = record_form.apply(record)
            if after is not None:
                wanted[row] = _said(after)
        assert not difference(got, wanted)

    def test_the_batch_form_leaves_the_batch_as_it_was(self) -> None:
        self._needs_batch_form()
        batch = self.batch()
        before = copy.deepcopy(_columns(batch))
        self._timed().apply_batch(batch)
        assert not difference(_columns(batch), before), "apply_batch changed the batch it was given"

    def test_the_batch_form_is_pure(self) -> None:
        """Called again after a failure, on parts, and on several threads, it says the same."""
        self._needs_batch_form()
        batch = self.batch()
        made = self._timed()
        wanted = _by_row(made.apply_batch(batch))
        assert not difference(_by_row(made.apply_batch(batch)), wanted), (
            "a second call says something else: state is for record forms"
        )
        parts = [made.apply_batch(batch.take([row])) for row in range(len(batch))]
        assert not difference({row: said for part in parts for row, said in _by_row(part).items()}, wanted)
        rows = [
            row % len(batch) for row in range(CALLS)
        ]  # others on each thread: who keeps a batch aside mixes them up
        found = side_by_side(lambda row: _by_row(made.apply_batch.__wrapped__(batch.take([row]))), rows)
        assert not difference(found, [{row: wanted[row]} if row in wanted else {} for row in rows]), (
            "on several threads at once it says something else"
        )

    def _needs_batch_form(self) -> None:
        if self.plugin_class().apply_batch is Transformation.apply_batch:
            does_not_apply("the transformation has no batch form")


class PredicateConformance(_LinkConformance):
    """Certifies a predicate.

    predicate:  `module:Class`.
    """

    hook = "register_predicates"
    predicate: str

    def test_it_answers_yes_or_no_and_the_input_stays_as_it_was(self) -> None:
        made = self._timed()
        for record in [*self.records(), self.tombstone()]:
            before = copy.deepcopy(record)
            answer = made.test(record)
            assert isinstance(answer, bool), f"test gave a {type(answer).__name__}; True or False is right"
            assert not difference(record, before), "test changed the record it was given"

    def test_the_batch_form_says_what_the_record_form_says(self) -> None:
        if self.plugin_class().test_batch is Predicate.test_batch:
            does_not_apply("the predicate has no batch form")
        batch = self.batch()
        before = copy.deepcopy(_columns(batch))
        answer = self._timed().test_batch(batch)
        assert not difference(_columns(batch), before), "test_batch changed the batch it was given"
        made = self._timed()
        assert not difference(_answers(answer, len(batch)), [made.test(record) for record in self.records()])

    def test_the_batch_form_is_pure(self) -> None:
        """Called again, on parts, and on several threads, it says the same."""
        if self.plugin_class().test_batch is Predicate.test_batch:
            does_not_apply("the predicate has no batch form")
        batch, made = self.batch(), self._timed()
        wanted = _answers(made.test_batch(batch), len(batch))
        assert not difference(_answers(made.test_batch(batch), len(batch)), wanted), (
            "a second call says something else: state is for record forms"
        )
        rows = [row % len(batch) for row in range(CALLS)]
        found = side_by_side(lambda row: _answers(made.test_batch.__wrapped__(batch.take([row])), 1), rows)
        assert not difference(found, [[wanted[row]] for row in rows]), (
            "on parts, or on several threads at once, it says something else"
        )

    def test_the_batch_form_takes_a_tombstone_as_the_record_form_does(self) -> None:
        if self.plugin_class().test_batch is Predicate.test_batch:
            does_not_apply("the predicate has no batch form")
        try:
            answer = self._timed().test_batch(one_row(self.tombstone()))
        except Exception:  # noqa: BLE001 - whatever a batch form raises
            return  # such rows go to the record form
        assert not difference(_answers(answer, 1), [self._timed().test(self.tombstone())])

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        made = self._timed()
        for record in self.records():
            made.test(record)
        if self.plugin_class().test_batch is not Predicate.test_batch:
            made.test_batch(self.batch())
        nothing_printed(capfd)


def _answers(answer: bool | Sequence[bool], count: int) -> list[bool]:
    return [answer] * count if isinstance(answer, bool) else list(answer)


def _said(record: Record) -> tuple[Any, ...]:
    headers = tuple((header.name, header.value, header.schema) for header in record.headers)
    return (record.topic, record.value_schema, record.value, record.key_schema, record.key, record.timestamp, headers)


def _by_row(parts: Sequence[RecordBatch]) -> dict[int, tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for part in parts:
        for at, row in enumerate(part.rows):
            key = None if part.keys is None else part.keys[at]
            timestamp = None if part.timestamps is None else part.timestamps[at]
            own = () if part.headers is None else part.headers[at]
            headers = tuple((header.name, header.value, header.schema) for header in own)
            said = (part.topic, part.value_schema, part.values[at], part.key_schema, key, timestamp, headers)
            found[row] = said
    return found


def _columns(batch: RecordBatch) -> tuple[Any, ...]:
    return (batch.topic, list(batch.values), batch.keys, batch.partitions, batch.timestamps, batch.headers)
