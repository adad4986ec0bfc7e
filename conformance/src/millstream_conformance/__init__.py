"""The conformance kit for Millstream plugins: subclass a suite, name the plugin, run `pytest --certify=…`.

A name is loaded when it is asked for: pytest imports this package at every start, whatever it tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream_conformance.converter import ConverterConformance
    from millstream_conformance.extension import RestExtensionConformance
    from millstream_conformance.header import HeaderConverterConformance
    from millstream_conformance.policy import ClientConfigPolicyConformance
    from millstream_conformance.provider import ConfigProviderConformance
    from millstream_conformance.sink import SinkConformance
    from millstream_conformance.source import SourceConformance
    from millstream_conformance.suite import Capability, Conformance
    from millstream_conformance.transformation import PredicateConformance, TransformationConformance

__all__ = [
    "Capability",
    "ClientConfigPolicyConformance",
    "ConfigProviderConformance",
    "Conformance",
    "ConverterConformance",
    "HeaderConverterConformance",
    "PredicateConformance",
    "RestExtensionConformance",
    "SinkConformance",
    "SourceConformance",
    "TransformationConformance",
]

_MODULES = {
    "Capability": "suite",
    "ClientConfigPolicyConformance": "policy",
    "ConfigProviderConformance": "provider",
    "Conformance": "suite",
    "ConverterConformance": "converter",
    "HeaderConverterConformance": "header",
    "PredicateConformance": "transformation",
    "RestExtensionConformance": "extension",
    "SinkConformance": "sink",
    "SourceConformance": "source",
    "TransformationConformance": "transformation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
