"""How a distribution tells what it brings: pluggy hooks that yield references, never classes."""

from collections.abc import Iterable
from dataclasses import dataclass

import pluggy

__all__ = ["NAMESPACE", "PluginRef", "hookimpl", "hookspec"]

NAMESPACE = "millstream"
"""The entry-point group, and the name hooks are marked with."""

hookspec = pluggy.HookspecMarker(NAMESPACE)
"""Marks the hooks of this module."""

hookimpl = pluggy.HookimplMarker(NAMESPACE)
"""Marks a plugin's own hooks: `@hookimpl` above `def register_sources(): …`.

They take no argument, and are called once in each process that looks for plugins. What one raises, or yields
that is no PluginRef, sets all plugins of its distribution aside, with a warning in the log.
"""


@dataclass(frozen=True, slots=True)
class PluginRef:
    """Where a plugin class lives. Nothing is imported until the class is needed.

    target:      "module:Class".
    aliases:     other names `connector.class` may use for it, such as the Java class it stands in for;
                 the first is the one that REST reports.
    stands_for:  the version of that Java class whose behaviour it has; REST reports it.

    A class that cannot be imported, or is none of its kind, fails whatever names it: validation, connector, task.
    """

    target: str
    aliases: tuple[str, ...] = ()
    stands_for: str | None = None


@hookspec
def register_sources() -> Iterable[PluginRef]:
    """Yield source connectors: subclasses of `SourceConnector`.

    @hookimpl
    def register_sources() -> Iterable[PluginRef]:
        yield PluginRef("millstream_file.source:FileSource", aliases=("org.apache.kafka…FileStreamSourceConnector",))
    """
    return ()


@hookspec
def register_sinks() -> Iterable[PluginRef]:
    """Yield sink connectors: subclasses of `SinkConnector`.

    @hookimpl
    def register_sinks() -> Iterable[PluginRef]:
        yield PluginRef("millstream_file.sink:FileSink", aliases=("org.apache.kafka…FileStreamSinkConnector",))
    """
    return ()


@hookspec
def register_converters() -> Iterable[PluginRef]:
    """Yield converters of keys and values: subclasses of `Converter`.

    @hookimpl
    def register_converters() -> Iterable[PluginRef]:
        yield PluginRef("millstream_json.converter:JsonConverter", ("org.apache.kafka.connect.json.JsonConverter",))
    """
    return ()


@hookspec
def register_header_converters() -> Iterable[PluginRef]:
    """Yield converters of headers: subclasses of `HeaderConverter`. A class of both kinds is yielded by both.

    @hookimpl
    def register_header_converters() -> Iterable[PluginRef]:
        yield PluginRef("millstream_json.converter:JsonConverter", ("org.apache.kafka.connect.json.JsonConverter",))
    """
    return ()


@hookspec
def register_transformations() -> Iterable[PluginRef]:
    """Yield transformations: subclasses of `Transformation`.

    @hookimpl
    def register_transformations() -> Iterable[PluginRef]:
        yield PluginRef("my_transforms:Upper")
    """
    return ()


@hookspec
def register_predicates() -> Iterable[PluginRef]:
    """Yield predicates: subclasses of `Predicate`.

    @hookimpl
    def register_predicates() -> Iterable[PluginRef]:
        yield PluginRef("my_predicates:IsWeekend")
    """
    return ()


@hookspec
def register_config_providers() -> Iterable[PluginRef]:
    """Yield providers for `${provider:path:key}`: subclasses of `ConfigProvider`.

    @hookimpl
    def register_config_providers() -> Iterable[PluginRef]:
        yield PluginRef("my_vault:VaultProvider")
    """
    return ()


@hookspec
def register_rest_extensions() -> Iterable[PluginRef]:
    """Yield what adds to the REST API: subclasses of `RestExtension`.

    @hookimpl
    def register_rest_extensions() -> Iterable[PluginRef]:
        yield PluginRef("my_audit:AuditExtension")
    """
    return ()


@hookspec
def register_client_policies() -> Iterable[PluginRef]:
    """Yield policies on client overrides: subclasses of `ClientConfigPolicy`.

    @hookimpl
    def register_client_policies() -> Iterable[PluginRef]:
        yield PluginRef("my_policies:OnlyTimeouts")
    """
    return ()
