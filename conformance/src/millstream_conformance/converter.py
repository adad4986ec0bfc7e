"""The suite of converters."""

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from millstream_api import DATE, TIME, TIMESTAMP, DataError, Decoded, Schema, Subject, Type, decimal
from millstream_conformance.calling import Timed, timed
from millstream_conformance.comparing import difference
from millstream_conformance.leftovers import nothing_printed
from millstream_conformance.settings import SettingsConformance
from millstream_conformance.suite import does_not_apply
from millstream_conformance.threads import side_by_side


def _nested() -> Schema:
    inner = Schema(
        Type.STRUCT, optional=True, fields=[("x", Schema(Type.INT8)), ("y", Schema(Type.STRING, optional=True))]
    )
    return Schema(
        Type.STRUCT,
        name="nested",
        fields=[
            ("id", Schema(Type.INT64)),
            ("inner", inner),
            ("list", Schema(Type.ARRAY, value_schema=inner)),
            ("map", Schema(Type.MAP, key_schema=Schema(Type.STRING), value_schema=Schema(Type.INT32))),
        ],
    )


NESTED = _nested()
#: name: (schema, values that fit it)
EXAMPLES: Mapping[str, tuple[Schema, Sequence[Any]]] = {
    "int8": (Schema(Type.INT8), [0, 127, -128]),
    "int16": (Schema(Type.INT16), [0, 32767, -32768]),
    "int32": (Schema(Type.INT32), [0, 2**31 - 1, -(2**31)]),
    "int64": (Schema(Type.INT64), [0, 2**63 - 1, -(2**63)]),
    "float32": (Schema(Type.FLOAT32), [0.0, 1.5, -2.25]),
    "float64": (Schema(Type.FLOAT64), [0.0, 1e300, -1e-7]),
    "boolean": (Schema(Type.BOOLEAN), [True, False]),
    "string": (Schema(Type.STRING), ["", "a", 'ünï €😀\n\t"']),
    "bytes": (Schema(Type.BYTES), [b"", b"\x00\xff"]),
    "array": (Schema(Type.ARRAY, value_schema=Schema(Type.INT32)), [[], [1, 2]]),
    "map": (Schema(Type.MAP, key_schema=Schema(Type.STRING), value_schema=Schema(Type.STRING)), [{}, {"k": "v"}]),
    "map_of_ints": (Schema(Type.MAP, key_schema=Schema(Type.INT32), value_schema=Schema(Type.STRING)), [{1: "v"}]),
    "struct": (NESTED, [{"id": 1, "inner": {"x": 2, "y": None}, "list": [None], "map": {"a": 1}}]),
    "decimal": (decimal(2), [Decimal("1.10"), Decimal("-12345678901234567890.00")]),
    "date": (DATE, [date(1970, 1, 1), date(2024, 2, 29)]),
    "time": (TIME, [time(0, 0), time(23, 59, 59, 999000)]),
    "timestamp": (TIMESTAMP, [datetime(2024, 2, 29, 12, 0, 0, 123000, tzinfo=UTC)]),
}
#: forms without a schema
PLAIN = ["text", 7, 1.5, True, [1, "a"], {"k": [None]}]


class _TimedFunctions:
    """A converter whose methods have their time, as have the functions that they give."""

    def __init__(self, converter: Timed) -> None:
        self._converter = converter

    def encoder(self, subject: Subject) -> Any:
        return timed("the function of the converter's encoder", self._converter.encoder(subject))

    def decoder(self, subject: Subject) -> Any:
        return timed("the function of the converter's decoder", self._converter.decoder(subject))


class ConverterConformance(SettingsConformance):
    """Certifies a converter.

    converter:     `module:Class`.
    config:        settings it runs with, without prefix.
    carries:       names in `millstream_conformance.converter.EXAMPLES` that it carries; all by default.
    schemaless:    whether values without a schema come back as they were.
    keeps_schema:  whether schemas come back, too.
    foreign:       bytes that it cannot read; None when it can read any.
    """

    hook = "register_converters"
    converter: str
    config: Mapping[str, str] = {}
    carries: frozenset[str] = frozenset(EXAMPLES)
    schemaless = True
    keeps_schema = True
    foreign: bytes | None = b"\xff\x00 not of this converter"

    @classmethod
    def settings(cls) -> Mapping[str, str]:
        """`config`, with `converter.type`, which the worker sets."""
        return {"converter.type": "value", **cls.config}

    def _timed(self) -> Any:
        return _TimedFunctions(super()._timed())

    def carried(self) -> Sequence[tuple[Schema, Sequence[Any]]]:
        """A schema of each type that it claims, and values that fit it."""
        return [EXAMPLES[name] for name in sorted(self.carries)]

    def trip(self, schema: Schema | None, values: Sequence[Any]) -> tuple[list[Schema | None], list[Any]]:
        """The schemas and values that come back for a column, in row order.

        Raises what the converter raises; fails the test when a row is missing or comes twice.
        """
        converter = self._timed()
        data = converter.encoder(Subject("topic", schema, "value"))(values, None)
        assert len(data) == len(values)
        schemas: list[Schema | None] = [None] * len(values)
        back: list[Any] = [None] * len(values)
        seen: list[int] = []
        for group in converter.decoder(Subject("topic", None, "value"))(data, None):
            at = range(len(values)) if group.at is None else group.at
            seen.extend(at)
            for row, value in zip(at, group.values, strict=True):
                schemas[row], back[row] = group.schema, value
        assert sorted(seen) == list(range(len(values))), "each row is in exactly one group"
        return schemas, back

    @pytest.mark.parametrize("name", EXAMPLES)
    @pytest.mark.parametrize("optional", [False, True], ids=["required", "optional"])
    def test_values_of_every_type_come_back(self, name: str, optional: bool) -> None:
        if name not in self.carries:
            does_not_apply(f"the converter does not claim to carry {name}")
        schema, values = EXAMPLES[name]
        if optional:
            schema, values = schema.replace(optional=True), [*values, None]
        before = copy.deepcopy(values)
        schemas, back = self.trip(schema, values)
        assert not difference(back, before)
        assert not difference(values, before), "the converter changed what it was given"
        if self.keeps_schema:
            assert not difference(set(schemas), {schema})

    def test_a_column_is_the_same_as_its_rows_one_by_one(self) -> None:
        for schema, values in self.carried():
            encode = self._timed().encoder(Subject("topic", schema, "value"))
            assert not difference(
                list(encode(values, None)), [data for value in values for data in encode([value], None)]
            )

    def test_reading_a_column_is_the_same_as_reading_its_rows_and_changes_nothing(self) -> None:
        for schema, values in self.carried():
            converter = self._timed()
            data = list(converter.encoder(Subject("topic", schema, "value"))(values, None))
            before = list(data)
            decode = converter.decoder(Subject("topic", None, "value"))
            whole = _rows(decode(data, None), len(data))
            assert not difference(whole, [row for each in data for row in _rows(decode([each], None), 1)])
            assert not difference(data, before), "the converter changed what it was given"

    def test_a_function_is_pure_across_threads(self) -> None:
        """Other values on each thread: who keeps a column aside mixes them up."""
        for schema, values in self.carried():
            converter = self._timed()
            encode = converter.encoder(Subject("topic", schema, "value"))
            decode = converter.decoder(Subject("topic", None, "value"))
            written = list(encode(values, None))
            read = _rows(decode(written, None), len(written))
            at = [row % len(values) for row in range(200)]
            texts = side_by_side(partial(_one, encode.__wrapped__), [values[row] for row in at])
            assert not difference([list(text) for text in texts], [[written[row]] for row in at]), "writing"
            groups = side_by_side(partial(_one, decode.__wrapped__), [written[row] for row in at])
            assert not difference([_rows(group, 1) for group in groups], [[read[row]] for row in at]), "reading"

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        for schema, values in self.carried():
            self.trip(schema, values)
        nothing_printed(capfd)

    def test_nothing_is_nothing_both_ways(self) -> None:
        converter = self._timed()
        assert list(converter.encoder(Subject("topic", None, "value"))([None], None)) == [None]
        (group,) = converter.decoder(Subject("topic", None, "value"))([None], None)
        assert list(group.values) == [None]

    @pytest.mark.parametrize("value", PLAIN, ids=repr)
    def test_values_without_a_schema_come_back(self, value: Any) -> None:
        if not self.schemaless:
            does_not_apply("the converter does not claim values without a schema")
        assert self.trip(None, [value]) == ([None], [value])

    def test_foreign_bytes_are_a_data_error(self) -> None:
        if self.foreign is None:
            does_not_apply("any bytes can be read")
        with pytest.raises(DataError):
            self._timed().decoder(Subject("topic", None, "value"))([self.foreign], None)


def _one(function: Callable[[Sequence[Any], None], Any], value: Any) -> Any:
    return function([value], None)


def _rows(groups: Sequence[Decoded], count: int) -> list[tuple[Schema | None, Any]]:
    rows: list[tuple[Schema | None, Any]] = [(None, None)] * count
    for group in groups:
        for at, value in zip(range(count) if group.at is None else group.at, group.values, strict=True):
            rows[at] = (group.schema, value)
    return rows
