"""The conformance kit for Millstream plugins: subclass a suite, name the plugin, run `pytest --certify=…`."""

from millstream_conformance.converter import ConverterConformance
from millstream_conformance.sink import SinkConformance
from millstream_conformance.source import SourceConformance
from millstream_conformance.suite import Capability, Conformance
from millstream_conformance.transformation import PredicateConformance, TransformationConformance

__all__ = [
    "Capability",
    "Conformance",
    "ConverterConformance",
    "PredicateConformance",
    "SinkConformance",
    "SourceConformance",
    "TransformationConformance",
]
