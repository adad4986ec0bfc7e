"""Plugins whose two forms agree, and that note each call of a record form.

A record is known by its number and by `n`, which decides what plugins do with it: from the value, or the key of a null.
"""

import collections
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from millstream.errors import DataError, RetriableError
from millstream_api import Header, Predicate, Record, RecordBatch, Schema, Transformation, Type

A, B, REFUSED = (Schema(Type.STRUCT, name=name, fields=[]) for name in ("a", "b", "refused"))
NS = 41
KEYED = 1000 * NS


class Calls:
    """How often each record form was called for each record, and in which order."""

    def __init__(self) -> None:
        self.log: dict[str, list[int]] = collections.defaultdict(list)

    def note(self, who: str, record: Record) -> None:
        self.log[who].append(number_of(record))


def code(number: int, n: int) -> int:
    return number * NS + n


def n_of(record: Record) -> int:
    return int(record.key % NS if record.value is None else record.value["n"])


def number_of(record: Record) -> int:
    return int(record.key % KEYED // NS if record.value is None else record.value["id"])


def ns_of(batch: RecordBatch) -> list[int]:
    keys: Any = repeat(None) if batch.keys is None else batch.keys
    return [key % NS if value is None else value["n"] for value, key in zip(batch.values, keys, strict=False)]


def codes_of(batch: RecordBatch) -> list[int]:
    keys: Any = repeat(None) if batch.keys is None else batch.keys
    return [
        key % KEYED if value is None else code(value["id"], value["n"])
        for value, key in zip(batch.values, keys, strict=False)
    ]


def changed(record: Record, **more: Any) -> Record:
    return record if record.value is None else record.replace(value={**record.value, **more})


class Tried(Transformation[Any]):
    def __init__(self, who: str, arg: int, calls: Calls) -> None:
        self.who, self.arg, self.calls = who, arg, calls
        self.seen = 0
        self.last: Any = None
        self.failures: dict[int, int] = collections.Counter()

    def hit(self, record: Record, rest: int) -> bool:
        return n_of(record) % self.arg == rest


# ------------------------------------------------------------------------------------------------- both forms


class Mark(Tried):
    def apply(self, record: Any) -> Any:
        return record if record.value is None else changed(record, m=record.value.get("m", 0) + self.arg)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        marked = [v if v is None else {**v, "m": v.get("m", 0) + self.arg} for v in batch.values]
        return [batch.replace(values=marked)]


class Drop(Tried):
    def apply(self, record: Any) -> Any:
        return None if self.hit(record, 0) else record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.take([i for i, n in enumerate(ns_of(batch)) if n % self.arg])]


class Route(Tried):
    """Topic by record; the groups come out of order."""

    def apply(self, record: Any) -> Any:
        return record.replace(topic=f"{record.topic}-{n_of(record) % self.arg % 2}")

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        out = []
        for side in (1, 0):
            part = batch.take([i for i, n in enumerate(ns_of(batch)) if n % self.arg % 2 == side])
            out.append(part.replace(topic=f"{batch.topic}-{side}"))
        return out


class Evolve(Tried):
    """Schema by record."""

    def apply(self, record: Any) -> Any:
        return record.replace(value_schema=B) if self.hit(record, 1) else record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        yes = [i for i, n in enumerate(ns_of(batch)) if n % self.arg == 1]
        no = [i for i, n in enumerate(ns_of(batch)) if n % self.arg != 1]
        return [batch.take(yes).replace(value_schema=B), batch.take(no)]


class Nullify(Tried):
    """Values become null, every other time with their schema kept."""

    def schema(self, given: Schema | None) -> Schema | None:
        return given if self.arg % 2 else None

    def apply(self, record: Any) -> Any:
        if not self.hit(record, 1):
            return record
        key = code(number_of(record), n_of(record))
        return record.replace(value=None, value_schema=self.schema(record.value_schema), key=key, key_schema=None)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        codes, ns = codes_of(batch), ns_of(batch)
        yes = [i for i, n in enumerate(ns) if n % self.arg == 1]
        nulls = batch.take(yes).replace(
            values=[None] * len(yes),
            value_schema=self.schema(batch.value_schema),
            keys=[codes[i] for i in yes],
            key_schema=None,
        )
        return [batch.take([i for i, n in enumerate(ns) if n % self.arg != 1]), nulls]


class Fail(Tried):
    def apply(self, record: Any) -> Any:
        if self.hit(record, 1):
            raise DataError(f"no {n_of(record)}")
        return record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        if any(n % self.arg == 1 for n in ns_of(batch)):
            raise DataError("some row")
        return [batch]


class Away(Tried):
    """Pure, and never works for some: its retries run out."""

    def apply(self, record: Any) -> Any:
        if self.hit(record, 2):
            raise RetriableError(f"away {n_of(record)}")
        return record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        if any(n % self.arg == 2 for n in ns_of(batch)):
            raise RetriableError("away")
        return [batch]


class Clumsy(Tried):
    """Its batch form never works."""

    def apply(self, record: Any) -> Any:
        return changed(record, clumsy=True)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        raise ZeroDivisionError("clumsy")


class Greedy(Tried):
    """Its batch form gives rows twice."""

    def apply(self, record: Any) -> Any:
        return record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.take([0]), batch if self.arg % 2 else batch.take(range(len(batch)))]


class Uneven(Tried):
    """Its batch form gives a column that is too short."""

    def apply(self, record: Any) -> Any:
        return record.replace(timestamp=77)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.replace(timestamps=[77] * (len(batch) - 1))]


class Headed(Tried):
    def apply(self, record: Any) -> Any:
        return record.replace(headers=[*record.headers, Header("by", n_of(record))])

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        old = batch.headers or [()] * len(batch)
        return [batch.replace(headers=[[*h, Header("by", n)] for h, n in zip(old, ns_of(batch), strict=True)])]


class Bare(Tried):
    """Takes the headers of some away."""

    def apply(self, record: Any) -> Any:
        return record.replace(headers=()) if self.hit(record, 1) else record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        if batch.headers is None:
            return [batch]
        return [
            batch.replace(
                headers=[() if n % self.arg == 1 else h for h, n in zip(batch.headers, ns_of(batch), strict=True)]
            )
        ]


class Keyed(Tried):
    def apply(self, record: Any) -> Any:
        return record.replace(key=KEYED + code(number_of(record), n_of(record)), key_schema=A)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.replace(keys=[KEYED + some for some in codes_of(batch)], key_schema=A)]


class Placed(Tried):
    """Partition and timestamp by record."""

    def apply(self, record: Any) -> Any:
        n = n_of(record)
        return record.replace(partition=n % 3, timestamp=n if n % self.arg else None)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        ns = ns_of(batch)
        return [batch.replace(partitions=[n % 3 for n in ns], timestamps=[n if n % self.arg else None for n in ns])]


# -------------------------------------------------------------------------------------------- record form only


class Flaky(Tried):
    """Fails, retriably, fewer than `arg` times for some, then works."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        number = number_of(record)
        if self.hit(record, 1) and self.failures[number] < self.arg - 1:
            self.failures[number] += 1
            raise RetriableError(f"flaky {number}")
        return changed(record, flaky=self.failures[number])


class Number(Tried):
    """Keeps state: numbers what it sees."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        self.seen += 1
        return changed(record, seen=self.seen)


class Dedup(Tried):
    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        if n_of(record) % self.arg == self.last:
            return None
        self.last = n_of(record) % self.arg
        return record


class Turns(Tried):
    """Topic and schema by turns."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        self.seen += 1
        if self.seen % self.arg == 0:
            return record.replace(topic="turn", value_schema=None)
        return record


class Refuse(Tried):
    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        self.seen += 1
        if self.hit(record, 1):
            raise ValueError(f"refused {n_of(record)}")
        return changed(record, passed=self.seen)


class Odd(Tried):
    """Misbehaves: no record, StopIteration, at once or when tried again, a bad timestamp."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        number = number_of(record)
        if self.arg % 2 and n_of(record) % 17 in (3, 5) and not self.failures[number]:
            self.failures[number] += 1
            raise RetriableError(f"odd {number}")
        if n_of(record) % 17 == 3:
            return "text"
        if n_of(record) % 17 == 5:
            raise StopIteration
        if n_of(record) % 17 == 7:
            return record.replace(timestamp=-7)
        return record


class SingleAgain(Mark):
    """Overrides the record form alone: the inherited batch form does not count."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        self.seen += 1
        return changed(record, again=self.seen)


class BatchOnly(Tried):
    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        if any(n % self.arg == 3 for n in ns_of(batch)):
            raise DataError("no three")
        rows = [i for i, n in enumerate(ns_of(batch)) if n % self.arg != 2]
        values = [v if v is None else {**v, "only": 1} for v in batch.values]
        return [batch.replace(values=values).take(rows)]

    def scalar(self, record: Record) -> Record | None:
        if self.hit(record, 3):
            raise DataError("no three")
        return None if self.hit(record, 2) else changed(record, only=1)


KINDS: list[type[Tried]] = [
    *(Mark, Drop, Route, Evolve, Nullify, Fail, Away, Clumsy, Greedy, Uneven, Headed, Bare, Keyed, Placed),
    *(Flaky, Number, Dedup, Turns, Refuse, Odd, SingleAgain, BatchOnly),
    *(Mark, Route, Evolve, Headed, Flaky, Number, Number, Turns, Dedup, SingleAgain),
]


# ---------------------------------------------------------------------------------------------------- predicates


class Asked(Predicate[Any]):
    def __init__(self, who: str, arg: int, calls: Calls) -> None:
        self.who, self.arg, self.calls = who, arg, calls
        self.seen = 0
        self.failures: dict[int, int] = collections.Counter()

    def hit(self, record: Record, rest: int) -> bool:
        return n_of(record) % self.arg == rest


class Divisible(Asked):
    def test(self, record: Record) -> bool:
        return self.hit(record, 0)

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        return [n % self.arg == 0 for n in ns_of(batch)]


class OfTopic(Asked):
    def test(self, record: Record) -> bool:
        return record.topic == "t0"

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        return batch.topic == "t0"


class Null(Asked):
    def test(self, record: Record) -> bool:
        return record.value is None

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        return [value is None for value in batch.values]


class Doubtful(Asked):
    """Pure, fails for some."""

    def test(self, record: Record) -> bool:
        if self.hit(record, 2):
            raise DataError(f"doubt {n_of(record)}")
        return n_of(record) % 2 == 0

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        if any(n % self.arg == 2 for n in ns_of(batch)):
            raise DataError("doubt")
        return [n % 2 == 0 for n in ns_of(batch)]


class Brief(Asked):
    """Its batch form leaves an answer out; its record form's answers are no bools."""

    def test(self, record: Record) -> Any:
        return n_of(record) % self.arg

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        return [True] * (len(batch) - 1)


class EveryOther(Asked):
    def test(self, record: Record) -> bool:
        self.calls.note(self.who, record)
        self.seen += 1
        return self.seen % 2 == 0


class Hesitant(Asked):
    """Keeps state, fails twice for some, for others always."""

    def test(self, record: Record) -> bool:
        self.calls.note(self.who, record)
        self.seen += 1
        number = number_of(record)
        if self.hit(record, 1) and self.failures[number] < 2:
            self.failures[number] += 1
            raise RetriableError(f"hesitant {number}")
        if n_of(record) % 19 == 4:
            raise KeyError(number)
        if n_of(record) % 19 == 5:
            raise StopIteration
        return self.seen % 3 != 0


class TestAgain(Divisible):
    """Overrides the record form alone: the inherited batch form does not count."""

    __test__ = False

    def test(self, record: Record) -> bool:
        self.calls.note(self.who, record)
        self.seen += 1
        return self.seen % self.arg == 0


class ColumnsOnly(Asked):
    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        if any(n % self.arg == 3 for n in ns_of(batch)):
            raise DataError("no three")
        return [n % self.arg == 1 for n in ns_of(batch)]

    def scalar(self, record: Record) -> bool:
        if self.hit(record, 3):
            raise DataError("no three")
        return self.hit(record, 1)


ASKED: list[type[Asked]] = [
    *(Divisible, OfTopic, Null, Doubtful, Brief, EveryOther, Hesitant, TestAgain, ColumnsOnly),
    *(Divisible, OfTopic, EveryOther),
]
