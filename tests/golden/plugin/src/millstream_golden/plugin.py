"""What this distribution brings: three sources."""

from collections.abc import Iterable

from millstream_api import PluginRef, hookimpl

_VERSION = "1.0-golden"


@hookimpl
def register_sources() -> Iterable[PluginRef]:
    yield PluginRef("millstream_golden.source:GoldenSource", aliases=("golden.GoldenSource",), stands_for=_VERSION)
    yield PluginRef("millstream_golden.one:TwinConnector", aliases=("golden.one.TwinConnector",), stands_for=_VERSION)
    yield PluginRef("millstream_golden.two:TwinConnector", aliases=("golden.two.TwinConnector",), stands_for=_VERSION)
