"""The row engine gives what Connect gives record by record: output, offsets, reports, counts, calls.

The model below knows one record at a time and one operation at a time (RetryWithToleranceOperator.java, spec §6.2); it
shares no code with the pipeline. MILLSTREAM_EXAMPLES sets how many random cases are tried.
"""

import collections
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.broker.ports import Incoming
from millstream.errors import DataError, RetriableError
from millstream.lifecycle import ManualClock
from millstream.pipeline import slicing
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.pipeline.reporting import Consumed, Reporting
from millstream.pipeline.tolerance import Event, Handling, Tolerance
from millstream_api import (
    Converter,
    Decoded,
    Header,
    HeaderConverter,
    Predicate,
    Record,
    RecordBatch,
    Schema,
    SourceBatch,
    SourceRecord,
    Subject,
    Transformation,
    Type,
)

EXAMPLES = int(os.environ.get("MILLSTREAM_EXAMPLES", "1000"))
A, B, REFUSED = (Schema(Type.STRUCT, name=name, fields=[]) for name in ("a", "b", "refused"))
SCHEMAS = (A, B, None, A, B, A, B, REFUSED)
SLICE = 6

# ---------------------------------------------------------------------------------------------------- plugins


class Calls:
    """How often each record form was called for each record, and in which order."""

    def __init__(self) -> None:
        self.log: dict[str, list[int]] = collections.defaultdict(list)

    def note(self, who: str, record: Record) -> None:
        self.log[who].append(record.value["id"])


class Tried(Transformation[Any]):
    def __init__(self, who: str, arg: int, calls: Calls) -> None:
        self.who, self.arg, self.calls = who, arg, calls
        self.seen = 0
        self.last: Any = None
        self.failures: dict[int, int] = collections.Counter()


def hit(record: Record, arg: int, rest: int) -> bool:
    return bool(record.value["n"] % arg == rest)


def changed(record: Record, **more: Any) -> Record:
    return record.replace(value={**record.value, **more})


class Mark(Tried):
    def apply(self, record: Any) -> Any:
        return changed(record, m=record.value.get("m", 0) + self.arg)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.replace(values=[{**v, "m": v.get("m", 0) + self.arg} for v in batch.values])]


class Drop(Tried):
    def apply(self, record: Any) -> Any:
        return None if hit(record, self.arg, 0) else record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.take([i for i, v in enumerate(batch.values) if v["n"] % self.arg])]


class Route(Tried):
    def apply(self, record: Any) -> Any:
        return record.replace(topic=f"{record.topic}-{record.value['n'] % self.arg % 2}")

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        out = []
        for side in (1, 0):
            part = batch.take([i for i, v in enumerate(batch.values) if v["n"] % self.arg % 2 == side])
            out.append(part.replace(topic=f"{batch.topic}-{side}"))
        return out


class Evolve(Tried):
    def apply(self, record: Any) -> Any:
        return record.replace(value_schema=B) if hit(record, self.arg, 1) else record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        yes = [i for i, v in enumerate(batch.values) if v["n"] % self.arg == 1]
        no = [i for i, v in enumerate(batch.values) if v["n"] % self.arg != 1]
        return [batch.take(yes).replace(value_schema=B), batch.take(no)]


class Fail(Tried):
    def apply(self, record: Any) -> Any:
        if hit(record, self.arg, 1):
            raise DataError(f"no {record.value['n']}")
        return record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        for value in batch.values:
            if value["n"] % self.arg == 1:
                raise DataError("some row")
        return [batch]


class Away(Tried):
    """Pure, and never works for some: its retries run out."""

    def apply(self, record: Any) -> Any:
        if hit(record, self.arg, 2):
            raise RetriableError(f"away {record.value['n']}")
        return record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        if any(value["n"] % self.arg == 2 for value in batch.values):
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
        return [batch.take([0]), batch]


class Headed(Tried):
    def apply(self, record: Any) -> Any:
        return record.replace(headers=[*record.headers, Header("by", record.value["n"])])

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        old = batch.headers or [()] * len(batch)
        return [batch.replace(headers=[[*h, Header("by", v["n"])] for h, v in zip(old, batch.values, strict=True)])]


class Keyed(Tried):
    def apply(self, record: Any) -> Any:
        return record.replace(key=record.value["n"], key_schema=A)

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.replace(keys=[v["n"] for v in batch.values], key_schema=A)]


class Flaky(Tried):
    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        number = record.value["id"]
        if hit(record, self.arg, 1) and self.failures[number] < self.arg - 1:
            self.failures[number] += 1
            raise RetriableError(f"flaky {number}")
        return record


class Number(Tried):
    """Keeps state: numbers what it sees."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        self.seen += 1
        return changed(record, seen=self.seen)


class Dedup(Tried):
    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        if record.value["n"] % self.arg == self.last:
            return None
        self.last = record.value["n"] % self.arg
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
        if hit(record, self.arg, 1):
            raise ValueError(f"refused {record.value['n']}")
        return changed(record, passed=self.seen)


class Odd(Tried):
    """Misbehaves: no record, StopIteration, a bad timestamp."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        if record.value["n"] % 17 == 3:
            return "text"
        if record.value["n"] % 17 == 5:
            raise StopIteration
        if record.value["n"] % 17 == 7:
            return record.replace(timestamp=-7)
        return record


class BatchOnly(Tried):
    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        if any(value["n"] % self.arg == 3 for value in batch.values):
            raise DataError("no three")
        return [batch.replace(values=[{**v, "only": 1} for v in batch.values])]

    def scalar(self, record: Record) -> Record:
        if hit(record, self.arg, 3):
            raise DataError("no three")
        return changed(record, only=1)


class SingleAgain(Mark):
    """Overrides the record form alone: the inherited batch form does not count."""

    def apply(self, record: Any) -> Any:
        self.calls.note(self.who, record)
        self.seen += 1
        return changed(record, again=self.seen)


KINDS: list[type[Tried]] = [
    *(Mark, Drop, Route, Evolve, Fail, Away, Clumsy, Greedy, Headed, Keyed, Flaky, Number, Dedup, Turns, Refuse, Odd),
    *(BatchOnly, SingleAgain, Flaky, Number, Refuse, Fail),
]


class Asked(Predicate[Any]):
    def __init__(self, who: str, arg: int, calls: Calls) -> None:
        self.who, self.arg, self.calls = who, arg, calls
        self.seen = 0
        self.failures: dict[int, int] = collections.Counter()


class Divisible(Asked):
    def test(self, record: Record) -> bool:
        return hit(record, self.arg, 0)

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        return [v["n"] % self.arg == 0 for v in batch.values]


class OfTopic(Asked):
    def test(self, record: Record) -> bool:
        return record.topic == "t0"

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        return batch.topic == "t0"


class Doubtful(Asked):
    """Pure, fails for some."""

    def test(self, record: Record) -> bool:
        if hit(record, self.arg, 2):
            raise DataError(f"doubt {record.value['n']}")
        return hit(record, 2, 0)

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        if any(v["n"] % self.arg == 2 for v in batch.values):
            raise DataError("doubt")
        return [v["n"] % 2 == 0 for v in batch.values]


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
        number = record.value["id"]
        if hit(record, self.arg, 1) and self.failures[number] < 2:
            self.failures[number] += 1
            raise RetriableError(f"hesitant {number}")
        if hit(record, 19, 4):
            raise KeyError(number)
        return self.seen % 3 != 0


ASKED: list[type[Asked]] = [Divisible, OfTopic, Doubtful, EveryOther, Hesitant]


def value_bytes(topic: str, schema: Schema | None, value: Any) -> tuple[bytes | None, list[Header]]:
    if schema is REFUSED:
        raise DataError("schema refused")
    if value["n"] % 23 == 6:
        raise DataError(f"unwritable {value['n']}")
    if value["n"] % 23 == 9:
        raise RetriableError(f"registry {value['n']}")
    name = None if schema is None else schema.name
    return f"{topic}|{name}|{sorted(value.items())}".encode(), [Header("id", b"7")] if name == "b" else []


def key_bytes(topic: str, schema: Schema | None, key: Any) -> tuple[bytes | None, list[Header]]:
    if key is None:
        return (None, []) if schema is None else (b"null", [])
    if key % 13 == 5:
        raise DataError(f"key {key}")
    return f"{topic}|{key}".encode(), []


class Spell(Converter[Any]):
    def __init__(self, scalar: Callable[..., tuple[bytes | None, list[Header]]]) -> None:
        self.scalar = scalar

    def encoder(self, subject: Subject) -> Any:
        if subject.schema is REFUSED and subject.role == "value":
            raise DataError("schema refused")

        def encode(values: Sequence[Any], headers: Any) -> list[bytes | None]:
            out = []
            for at, value in enumerate(values):
                data, extra = self.scalar(subject.topic, subject.schema, value)
                if extra:
                    headers[at].extend(extra)
                out.append(data)
            return out

        return encode

    def decoder(self, subject: Subject) -> Any:
        read = read_key if subject.role == "key" else read_value

        def decode(column: Sequence[bytes | None], headers: Any) -> list[Decoded]:
            parts: dict[int, tuple[Any, list[int], list[Any]]] = {}
            for at, data in enumerate(column):
                schema, value = read(data)
                part = parts.setdefault(id(schema), (schema, [], []))
                part[1].append(at)
                part[2].append(value)
            if len(parts) == 1:
                ((schema, _, values),) = parts.values()
                return [Decoded(schema, None, values)]
            return [Decoded(*part) for part in parts.values()]

        return decode


def read_key(data: bytes | None) -> tuple[Schema | None, Any]:
    if data is None:
        return B, None
    if int(data) % 13 == 5:
        raise DataError(f"key {data!r}")
    return (A if int(data) % 2 else None), int(data)


def read_value(data: bytes | None) -> tuple[Schema | None, Any]:
    assert data is not None
    number, n, schema = map(int, data.split(b","))
    if n % 23 == 6:
        raise DataError(f"unreadable {n}")
    if n % 23 == 9:
        raise RetriableError(f"registry {n}")
    return SCHEMAS[schema], {"id": number, "n": n}


class HeaderSpell(HeaderConverter[Any]):
    """A record form that keeps state and fails for some."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.seen = 0
        self.failures: dict[Any, int] = collections.Counter()

    def _pass(self, value: int) -> None:
        self.calls.log["headers"].append(value)
        self.seen += 1
        if value % 9 == 4:
            raise DataError(f"header {value}")
        if value % 9 == 5 and self.failures[value, self.seen // 50] < 1:
            self.failures[value, self.seen // 50] += 1
            raise RetriableError(f"header {value}")

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        self._pass(value)
        return f"{topic}|{name}|{value}|{self.seen}".encode()

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        assert data is not None
        self._pass(int(data))
        return None, (topic, int(data), self.seen)


# ------------------------------------------------------------------------------------------------------ cases


@dataclass
class Case:
    rows: list[SimpleNamespace]
    links: list[tuple[int, int, int | None, bool]]
    tolerance: Tolerance


@dataclass
class Seen:
    """What can be observed of a run."""

    sent: dict[str, list[Any]] = field(default_factory=lambda: collections.defaultdict(list))
    reports: list[Any] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=collections.Counter)
    failed: tuple[int, str] | None = None
    offsets: dict[str, Any] = field(default_factory=dict)
    calls: Calls = field(default_factory=Calls)


NAMES = {"FAILURE": "total-record-failures", "ERROR": "total-record-errors"}
NAMES |= {"SKIP": "total-records-skipped", "RETRY": "total-retries"}


def case_of(rows: list[int], links: list[int], mood: int) -> Case:
    out = []
    for number, bits in enumerate(rows):
        bits, n = divmod(bits, 41)
        bits, topic = divmod(bits, 2)
        bits, schema = divmod(bits, 8)
        bits, place = divmod(bits, 3)
        bits, key = divmod(bits, 4)
        bits, headed = divmod(bits, 4)
        stamp = (None, 1000 + number, -1, 5)[bits % 4]
        columns = bits // 4 % 2 == 0
        out.append(
            SimpleNamespace(
                id=number, n=n, topic=f"t{topic}", schema=schema, place=place, columns=columns, stamp=stamp,
                key=None if key < 2 else n + key, headers=[Header("x", n + i) for i in range(max(0, headed - 1))],
            )
        )  # fmt: skip
    chain = []
    for bits in links:
        bits, kind = divmod(bits, len(KINDS))
        bits, arg = divmod(bits, 4)
        bits, negate = divmod(bits, 2)
        asked = bits % (2 * len(ASKED))
        chain.append((kind, arg + 3, asked if asked < len(ASKED) else None, negate == 1))
    return Case(out, chain, Tolerance(mood % 2 == 1, (0, 2000, 500)[mood // 2 % 3], 700))


def plugins_of(case: Case, calls: Calls) -> list[tuple[Tried, Asked | None, bool]]:
    return [
        (
            KINDS[kind](f"transform {at}", arg, calls),
            None if asked is None else ASKED[asked](f"predicate {at}", arg, calls),
            negate,
        )
        for at, (kind, arg, asked, negate) in enumerate(case.links)
    ]


def link_name(at: int) -> str:
    return f"link-{at}"


# ------------------------------------------------------------------------------------------------------ model


class EndOfTask(Exception):
    pass


class Skipped(Exception):
    pass


class Model:
    """Connect's way: one record, one operation at a time."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.seen = Seen()
        self.links = plugins_of(case, self.seen.calls)
        self.header = HeaderSpell(self.seen.calls)
        self.number = 0

    def execute(self, stage: str, executing: str, operation: Callable[[], Any]) -> Any:
        tolerance, counts = self.case.tolerance, self.seen.counts
        waited, attempt = 0, 0
        while True:
            attempt += 1
            try:
                return operation()
            except RetriableError as error:
                counts["FAILURE"] += 1
                if waited >= tolerance.retry_timeout_ms:
                    counts["SKIP"] += 1
                    self.report(stage, executing, error)
                    raise Skipped from None
                delay = 300 * 2 ** (attempt - 1)
                if delay > tolerance.retry_delay_max_ms:
                    delay = tolerance.retry_delay_max_ms // 2
                waited += min(delay, tolerance.retry_timeout_ms - waited)
                counts["RETRY"] += 1
            except Exception as error:
                counts["FAILURE"] += 1
                self.report(stage, executing, error)
                if not tolerance.all:
                    self.seen.failed = (self.number, text(error))
                    raise EndOfTask from None
                counts["SKIP"] += 1
                raise Skipped from None

    def report(self, stage: str, executing: str, error: Exception) -> None:
        self.seen.counts["ERROR"] += 1
        self.seen.reports.append((self.number, stage, executing, text(error)))

    def chain(self, record: Record) -> Record | None:
        current: Any = record
        for at, (transformation, predicate, negate) in enumerate(self.links):
            given = current

            def operation(
                transformation: Tried = transformation,
                predicate: Asked | None = predicate,
                negate: bool = negate,
                given: Any = given,
            ) -> Any:
                if predicate is not None and predicate.test(given) is negate:
                    return given
                if isinstance(transformation, BatchOnly):
                    return transformation.scalar(given)
                try:
                    result = transformation.apply(given)
                except StopIteration:
                    raise RuntimeError("stop") from None
                if not (result is None or isinstance(result, Record)):
                    raise TypeError("stranger")
                return result

            current = self.execute("TRANSFORMATION", link_name(at), operation)
            if current is None:
                return None
        return current  # type: ignore[no-any-return]

    def each(self, step: Callable[[Any], None], items: Sequence[Any]) -> Seen:
        for self.number, item in enumerate(items):
            try:
                step(item)
            except Skipped:
                continue
            except EndOfTask:
                break
        return self.seen

    def stamp(self, stamp: int | None) -> int | None:
        if stamp is not None and stamp < -1:
            self.seen.failed = (self.number, f"DataError: Invalid record timestamp {stamp}")
            raise EndOfTask
        return None if stamp == -1 else stamp

    def source(self, row: SimpleNamespace) -> None:
        record = self.chain(
            Record(
                row.topic, {"id": row.id, "n": row.n}, SCHEMAS[row.schema], row.key, None, None, row.stamp, row.headers
            )
        )
        if record is None:
            return
        r = record

        def headers() -> list[tuple[str, Any]]:
            return [(h.name, self.header.to_bytes(r.topic, h.name, h.value, h.schema)) for h in r.headers]

        done = self.execute("HEADER_CONVERTER", "header", headers)
        key, _ = self.execute("KEY_CONVERTER", "key", lambda: key_bytes(r.topic, r.key_schema, r.key))
        value, more = self.execute("VALUE_CONVERTER", "value", lambda: value_bytes(r.topic, r.value_schema, r.value))
        stamp = self.stamp(r.timestamp)
        done = [*done, *((h.name, h.value) for h in more)]
        self.seen.sent[r.topic].append((row.id, key, value, stamp, done))
        self.seen.offsets[str(row.place)] = {"at": row.id}

    def sink(self, row: SimpleNamespace) -> None:
        key_schema, key = self.execute("KEY_CONVERTER", "key", lambda: read_key(raw_key(row)))
        schema, value = self.execute("VALUE_CONVERTER", "value", lambda: read_value(raw_value(row)))

        def read_headers() -> list[Header]:
            out = []
            for name, raw in raw_headers(row):
                read = self.header.from_bytes(row.topic, name, raw)
                out.append(Header(name, read[1], read[0]))
            return out

        headers = self.execute("HEADER_CONVERTER", "header", read_headers)
        stamp = self.stamp(-1 if row.stamp is None else row.stamp)
        record = self.chain(Record(row.topic, value, schema, key, key_schema, row.place, stamp, headers))
        if record is not None:
            self.seen.sent["put"].append((row.id, shown(record)))


def text(error: BaseException) -> str:
    if isinstance(error, TypeError) or "apply must give a Record" in str(error):
        return "stranger"
    if isinstance(error, RuntimeError):
        return "stop"
    return f"{type(error).__name__}: {error}"


def shown(record: Record) -> Any:
    return (
        *(record.topic, record.value_schema, sorted(record.value.items()), record.key_schema, record.key),
        *(record.partition, record.timestamp, list(record.headers)),
    )


# ----------------------------------------------------------------------------------------------------- engine


class Listener:
    """A reporter that notes what it hears."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def report(self, event: Event, original: SourceRecord | Consumed) -> None:
        number = original.value["id"] if isinstance(original, SourceRecord) else original.offset
        assert event.error is not None
        self.seen.reports.append((number, event.site.stage.value, event.site.class_name, text(event.error)))


def parts_of(case: Case, seen: Seen) -> tuple[Chain, Converters, Handling, Reporting]:
    clock = ManualClock()
    links = plugins_of(case, seen.calls)
    chain = Chain([Link(t, p, negate, link_name(at)) for at, (t, p, negate) in enumerate(links)])
    converters = Converters(Spell(key_bytes), Spell(value_bytes), HeaderSpell(seen.calls), ("key", "value", "header"))
    handling = Handling(case.tolerance, clock, clock.wait, lambda below: below // 2)
    return chain, converters, handling, Reporting([Listener(seen)])


def poll_of(case: Case) -> Iterator[SourceRecord | SourceBatch]:
    """The rows in order, neighbours that are alike as a batch if they want to."""

    def likeness(row: SimpleNamespace) -> Any:
        return (row.columns, row.topic, row.schema, row.place) if row.columns else row.id

    for _, group in itertools.groupby(case.rows, likeness):
        rows = list(group)
        first = rows[0]
        values = [{"id": row.id, "n": row.n} for row in rows]
        if not first.columns:
            place, schema = {"p": first.place}, SCHEMAS[first.schema]
            offset = {"at": first.id}
            record = SourceRecord(first.topic, values[0], place, offset, schema, first.key, None, None, first.stamp)
            record.headers = first.headers
            yield record
        else:
            batch = SourceBatch(
                topic=first.topic,
                values=values,
                source_partition={"p": first.place},
                offset_at=offset_of(rows),
                value_schema=SCHEMAS[first.schema],
            )
            batch.keys = [row.key for row in rows] if any(row.key is not None for row in rows) else None
            batch.timestamps = [row.stamp for row in rows]
            batch.headers = [row.headers for row in rows]
            yield batch


def offset_of(rows: list[SimpleNamespace]) -> Callable[[int], dict[str, int]]:
    return lambda at: {"at": rows[at].id}


def finish(seen: Seen, reporting: Reporting) -> Seen:
    values = reporting.counters.values()
    seen.counts = {kind: values[name] for kind, name in NAMES.items() if values[name]}
    return seen


def engine_source(case: Case) -> Seen:
    seen = Seen()
    chain, converters, handling, reporting = parts_of(case, seen)
    pipeline, start = SourcePipeline(chain, converters, handling, reporting), 0
    for part in pipeline.slices(list(poll_of(case))):
        survivors = []
        for routed in part.outgoing:
            out = routed.batch
            assert list(routed.rows) == sorted(routed.rows)
            survivors.extend(routed.rows)
            for at, row in enumerate(routed.rows):
                key = None if out.keys is None else out.keys[at]
                stamp = None if out.timestamps is None else out.timestamps[at]
                headers = [] if out.headers is None else list(out.headers[at])
                seen.sent[out.topic].append((start + row, key, out.values[at], stamp, headers))
        for place, rows in part.ledger.split(sorted(survivors)):
            assert place is not None
            seen.offsets[str(place["p"])] = part.ledger.place(rows[-1])[1]
        for row in range(part.rows):
            assert part.record(row).value["id"] == start + row
        if part.failure is not None:
            failed = part.failure.__cause__ or part.failure
            seen.failed = (start + (part.failed_row or 0), text(failed))
        start += part.rows
    return finish(seen, reporting)


def raw_value(row: SimpleNamespace) -> bytes:
    return f"{row.id},{row.n},{row.schema}".encode()


def raw_key(row: SimpleNamespace) -> bytes | None:
    return None if row.key is None else str(row.key).encode()


def raw_headers(row: SimpleNamespace) -> list[tuple[str, bytes | None]]:
    return [(header.name, str(header.value).encode()) for header in row.headers]


def incoming_of(rows: list[SimpleNamespace]) -> list[Incoming]:
    out = []
    for (topic, place), group in itertools.groupby(rows, lambda row: (row.topic, row.place)):
        some = list(group)
        keys = [raw_key(row) for row in some]
        headers = [raw_headers(row) for row in some]
        out.append(
            Incoming(
                topic, place, [row.id for row in some], [raw_value(row) for row in some],
                [-1 if row.stamp is None else row.stamp for row in some],
                keys if any(key is not None for key in keys) else None, headers if any(headers) else None,
            )
        )  # fmt: skip
    return out


def engine_sink(case: Case) -> Seen:
    seen = Seen()
    chain, converters, handling, reporting = parts_of(case, seen)
    pipeline = SinkPipeline(chain, converters, handling, reporting)
    for start in range(0, len(case.rows), SLICE):
        rows = case.rows[start : start + SLICE]
        poll = pipeline.batch(incoming_of(rows))
        assert poll.read == len(rows)
        for row in rows:
            last = max(other.id for other in rows if (other.topic, other.place) == (row.topic, row.place))
            assert poll.positions[row.topic, row.place] == last + 1  # type: ignore[index]
        assert list(range(len(poll.batch))) == sorted(i for group in poll.batch.groups for i in group.rows)
        for at, record in enumerate(poll.batch):
            assert record.row == at
            assert poll.batch.origins[at] == record.origin
            seen.sent["put"].append((record.origin.offset, shown(record)))
        if poll.failure is not None:
            seen.failed = (start + (poll.failed_row or 0), text(poll.failure.__cause__ or poll.failure))
            break
    return finish(seen, reporting)


# ------------------------------------------------------------------------------------------------------ tests


def compare(model: Seen, engine: Seen, poll_start: int | None = None) -> None:
    assert engine.failed == model.failed
    if poll_start is not None:  # a sink puts nothing of the poll that failed
        model.sent["put"] = [item for item in model.sent["put"] if item[0] < poll_start]
    assert {k: v for k, v in engine.sent.items() if v} == {k: v for k, v in model.sent.items() if v}
    assert engine.offsets == model.offsets
    assert engine.reports == model.reports
    assert dict(engine.counts) == dict(model.counts)
    last = model.failed[0] if model.failed else 10**9
    for who in {*model.calls.log, *engine.calls.log} - {"headers"}:
        mine = [number for number in engine.calls.log[who] if number <= last]
        assert mine == model.calls.log[who], who
    mine, theirs = engine.calls.log["headers"], model.calls.log["headers"]
    assert mine == theirs if model.failed is None else mine[: len(theirs)] == theirs


ROWS = st.lists(st.integers(0, 41 * 2 * 8 * 3 * 4 * 4 * 8 - 1), max_size=14)
LINKS = st.lists(st.integers(0, len(KINDS) * 4 * 2 * 2 * len(ASKED) - 1), max_size=5)
MOOD = st.integers(0, 5)
MANY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=False
)


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "SLICE_ROWS", SLICE)


@pytest.mark.timeout(900 if EXAMPLES > 2000 else 240)
@MANY
@given(ROWS, LINKS, MOOD)
def test_a_source_gives_what_one_record_at_a_time_gives(rows: list[int], links: list[int], mood: int) -> None:
    case = case_of(rows, links, mood)
    model = Model(case)
    compare(model.each(model.source, case.rows), engine_source(case))


@pytest.mark.timeout(900 if EXAMPLES > 2000 else 240)
@MANY
@given(ROWS, LINKS, MOOD)
def test_a_sink_gives_what_one_record_at_a_time_gives(rows: list[int], links: list[int], mood: int) -> None:
    case = case_of(rows, links, mood)
    model = Model(case)
    theirs = model.each(model.sink, case.rows)
    start = None if theirs.failed is None else theirs.failed[0] // SLICE * SLICE
    compare(theirs, engine_sink(case), start)
