"""The hooks."""

from collections.abc import Iterable

from millstream_api import PluginRef, hookimpl


@hookimpl
def register_sources() -> Iterable[PluginRef]:
    yield PluginRef("millstream_hostile.connectors:HostileSource")
    yield PluginRef("millstream_hostile.exits_at_import:ExitsAtImport")


@hookimpl
def register_sinks() -> Iterable[PluginRef]:
    yield PluginRef("millstream_hostile.connectors:HostileSink")
    yield PluginRef("millstream_hostile.exits_at_import:SinkExitsAtImport")
    yield PluginRef("millstream_hostile.witness:WitnessSink")


@hookimpl
def register_transformations() -> Iterable[PluginRef]:
    yield PluginRef("millstream_hostile.connectors:ChangesItsBatch")


@hookimpl
def register_config_providers() -> Iterable[PluginRef]:
    yield PluginRef("millstream_hostile.lending:LendingProvider")
