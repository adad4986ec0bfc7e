"""The two forms of a plugin: by record, called once per record in row order, and by batch, pure and tried first."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from millstream.errors import PluginError
from millstream.pipeline.tolerance import Journal, Site
from millstream_api import Predicate, Record, RecordBatch, Transformation

#: StopIteration, raised by a plugin, would end the loop over the rows
STOPPED = "a method of the plugin raised StopIteration, which is no error in Python: raise another"


def name_of(plugin: object) -> str:
    """module:Class of a plugin."""
    kind = type(plugin)
    return f"{kind.__module__}:{kind.__qualname__}"


def has_batch_form(plugin: Transformation[Any] | Predicate[Any]) -> bool:
    """Whether its batch form says the same as its record form.

    A subclass that overrides the record form alone has changed what the inherited batch form knows nothing of.
    """
    whole, single = ("apply_batch", "apply") if isinstance(plugin, Transformation) else ("test_batch", "test")
    for kind in type(plugin).__mro__:
        if kind in (Transformation, Predicate):
            return False
        if whole in vars(kind):
            return True
        if single in vars(kind):
            return False
    return False


def is_record(kind: type) -> bool:
    return issubclass(kind, Record)


@dataclass(frozen=True, slots=True)
class Retrying:
    """How a failed row of a record form is tried again: `again(row, record)`."""

    journal: Journal
    site: Site
    again: Callable[[int, Record], Any]


def each(call: Callable[[Record], Any], rows: Sequence[int], records: Sequence[Record], how: Retrying) -> list[Any]:
    """Call a record form once per record, in row order; `out[i]` is its answer, or LOST.

    Shorter than `rows` when a row ended the task. Without a failure the loop is C's.
    """
    out: list[Any] = []
    left = iter(records)
    while len(out) < len(records):
        try:
            out.extend(map(call, left))
            if len(out) == len(records):
                break
            raise RuntimeError(STOPPED)
        except Exception as error:  # noqa: BLE001 - plugin code; the journal decides and tells
            failed = error
        row, record = rows[len(out)], records[len(out)]
        answer = how.journal.settle(row, how.site, failed, lambda: how.again(row, record))  # noqa: B023 - called at once
        if row >= how.journal.limit:
            break
        out.append(answer)
    return out


BATCHES = "it must give a list of RecordBatch, [] to drop all rows"


def applied(form: Callable[[RecordBatch], Sequence[RecordBatch]], batch: RecordBatch) -> list[RecordBatch]:
    """Call a transformation's batch form and check that it gives rows of its input, each at most once, in order."""
    told: object = form(batch)
    if not isinstance(told, Iterable):
        raise PluginError(f"apply_batch gave a {type(told).__name__}; {BATCHES}")
    parts = list(told)
    strange = [type(part).__name__ for part in parts if not isinstance(part, RecordBatch)]
    if strange:
        raise PluginError(f"apply_batch gave a list with a {strange[0]}; {BATCHES}")
    out = [part for part in parts if len(part)]
    given: list[int] = []
    for part in out:
        columns = (part.keys, part.partitions, part.timestamps, part.headers, part.rows)
        if any(column is not None and len(column) != len(part.values) for column in columns):
            raise PluginError(
                "apply_batch gave a batch whose columns differ in length; use batch.take and batch.replace"
            )
        if part.rows is not batch.rows:
            given.extend(part.rows)
    if not given:
        if len(out) > 1:
            raise PluginError("apply_batch gave the same rows more than once; use batch.take to split them")
        return out
    known = set(given)
    foreign = len(known) != len(given) or not known.issubset(batch.rows) or len(given) != sum(map(len, out))
    if foreign or any(list(part.rows) != sorted(part.rows) for part in out):
        raise PluginError("apply_batch gave rows that it was not given, one twice, or out of order; use batch.take")
    return out


def answers(predicate: Predicate[Any], batch: RecordBatch) -> bool | Sequence[bool]:
    """Ask a predicate's batch form, and check what it says."""
    said: bool | Sequence[bool] = predicate.test_batch(batch)
    if isinstance(said, bool):
        return said
    if not hasattr(said, "__len__"):
        whose = f"test_batch of {name_of(predicate)} gave a {type(said).__name__}"
        raise PluginError(f"{whose}; it must give one bool, or one a row")
    if len(said) != len(batch):
        whose = f"test_batch of {name_of(predicate)} gave {len(said)} answers for {len(batch)} rows"
        raise PluginError(f"{whose}; it must give one bool, or one a row")
    return said


def split(batch: RecordBatch, said: bool | Sequence[bool], negate: bool) -> tuple[RecordBatch, RecordBatch]:
    """(rows the transformation is for, rows that go round it)."""
    none = range(0)
    if isinstance(said, bool):
        return (batch, batch.take(none)) if said != negate else (batch.take(none), batch)
    chosen = [at for at, answer in enumerate(said) if bool(answer) != negate]
    if len(chosen) == len(batch):
        return batch, batch.take(none)
    if not chosen:
        return batch.take(none), batch
    return batch.take(chosen), batch.take([at for at, answer in enumerate(said) if bool(answer) == negate])


def one_row(record: Record) -> RecordBatch:
    """A record as a batch of one, row 0."""
    return RecordBatch(
        record.topic,
        record.value_schema,
        [record.value],
        record.key_schema,
        [record.key],
        [record.partition],
        [record.timestamp],
        [record.headers],
    )
