"""The suite of header converters."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from millstream_api import DataError, Schema
from millstream_conformance.converter import EXAMPLES, PLAIN
from millstream_conformance.leftovers import nothing_printed
from millstream_conformance.settings import SettingsConformance
from millstream_conformance.suite import does_not_apply

TOPIC, NAME = "topic", "name"


class HeaderConverterConformance(SettingsConformance):
    """Certifies a header converter.

    converter:     `module:Class`.
    config:        settings it runs with, without prefix.
    carries:       names in `millstream_conformance.converter.EXAMPLES` whose values come back as they were; all by
                   default.
    keeps_schema:  whether their schemas come back, too.
    schemaless:    whether values without a schema come back as they were.
    foreign:       bytes that it cannot read; None when it can read any.
    """

    hook = "register_header_converters"
    converter: str
    config: Mapping[str, str] = {}
    carries: frozenset[str] = frozenset(EXAMPLES)
    keeps_schema = True
    schemaless = True
    foreign: bytes | None = b"\xff\x00 not of this converter"

    @classmethod
    def settings(cls) -> Mapping[str, str]:
        """`config`, with `converter.type`, which the worker sets."""
        return {"converter.type": "header", **cls.config}

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_values_of_every_type_come_back(self, name: str) -> None:
        if name not in self.carries:
            does_not_apply(f"the converter does not claim to carry {name}")
        schema, values = EXAMPLES[name]
        converter = self._timed()
        for value in values:
            before = copy.deepcopy(value)
            data = converter.to_bytes(TOPIC, NAME, value, schema)
            assert data is None or isinstance(data, bytes)
            assert value == before, "to_bytes changed what it was given"
            found, back = converter.from_bytes(TOPIC, NAME, data)
            assert (type(back), back) == (type(value), value)
            if self.keeps_schema:
                assert found == schema

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_a_value_is_written_or_refused_as_data(self, name: str) -> None:
        schema, values = EXAMPLES[name]
        converter = self._timed()
        for value in values:
            try:
                data = converter.to_bytes(TOPIC, NAME, value, schema)
            except DataError:
                continue
            assert data is None or isinstance(data, bytes)

    def test_the_same_value_gives_the_same_bytes(self) -> None:
        for schema, values in map(EXAMPLES.__getitem__, sorted(self.carries)):
            converter = self._timed()
            first = [converter.to_bytes(TOPIC, NAME, value, schema) for value in values]
            assert [converter.to_bytes(TOPIC, NAME, value, schema) for value in values] == first
            assert [self._timed().to_bytes(TOPIC, NAME, value, schema) for value in values] == first

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        converter = self._timed()
        for schema, values in map(EXAMPLES.__getitem__, sorted(self.carries)):
            for value in values:
                converter.from_bytes(TOPIC, NAME, converter.to_bytes(TOPIC, NAME, value, schema))
        nothing_printed(capfd)

    def test_nothing_is_nothing_both_ways(self) -> None:
        converter = self._timed()
        assert converter.from_bytes(TOPIC, NAME, converter.to_bytes(TOPIC, NAME, None, None))[1] is None
        assert converter.from_bytes(TOPIC, NAME, None)[1] is None

    @pytest.mark.parametrize("value", PLAIN, ids=repr)
    def test_values_without_a_schema_come_back(self, value: Any) -> None:
        if not self.schemaless:
            does_not_apply("the converter does not claim values without a schema")
        converter = self._timed()
        assert converter.from_bytes(TOPIC, NAME, converter.to_bytes(TOPIC, NAME, value, None)) == (None, value)

    def test_foreign_bytes_are_a_data_error(self) -> None:
        if self.foreign is None:
            does_not_apply("any bytes can be read")
        with pytest.raises(DataError):
            self._timed().from_bytes(TOPIC, NAME, self.foreign)

    def test_what_it_reads_has_a_schema_of_the_api_or_none(self) -> None:
        schema, values = EXAMPLES[sorted(self.carries)[0]]
        converter = self._timed()
        found, _ = converter.from_bytes(TOPIC, NAME, converter.to_bytes(TOPIC, NAME, values[0], schema))
        assert found is None or isinstance(found, Schema)
