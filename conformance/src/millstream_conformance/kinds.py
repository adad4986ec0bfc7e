"""The kinds of plugins: by the hook that registers them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from millstream_api import (
    ClientConfigPolicy,
    ConfigProvider,
    Converter,
    HeaderConverter,
    Predicate,
    RestExtension,
    SinkConnector,
    SourceConnector,
    Transformation,
)


class Kind(NamedTuple):
    """word: what people call it.   base: what it derives from.   suite: certifies it.   attribute: names it there."""

    word: str
    base: type[Any]
    suite: str
    attribute: str


KINDS: Mapping[str, Kind] = {
    "register_sources": Kind("source", SourceConnector, "SourceConformance", "connector"),
    "register_sinks": Kind("sink", SinkConnector, "SinkConformance", "connector"),
    "register_converters": Kind("converter", Converter, "ConverterConformance", "converter"),
    "register_header_converters": Kind("header converter", HeaderConverter, "HeaderConverterConformance", "converter"),
    "register_transformations": Kind("transformation", Transformation, "TransformationConformance", "transformation"),
    "register_predicates": Kind("predicate", Predicate, "PredicateConformance", "predicate"),
    "register_config_providers": Kind("config provider", ConfigProvider, "ConfigProviderConformance", "provider"),
    "register_rest_extensions": Kind("REST extension", RestExtension, "RestExtensionConformance", "extension"),
    "register_client_policies": Kind("client policy", ClientConfigPolicy, "ClientConfigPolicyConformance", "policy"),
}
