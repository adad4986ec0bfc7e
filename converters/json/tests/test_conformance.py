"""The JSON converter, certified by the kit, with and without schemas."""

from millstream_conformance import ConverterConformance, HeaderConverterConformance


class TestJsonWithSchemas(ConverterConformance):
    converter = "millstream_json.converter:JsonConverter"


class TestJsonWithoutSchemas(ConverterConformance):
    converter = "millstream_json.converter:JsonConverter"
    config = {"schemas.enable": "false"}
    carries = frozenset({"int8", "int16", "int32", "int64", "float64", "boolean", "string", "array", "map"})
    keeps_schema = False


class TestJsonHeadersWithSchemas(HeaderConverterConformance):
    converter = "millstream_json.converter:JsonConverter"


class TestJsonHeadersWithoutSchemas(HeaderConverterConformance):
    converter = "millstream_json.converter:JsonConverter"
    config = {"schemas.enable": "false"}
    carries = frozenset({"int8", "int16", "int32", "int64", "float64", "boolean", "string", "array", "map"})
    keeps_schema = False
