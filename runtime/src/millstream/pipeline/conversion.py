"""Values to bytes and back, a column at a time, by functions compiled once for each subject."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, Literal, TypeVar, overload

from millstream.broker.deferred import Deferred
from millstream.broker.ports import Outgoing
from millstream.errors import DataError, PluginError
from millstream.pipeline.form import name_of
from millstream.pipeline.grouping import below, joined, merged
from millstream.pipeline.promises import (
    BrokenPromise,
    Function,
    check_decoded,
    check_encoded,
    check_function,
    check_topic,
)
from millstream.pipeline.tolerance import Journal, Lost, Site, Stage
from millstream_api import Converter, Decode, Decoded, Encode, Header, HeaderConverter, RecordBatch, Schema, Subject

Role = Literal["key", "value"]
T = TypeVar("T")

MAX_COMPILED = 1024


@dataclass(frozen=True, slots=True)
class Converters:
    """The three converters of a task, configured.

    class_names: what logs and dead letters call (key, value, header); by default module:Class.
    """

    key: Converter[Any]
    value: Converter[Any]
    header: HeaderConverter[Any]
    class_names: tuple[str, str, str] = ("", "", "")

    def sites(self) -> tuple[Site, Site, Site]:
        """Where key, value and header conversion fail."""
        stages = (Stage.KEY_CONVERTER, Stage.VALUE_CONVERTER, Stage.HEADER_CONVERTER)
        plugins = (self.key, self.value, self.header)
        key, value, header = (
            Site(stage, name or name_of(plugin))
            for stage, plugin, name in zip(stages, plugins, self.class_names, strict=True)
        )
        return key, value, header


@dataclass(slots=True)
class Routed:
    """Rows for one topic: `batch`'s row i is row `rows[i]` of the slice; ascending."""

    batch: Outgoing
    rows: Sequence[int]


class Compiled(Generic[T]):
    """What was made for a subject; the oldest goes when topics and schemas never end."""

    def __init__(self, make: Callable[[Subject], T]) -> None:
        self._make = make
        self._made: dict[tuple[str, int, str], tuple[T, Subject]] = {}

    def __getitem__(self, subject: Subject) -> T:
        """Raises what the converter's compiler raises; nothing is kept then."""
        name = (subject.topic, id(subject.schema), subject.role)  # the entry keeps its schema, so the id stays its own
        found = self._made.get(name)
        if found is not None:
            return found[0]
        made = self._make(subject)
        if len(self._made) >= MAX_COMPILED:
            del self._made[next(iter(self._made))]
        self._made[name] = (made, subject)
        return made


class HeaderRows(Sequence[list[Header]]):
    """Lists of headers that an encoder may append to, made when it looks at them: most never do."""

    __slots__ = ("_count", "_given", "made")

    def __init__(self, count: int, given: Sequence[Sequence[Header]] | None) -> None:
        self._count = count
        self._given = given
        self.made: list[list[Header]] | None = None

    def _lists(self) -> list[list[Header]]:
        if self.made is None:
            given = self._given
            self.made = [[] for _ in range(self._count)] if given is None else [list(headers) for headers in given]
        return self.made

    @property
    def result(self) -> Sequence[Sequence[Header]] | None:
        """The headers after the encoder; what was given if it took no interest."""
        if self.made is None or not (self._given is not None or any(self.made)):
            return self._given
        return self.made

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Header]]:
        return iter(self._lists())

    @overload
    def __getitem__(self, index: int) -> list[Header]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[Header]]: ...
    def __getitem__(self, index: int | slice) -> list[Header] | list[list[Header]]:
        return self._lists()[index]


def one_by_one(
    batch: RecordBatch, site: Site, journal: Journal, convert: Callable[[int], T]
) -> tuple[RecordBatch, list[T]]:
    """Convert row after row, `convert(index)`; gives the rows that went well and their results."""
    kept: list[int] = []
    results: list[T] = []
    for at, row in enumerate(batch.rows):
        if row >= journal.limit:
            break
        try:
            result: T | Lost = convert(at)
        except Exception as error:  # noqa: BLE001 - plugin code; the journal decides and tells
            result = journal.settle(row, site, error, lambda: convert(at))  # noqa: B023 - called at once
        if not isinstance(result, Lost):
            kept.append(at)
            results.append(result)
    return (batch if len(kept) == len(batch) else batch.take(kept)), results


class SourceConversion:
    """Columns to bytes: headers, key, value; a row ends at the first of them that fails."""

    def __init__(self, converters: Converters) -> None:
        self._header = converters.header
        self._sites = dict(zip(("key", "value", "header"), converters.sites(), strict=True))
        self._converters = converters
        self._broken = BrokenPromise()
        self._encoders: Compiled[Encode] = Compiled(self._encoder)
        self._silent: Compiled[bool] = Compiled(self._null_is_no_bytes)

    def run(self, groups: Sequence[RecordBatch], journal: Journal) -> list[Routed]:
        """Encode all groups; one entry a topic, rows ascending and less than `journal.limit`."""
        done: dict[str, list[RecordBatch]] = {}
        for group in groups:
            check_topic(group.topic)
        for group in self._with_headers(groups, journal):
            batch = self._encoded(self._encoded(group, "key", journal), "value", journal)
            done.setdefault(batch.topic, []).append(stamped(batch, journal))
        routed: list[Routed] = []
        for batches in done.values():
            left = [some for some in (below(batch, journal.limit) for batch in batches) if len(some)]
            if left:
                routed.append(_outgoing(joined(left)))
        return routed

    def _with_headers(self, groups: Sequence[RecordBatch], journal: Journal) -> Sequence[RecordBatch]:
        """Header converters have a record form only: one header after the other, in row order across groups."""
        if not [group for group in groups if group.headers is not None]:
            return groups
        whole = joined(groups)
        owner = {row: number for number, group in enumerate(groups) for row in group.rows}
        at_home = {row: at for group in groups for at, row in enumerate(group.rows)}
        to_bytes, headers = self._header.to_bytes, whole.headers
        assert headers is not None

        def convert(at: int) -> list[Header]:
            topic = groups[owner[whole.rows[at]]].topic
            try:
                return [Header(name, to_bytes(topic, name, value, schema)) for name, value, schema in headers[at]]
            except Exception as error:
                _check_headers(headers[at], error)
                raise

        kept, converted = one_by_one(whole, self._sites["header"], journal, convert)
        rows: list[list[int]] = [[] for _ in groups]
        made: list[list[list[Header]]] = [[] for _ in groups]
        for row, result in zip(kept.rows, converted, strict=True):
            rows[owner[row]].append(at_home[row])
            made[owner[row]].append(result)
        return [
            group.take(at).replace(headers=some if any(some) else None)
            for group, at, some in zip(groups, rows, made, strict=True)
            if at
        ]

    def _encoder(self, subject: Subject) -> Encode:
        converter = self._converters.key if subject.role == "key" else self._converters.value
        made = converter.encoder(_checked(subject))
        check_function(made, self._whose(subject))
        return made

    def _whose(self, subject: Subject) -> Function:
        return Function("encoder", self._sites[subject.role].class_name, subject)

    def _encoded(self, batch: RecordBatch, role: Role, journal: Journal) -> RecordBatch:
        subject = Subject(batch.topic, batch.key_schema if role == "key" else batch.value_schema, role)
        column = batch.keys if role == "key" else batch.values
        if not len(batch):
            return batch
        if column is None:
            if self._silent[subject]:
                return batch
            column = [None] * len(batch)
        given = batch.headers
        lists = HeaderRows(len(column), given)
        encoded: Sequence[bytes | None] | None
        try:
            encoded = self._call(subject, column, lists)
        except PluginError as error:
            encoded = None
            self._broken.tell(error)
        except Exception:  # noqa: BLE001 - plugin code; the same rows are tried one by one, and told then
            encoded = None  # and not here: what a row raises would have this one as its context, and be told twice
        if encoded is None:
            return self._encoded_alone(batch, subject, column, journal)
        return _with_bytes(batch, role, encoded, lists.result)

    def _encoded_alone(
        self, batch: RecordBatch, subject: Subject, column: Sequence[Any], journal: Journal
    ) -> RecordBatch:
        def convert(at: int) -> tuple[bytes | None, Sequence[Header]]:
            lists = HeaderRows(1, None if batch.headers is None else [batch.headers[at]])
            (data,) = self._call(subject, [column[at]], lists)
            return data, lists[0]

        kept, results = one_by_one(batch, self._sites[subject.role], journal, convert)
        headers = [added for _, added in results]
        role: Role = "key" if subject.role == "key" else "value"
        return _with_bytes(kept, role, [data for data, _ in results], headers if any(headers) else None)

    def _call(self, subject: Subject, column: Sequence[Any], headers: HeaderRows) -> Sequence[bytes | None]:
        encoded = self._encoders[subject](column, headers)
        if type(encoded) is not list or len(encoded) != len(column) or type(encoded[0]) is not bytes:
            check_encoded(encoded, len(column), self._whose(subject))
        return encoded

    def _null_is_no_bytes(self, subject: Subject) -> bool:
        """Encoders are pure: what one null becomes, all become."""
        try:
            lists = HeaderRows(1, None)
            return self._call(subject, [None], lists)[0] is None and lists.result is None
        except Exception:  # noqa: BLE001 - told by the rows themselves, which are encoded next
            return False


def _with_bytes(
    batch: RecordBatch, role: Role, data: Sequence[bytes | None], headers: Sequence[Sequence[Header]] | None
) -> RecordBatch:
    if role == "key":
        return batch.replace(keys=data, headers=headers)
    return batch.replace(values=data, headers=headers)


def _outgoing(batch: RecordBatch) -> Routed:
    headers = batch.headers
    rows = None if headers is None else [[(name, value) for name, value, _ in some] for some in headers]
    return Routed(Outgoing(batch.topic, batch.values, batch.keys, batch.partitions, batch.timestamps, rows), batch.rows)


def _checked(subject: Subject) -> Subject:
    schema: object = subject.schema  # a plugin that nobody type-checked may have given anything
    if schema is not None and not isinstance(schema, Schema):
        what = f"the {subject.role} schema of a record for topic {subject.topic!r} is a {type(schema).__name__}"
        raise PluginError(f"{what}; it must be a Schema, such as millstream_api.STRING, or None")
    return subject


def _check_headers(headers: Any, error: Exception) -> None:
    """Raise PluginError if it was the headers' form that a converter failed of."""
    if not isinstance(headers, Sequence) or not all(isinstance(one, tuple) and len(one) == 3 for one in headers):
        raise PluginError(
            "headers of a record are no list of Header(name, value, schema); make them with millstream_api.Header"
        ) from error


#: milliseconds since 1970, of a record in the log: 64 bits with a sign
LARGEST_STAMP = (1 << 63) - 1


def stamped(batch: RecordBatch, journal: Journal) -> RecordBatch:
    """Timestamps as Kafka has them: -1 is none; a row with another negative one ends the task (ConnectUtils.java).

    So does one that 64 bits do not hold, which Java cannot even say.
    """
    stamps: Any = batch.timestamps
    if stamps is None or not len(stamps):
        return batch
    first = stamps[0]
    if (
        isinstance(first, int)
        and 0 <= first <= LARGEST_STAMP
        and stamps.count(first) == len(stamps)
        and type(sum(stamps)) is int
    ):
        return batch  # one moment for all, the usual case: at a third of what asking each one costs
    if None not in stamps and _all_times(stamps):
        return batch
    for row, stamp in zip(batch.rows, stamps, strict=True):
        if stamp is not None and not (isinstance(stamp, int) and -1 <= stamp <= LARGEST_STAMP):
            journal.cut(row, DataError(f"Invalid record timestamp{_wrong(stamp)}"))
            break
    return batch.replace(timestamps=[None if stamp == -1 else stamp for stamp in stamps])


def _wrong(stamp: Any) -> str:
    if not isinstance(stamp, int):
        return f": a {type(stamp).__name__}; milliseconds since 1970 are an int"
    if stamp < 0:
        return f" {stamp}"
    return f": a number of {stamp.bit_length()} bits; milliseconds since 1970 have at most 63"


def times(stamps: list[int]) -> list[int | None]:
    """What `stamped` gives, of timestamps that nobody has looked at before; a row that has none it can have raises."""
    if not stamps or min(stamps) >= 0:
        return [*stamps]
    for stamp in stamps:
        if stamp < -1:
            raise DataError(f"Invalid record timestamp{_wrong(stamp)}")
    return [None if stamp == -1 else stamp for stamp in stamps]


def _all_times(stamps: Sequence[Any]) -> bool:
    """Whether all are whole and not negative; the sum of ints alone is an int, at C's speed."""
    try:
        return min(stamps) >= 0 and max(stamps) <= LARGEST_STAMP and type(sum(stamps)) is int
    except TypeError:
        return False


class SinkConversion:
    """Bytes to columns: key, value, headers; a row ends at the first of them that fails.

    defer: a column that the consumer has deferred may stay so: there is nothing but the plugin that may look at it.
    """

    def __init__(self, converters: Converters, defer: bool = False) -> None:
        self._defer = defer
        self._header = converters.header
        self._sites = dict(zip(("key", "value", "header"), converters.sites(), strict=True))
        self._converters = converters
        self._broken = BrokenPromise()
        self._decoders: Compiled[Decode] = Compiled(self._decoder)
        self._nulls: Compiled[tuple[Schema | None] | None] = Compiled(self._schema_of_null)

    def run(self, groups: Sequence[RecordBatch], journal: Journal) -> list[RecordBatch]:
        """Decode groups of one topic each, whose columns are bytes and whose headers are undecoded."""
        decoded: list[RecordBatch] = []
        for group in groups:
            for half in self._decoded(group, "key", journal):
                decoded.extend(self._decoded(half, "value", journal))
        with_headers = self._with_headers(merged([batch for batch in decoded if len(batch)]), journal)
        done = [self._stamped(batch, journal) for batch in with_headers]
        left = (below(batch, journal.limit) for batch in done)
        return [batch for batch in left if len(batch)]

    def _decoder(self, subject: Subject) -> Decode:
        converter = self._converters.key if subject.role == "key" else self._converters.value
        made = converter.decoder(subject)
        check_function(made, self._whose(subject))
        return made

    def _whose(self, subject: Subject) -> Function:
        return Function("decoder", self._sites[subject.role].class_name, subject)

    def _stamped(self, batch: RecordBatch, journal: Journal) -> RecordBatch:
        stamps = batch.timestamps
        if not isinstance(stamps, Deferred):
            return stamped(batch, journal)
        if self._defer:
            return batch.replace(timestamps=stamps.then(times))
        return stamped(batch.replace(timestamps=stamps.values()), journal)

    def _decoded(self, batch: RecordBatch, role: Role, journal: Journal) -> Sequence[RecordBatch]:
        subject = Subject(batch.topic, None, role)
        column = batch.keys if role == "key" else batch.values
        if column is None:
            known = self._nulls[subject]
            if known is not None:
                return [batch.replace(key_schema=known[0])]
            column = [None] * len(batch)
        parts: Sequence[Decoded] | None
        try:
            parts = self._call(subject, column, batch.headers)
        except PluginError as error:
            parts = None
            self._broken.tell(error)
        except Exception:  # noqa: BLE001 - plugin code; the same rows are tried one by one, and told then
            parts = None  # and not here: what a row raises would have this one as its context, and be told twice
        if parts is None:
            return self._decoded_alone(batch, subject, column, journal)
        return [
            _with_values(batch if part.at is None else batch.take(part.at), role, part.schema, part.values)
            for part in parts
            if len(part.values)
        ]

    def _decoded_alone(
        self, batch: RecordBatch, subject: Subject, column: Sequence[bytes | None], journal: Journal
    ) -> Sequence[RecordBatch]:
        headers = batch.headers

        def convert(at: int) -> tuple[Schema | None, Any]:
            parts = self._call(subject, [column[at]], None if headers is None else [headers[at]])
            (part,) = (some for some in parts if len(some.values))
            return part.schema, part.values[0]

        kept, results = one_by_one(batch, self._sites[subject.role], journal, convert)
        found: dict[int, list[int]] = {}
        for at, (schema, _) in enumerate(results):
            found.setdefault(id(schema), []).append(at)
        role: Role = "key" if subject.role == "key" else "value"
        return [
            _with_values(kept.take(at), role, results[at[0]][0], [results[i][1] for i in at]) for at in found.values()
        ]

    def _call(
        self, subject: Subject, column: Sequence[bytes | None], headers: Sequence[Sequence[Header]] | None
    ) -> Sequence[Decoded]:
        parts = self._decoders[subject](column, headers)
        check_decoded(parts, self._whose(subject))
        if len(parts) == 1 and parts[0].at is None and len(parts[0].values) == len(column):
            return parts
        shares = [range(len(column)) if part.at is None else part.at for part in parts]
        whole = sorted(chain.from_iterable(shares)) == list(range(len(column)))
        if not whole or any(len(part.values) != len(at) for part, at in zip(parts, shares, strict=True)):
            repeated = f"left out or repeated some of {len(column)} rows; each belongs to one group"
            raise PluginError(f"{self._whose(subject)} {repeated}")
        return parts

    def _schema_of_null(self, subject: Subject) -> tuple[Schema | None] | None:
        """Decoders are pure: what one null becomes, all become. None: something else than null."""
        try:
            (part,) = self._call(subject, [None], None)
        except Exception:  # noqa: BLE001 - told by the rows themselves, which are decoded next
            return None
        return None if part.values[0] is not None else (part.schema,)

    def _with_headers(self, batches: Sequence[RecordBatch], journal: Journal) -> Sequence[RecordBatch]:
        """Header converters have a record form only: one header after the other, in row order across groups."""
        if all(batch.headers is None for batch in batches):
            return batches
        homes = sorted((row, number, at) for number, batch in enumerate(batches) for at, row in enumerate(batch.rows))
        whole = joined(batches)
        from_bytes, headers = self._header.from_bytes, whole.headers
        assert headers is not None

        def convert(at: int) -> list[Header]:
            topic, out = batches[homes[at][1]].topic, []
            for name, data, _ in headers[at]:
                schema, value = from_bytes(topic, name, data)
                out.append(Header(name, value, schema))
            return out

        kept, converted = one_by_one(whole, self._sites["header"], journal, convert)
        made = dict(zip(kept.rows, converted, strict=True))
        out = []
        for batch in batches:
            at = [i for i, row in enumerate(batch.rows) if row in made]
            some = [made[batch.rows[i]] for i in at]
            out.append(batch.take(at).replace(headers=some if any(some) else None))
        return out


def _with_values(batch: RecordBatch, role: Role, schema: Schema | None, values: Sequence[Any]) -> RecordBatch:
    if role == "key":
        return batch.replace(key_schema=schema, keys=values)
    return batch.replace(value_schema=schema, values=values)
