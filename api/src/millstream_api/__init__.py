"""The contract between Millstream and its plugins: everything public, importable from here.

A module is loaded when one of its names is asked for, so that a plugin that only says where its classes are
does not pay for the rest. tests/test_public_api.py holds the three lists to one another.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream_api.cluster import Cluster, ConnectorHealth, PartHealth
    from millstream_api.config import (
        REQUIRED,
        C,
        Config,
        ConfigType,
        Definition,
        Importance,
        Long,
        Originals,
        Plugin,
        PluginClass,
        Recommend,
        Resolve,
        Secret,
        Settings,
        Short,
        Validated,
        Validator,
        Visible,
        Width,
        all_of,
        at_least,
        at_most_items,
        between,
        embed,
        groups_of,
        java_text,
        key,
        list_of,
        no_control_characters,
        non_empty,
        non_empty_list,
        non_null,
        one_of,
        one_of_ignoring_case,
        parse_all,
        parse_value,
        satisfies,
        setting_text,
        valid_regex,
        validate_all,
    )
    from millstream_api.connector import Connector, Support, Task
    from millstream_api.context import ConnectorContext, Context, SinkContext, SourceContext, SourceOffsets, Transaction
    from millstream_api.converter import Converter, Decode, Decoded, Encode, HeaderConverter, Subject
    from millstream_api.errors import ConfigError, DataError, MillstreamError, PluginError, Problem, RetriableError
    from millstream_api.extension import App, RestExtension
    from millstream_api.headers import Header, Headers
    from millstream_api.hookspecs import NAMESPACE, PluginRef, hookimpl, hookspec
    from millstream_api.logical import (
        DATE,
        DATE_NAME,
        DECIMAL_NAME,
        OPTIONAL_DATE,
        OPTIONAL_TIME,
        OPTIONAL_TIMESTAMP,
        TIME,
        TIME_NAME,
        TIMESTAMP,
        TIMESTAMP_NAME,
        Codec,
        codec,
        decimal,
        decimal_scale,
        from_logical,
        to_logical,
    )
    from millstream_api.policy import ClientConfigPolicy, OverrideRequest
    from millstream_api.predicate import Predicate
    from millstream_api.projection import project
    from millstream_api.provider import ConfigProvider, Provided
    from millstream_api.records import (
        Origin,
        Place,
        R,
        Record,
        RecordBatch,
        SinkBatch,
        SinkRecord,
        SourceBatch,
        SourceRecord,
        TopicPartition,
        records_of,
    )
    from millstream_api.schema import (
        BOOLEAN,
        BYTES,
        FLOAT32,
        FLOAT64,
        INT8,
        INT16,
        INT32,
        INT64,
        OPTIONAL_BOOLEAN,
        OPTIONAL_BYTES,
        OPTIONAL_FLOAT32,
        OPTIONAL_FLOAT64,
        OPTIONAL_INT8,
        OPTIONAL_INT16,
        OPTIONAL_INT32,
        OPTIONAL_INT64,
        OPTIONAL_STRING,
        STRING,
        Attributes,
        Field,
        Schema,
        Type,
    )
    from millstream_api.sink import SinkConnector, SinkTask
    from millstream_api.source import SourceConnector, SourceTask
    from millstream_api.transformation import Transformation
    from millstream_api.values import (
        check,
        convert_to_string,
        float32,
        java_decimal,
        java_float,
        narrow,
        parse_float,
        parse_integer,
        parse_string,
        text_of,
    )

__all__ = [
    "BOOLEAN",
    "BYTES",
    "DATE",
    "DATE_NAME",
    "DECIMAL_NAME",
    "FLOAT32",
    "FLOAT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "NAMESPACE",
    "OPTIONAL_BOOLEAN",
    "OPTIONAL_BYTES",
    "OPTIONAL_DATE",
    "OPTIONAL_FLOAT32",
    "OPTIONAL_FLOAT64",
    "OPTIONAL_INT8",
    "OPTIONAL_INT16",
    "OPTIONAL_INT32",
    "OPTIONAL_INT64",
    "OPTIONAL_STRING",
    "OPTIONAL_TIME",
    "OPTIONAL_TIMESTAMP",
    "REQUIRED",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_NAME",
    "TIME_NAME",
    "App",
    "Attributes",
    "C",
    "ClientConfigPolicy",
    "Cluster",
    "Codec",
    "Config",
    "ConfigError",
    "ConfigProvider",
    "ConfigType",
    "Connector",
    "ConnectorContext",
    "ConnectorHealth",
    "Context",
    "Converter",
    "DataError",
    "Decode",
    "Decoded",
    "Definition",
    "Encode",
    "Field",
    "Header",
    "HeaderConverter",
    "Headers",
    "Importance",
    "Long",
    "MillstreamError",
    "Origin",
    "Originals",
    "OverrideRequest",
    "PartHealth",
    "Place",
    "Plugin",
    "PluginClass",
    "PluginError",
    "PluginRef",
    "Predicate",
    "Problem",
    "Provided",
    "R",
    "Recommend",
    "Record",
    "RecordBatch",
    "Resolve",
    "RestExtension",
    "RetriableError",
    "Schema",
    "Secret",
    "Settings",
    "Short",
    "SinkBatch",
    "SinkConnector",
    "SinkContext",
    "SinkRecord",
    "SinkTask",
    "SourceBatch",
    "SourceConnector",
    "SourceContext",
    "SourceOffsets",
    "SourceRecord",
    "SourceTask",
    "Subject",
    "Support",
    "Task",
    "TopicPartition",
    "Transaction",
    "Transformation",
    "Type",
    "Validated",
    "Validator",
    "Visible",
    "Width",
    "all_of",
    "at_least",
    "at_most_items",
    "between",
    "check",
    "codec",
    "convert_to_string",
    "decimal",
    "decimal_scale",
    "embed",
    "float32",
    "from_logical",
    "groups_of",
    "hookimpl",
    "hookspec",
    "java_decimal",
    "java_float",
    "java_text",
    "key",
    "list_of",
    "narrow",
    "no_control_characters",
    "non_empty",
    "non_empty_list",
    "non_null",
    "one_of",
    "one_of_ignoring_case",
    "parse_all",
    "parse_float",
    "parse_integer",
    "parse_string",
    "parse_value",
    "project",
    "records_of",
    "satisfies",
    "setting_text",
    "text_of",
    "to_logical",
    "valid_regex",
    "validate_all",
]

_NAMES = {
    "cluster": "Cluster ConnectorHealth PartHealth",
    "config": (
        "REQUIRED C Config ConfigType Definition Importance Long Originals Plugin PluginClass Recommend "
        "Resolve Secret Settings Short Validated Validator Visible Width all_of at_least at_most_items "
        "between embed groups_of java_text key list_of no_control_characters non_empty non_empty_list "
        "non_null one_of one_of_ignoring_case parse_all parse_value satisfies setting_text valid_regex "
        "validate_all"
    ),
    "connector": "Connector Support Task",
    "context": "ConnectorContext Context SinkContext SourceContext SourceOffsets Transaction",
    "converter": "Converter Decode Decoded Encode HeaderConverter Subject",
    "errors": "ConfigError DataError MillstreamError PluginError Problem RetriableError",
    "extension": "App RestExtension",
    "headers": "Header Headers",
    "hookspecs": "NAMESPACE PluginRef hookimpl hookspec",
    "logical": (
        "DATE DATE_NAME DECIMAL_NAME OPTIONAL_DATE OPTIONAL_TIME OPTIONAL_TIMESTAMP TIME TIMESTAMP "
        "TIMESTAMP_NAME TIME_NAME Codec codec decimal decimal_scale from_logical to_logical"
    ),
    "policy": "ClientConfigPolicy OverrideRequest",
    "predicate": "Predicate",
    "projection": "project",
    "provider": "ConfigProvider Provided",
    "records": (
        "Origin Place R Record RecordBatch SinkBatch SinkRecord SourceBatch SourceRecord TopicPartition records_of"
    ),
    "schema": (
        "BOOLEAN BYTES FLOAT32 FLOAT64 INT8 INT16 INT32 INT64 OPTIONAL_BOOLEAN OPTIONAL_BYTES "
        "OPTIONAL_FLOAT32 OPTIONAL_FLOAT64 OPTIONAL_INT8 OPTIONAL_INT16 OPTIONAL_INT32 OPTIONAL_INT64 "
        "OPTIONAL_STRING STRING Attributes Field Schema Type"
    ),
    "sink": "SinkConnector SinkTask",
    "source": "SourceConnector SourceTask",
    "transformation": "Transformation",
    "values": (
        "check convert_to_string float32 java_decimal java_float narrow parse_float parse_integer parse_string text_of"
    ),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


if not TYPE_CHECKING:  # a misspelt name is for mypy to find

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
