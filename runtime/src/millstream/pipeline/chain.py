"""The transformations of a connector, in order: columns where a class has a batch form, records where it has none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import Any

from millstream.errors import PluginError
from millstream.pipeline.form import (
    STOPPED,
    Retrying,
    answers,
    applied,
    each,
    has_batch_form,
    is_record,
    name_of,
    one_row,
    split,
)
from millstream.pipeline.grouping import Flow
from millstream.pipeline.promises import BrokenPromise
from millstream.pipeline.tolerance import LOST, Journal, Lost, Site, Stage
from millstream_api import Predicate, Record, RecordBatch, Transformation


@dataclass(frozen=True, slots=True)
class Link:
    """A transformation with its predicate: applied iff `predicate.test(record)` differs from `negate` (§9.1).

    class_name: what logs and dead letters call the transformation; by default module:Class.
    """

    transformation: Transformation[Any]
    predicate: Predicate[Any] | None = None
    negate: bool = False
    class_name: str = ""


class Chain:
    """Links in the order of `transforms`."""

    def __init__(self, links: Sequence[Link] = ()) -> None:
        self.links = tuple(links)
        self._steps = tuple(map(Step, self.links))

    def run(self, flow: Flow, journal: Journal) -> Flow:
        """Lead the rows through all links; failures go into the journal."""
        for step in self._steps:
            flow = flow.below(journal.limit)
            if not flow:
                break
            flow = step.run(flow, journal)
        return flow.below(journal.limit)

    @property
    def plugins(self) -> Sequence[Transformation[Any] | Predicate[Any]]:
        """What has to be closed, in order."""
        return [plugin for link in self.links for plugin in (link.transformation, link.predicate) if plugin is not None]


class Step:
    """One link. Connect's operation on a record is predicate and transformation together, retried together.

    So a link goes by batch only if both have batch forms: a predicate with state must not be asked about later rows
    before a retry of the transformation asks it again about this one.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.site = Site(Stage.TRANSFORMATION, link.class_name or name_of(link.transformation))
        self._apply_batch = link.transformation.apply_batch if has_batch_form(link.transformation) else None
        own_apply = type(link.transformation).apply is not Transformation.apply
        self._apply = link.transformation.apply if own_apply or self._apply_batch is None else self._apply_to_one
        predicate = link.predicate
        self._asked_whole = predicate if predicate is not None and has_batch_form(predicate) else None
        self._test: Callable[[Record], Any] | None = None
        if predicate is not None:
            own_test = type(predicate).test is not Predicate.test
            self._test = predicate.test if own_test or self._asked_whole is None else self._test_of_one
        self._broken = BrokenPromise()

    def run(self, flow: Flow, journal: Journal) -> Flow:
        if self._apply_batch is None or (self._test is not None and self._asked_whole is None):
            return self._run_records(flow, journal)
        out: list[RecordBatch] = []
        for group in flow.groups():
            try:
                done: Sequence[RecordBatch] | None = self._optimistic(group)
            except PluginError as error:  # it broke its promise; whether there is an `apply` that keeps it is seen now
                self._broken.tell(f"{self.site.class_name}: {error}")
                done = None
            except Exception:  # noqa: BLE001 - plugin code; the same rows are tried one by one, and told then
                done = None  # and not here: what a row raises would have this one as its context, and be told twice
            if done is None:
                done = self._each(self._operation, flow.of_groups([group]).below(journal.limit), journal).groups()
            out.extend(done)
        return flow.of_groups(out)

    def _optimistic(self, group: RecordBatch) -> list[RecordBatch]:
        """A group through batch forms alone."""
        assert self._apply_batch is not None
        if self._asked_whole is None:
            return applied(self._apply_batch, group)
        chosen, spared = split(group, answers(self._asked_whole, group), self._link.negate)
        done = applied(self._apply_batch, chosen) if len(chosen) else []
        return [*done, spared] if len(spared) else done

    def _run_records(self, flow: Flow, journal: Journal) -> Flow:
        if self._asked_whole is None:
            return self._each(self._apply if self._test is None else self._operation, flow, journal)
        spared: list[RecordBatch] = []
        chosen: list[RecordBatch] = []
        operation = self._apply
        for group in flow.groups():
            try:
                some, others = split(group, answers(self._asked_whole, group), self._link.negate)
            except Exception as error:  # noqa: BLE001 - plugin code; the predicate is asked again, row by row, below
                if isinstance(error, PluginError):
                    self._broken.tell(f"{self.site.class_name}: {error}")
                some, others, operation = group, group.take(()), self._operation
            chosen.append(some)
            spared.append(others)
        if not any(map(len, spared)):
            return self._each(operation, flow, journal)
        done = self._each(operation, flow.of_groups(chosen), journal)
        return flow.of_groups(chain(spared, done.groups()))

    def _operation(self, record: Record) -> Record | None:
        if self._test is not None and bool(self._test(record)) == self._link.negate:
            return record
        return self._apply(record)

    def _again(self, _row: int, record: Record) -> Record | None:
        try:
            return self._checked(self._operation(record))
        except StopIteration as error:  # a first attempt's would end the loop over the rows, see `each`
            raise RuntimeError(STOPPED) from error

    def _each(self, operation: Callable[[Record], Any], flow: Flow, journal: Journal) -> Flow:
        """Once per record, in row order; while nothing is dropped no row is looked at in Python."""
        rows, records = flow.lined()
        out = each(operation, rows, records, Retrying(journal, self.site, self._again))
        if len(out) == len(records) and all(map(is_, out, records)):
            return flow  # nothing was changed or dropped; its columns, if it has them, hold
        kinds = set(map(type, out))
        if all(map(is_record, kinds)) and len(out) == len(rows):
            return flow.of_records(rows, out)
        if not all(is_record(kind) or kind in (type(None), Lost) for kind in kinds):
            self._refuse_strangers(out, rows, journal)
        going_on = [(row, record) for row, record in zip(rows, out, strict=False) if isinstance(record, Record)]
        return flow.of_records([row for row, _ in going_on], [record for _, record in going_on])

    def _refuse_strangers(self, out: list[Any], rows: Sequence[int], journal: Journal) -> None:
        for row, result in zip(rows, out, strict=False):
            if result is LOST:
                continue
            try:
                self._checked(result)
            except PluginError as error:
                journal.settle(row, self.site, error, lambda: None)

    def _checked(self, result: Any) -> Record | None:
        if result is None or isinstance(result, Record):
            return result
        raise PluginError(
            f"the transformation {self.site.class_name} gave {type(result).__name__!r} for a record; "
            "apply must give a Record (record.replace makes one) or None, which drops it"
        )

    def _apply_to_one(self, record: Record) -> Record | None:
        """`apply` by way of the batch form, for a class that has no other."""
        assert self._apply_batch is not None
        batches = applied(self._apply_batch, one_row(record))
        if not batches or not len(batches[0]):
            return None
        batch = batches[0]
        return record.replace(
            topic=batch.topic,
            value=batch.values[0],
            value_schema=batch.value_schema,
            key=None if batch.keys is None else batch.keys[0],
            key_schema=batch.key_schema,
            partition=None if batch.partitions is None else batch.partitions[0],
            timestamp=None if batch.timestamps is None else batch.timestamps[0],
            headers=() if batch.headers is None else batch.headers[0],
        )

    def _test_of_one(self, record: Record) -> bool:
        assert self._asked_whole is not None
        batch = one_row(record)
        said = answers(self._asked_whole, batch)
        return said if isinstance(said, bool) else bool(said[0])
