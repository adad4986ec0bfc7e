"""What this distribution brings: one class that converts keys, values and headers."""

from collections.abc import Iterable

from millstream_api import PluginRef, hookimpl

_JSON = PluginRef(
    "millstream_json.converter:JsonConverter",
    aliases=("org.apache.kafka.connect.json.JsonConverter",),
    stands_for="4.3.1",
)


@hookimpl
def register_converters() -> Iterable[PluginRef]:
    yield _JSON


@hookimpl
def register_header_converters() -> Iterable[PluginRef]:
    yield _JSON
