"""The suites of transformations and predicates."""

import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from millstream_conformance.settings import SettingsConformance
from millstream_conformance.suite import does_not_apply

ROW = Schema(Type.STRUCT, fields=[("id", Schema(Type.INT32)), ("name", Schema(Type.STRING, optional=True))])


class _LinkConformance(SettingsConformance):
    config: Mapping[str, str] = {}

    def records(self) -> Sequence[SourceRecord]:
        """Records that the plugin takes; an author whose plugin needs others overrides it."""
        return [
            SourceRecord("topic", {"id": row, "name": f"n{row}"}, {"p": 1}, {"o": row}, ROW, key=f"k{row}", timestamp=1)
            for row in range(4)
        ]

    def tombstone(self) -> SourceRecord:
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

    def made(self) -> Any:
        cls = self.plugin_class()
        return cls(cls.config_class.parse(self.settings()))


class TransformationConformance(_LinkConformance):
    """Certifies a transformation; `transformation` is its `module:Class`."""

    hook = "register_transformations"
    transformation: str

    def test_a_record_or_nothing_comes_back_and_the_input_stays_as_it_was(self) -> None:
        made = self.made()
        for record in self.records():
            before = copy.deepcopy(record)
            after = made.apply(record)
            assert record == before, "apply changed the record it was given: use record.replace"
            assert after is None or isinstance(after, Record)
            if isinstance(after, SourceRecord):
                kept = (after.source_partition, after.source_offset)
                assert kept == (record.source_partition, record.source_offset), "apply changed coordinates"

    def test_a_tombstone_passes_or_is_refused_as_data(self) -> None:
        try:
            self.made().apply(self.tombstone())
        except DataError:
            return

    def test_the_batch_form_does_what_the_record_form_does(self) -> None:
        self._needs_batch_form()
        batch = self.batch()
        made = self.made()
        got = _by_row(made.apply_batch(batch))
        record_form = self.made()
        wanted: dict[int, tuple[Any, ...]] = {}
        for row, record in enumerate(self.records()):
            after = record_form.apply(record)
            if after is not None:
                wanted[row] = _said(after)
        assert got == wanted

    def test_the_batch_form_leaves_the_batch_as_it_was(self) -> None:
        self._needs_batch_form()
        batch = self.batch()
        before = copy.deepcopy(_columns(batch))
        self.made().apply_batch(batch)
        assert _columns(batch) == before, "apply_batch changed the batch it was given"

    def test_the_batch_form_is_pure(self) -> None:
        """Called again after a failure, on parts, and on several threads, it says the same."""
        self._needs_batch_form()
        batch = self.batch()
        made = self.made()
        wanted = _by_row(made.apply_batch(batch))
        assert _by_row(made.apply_batch(batch)) == wanted, (
            "a second call says something else: state is for record forms"
        )
        parts = [made.apply_batch(batch.take([row])) for row in range(len(batch))]
        assert {row: said for part in parts for row, said in _by_row(part).items()} == wanted
        with ThreadPoolExecutor(4) as threads:
            assert all(_by_row(each) == wanted for each in threads.map(lambda _: made.apply_batch(batch), range(40)))

    def _needs_batch_form(self) -> None:
        if self.plugin_class().apply_batch is Transformation.apply_batch:
            does_not_apply("the transformation has no batch form")


class PredicateConformance(_LinkConformance):
    """Certifies a predicate; `predicate` is its `module:Class`."""

    hook = "register_predicates"
    predicate: str

    def test_it_answers_yes_or_no_and_the_input_stays_as_it_was(self) -> None:
        made = self.made()
        for record in [*self.records(), self.tombstone()]:
            before = copy.deepcopy(record)
            assert made.test(record) in (True, False)
            assert record == before

    def test_the_batch_form_says_what_the_record_form_says(self) -> None:
        if self.plugin_class().test_batch is Predicate.test_batch:
            does_not_apply("the predicate has no batch form")
        batch = self.batch()
        before = copy.deepcopy(_columns(batch))
        answer = self.made().test_batch(batch)
        assert _columns(batch) == before, "test_batch changed the batch it was given"
        said = [answer] * len(self.batch()) if isinstance(answer, bool) else list(answer)
        assert said == [self.made().test(record) for record in self.records()]


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
