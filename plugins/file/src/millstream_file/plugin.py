"""What this distribution brings: a source and a sink for text files."""

from collections.abc import Iterable

from millstream_api import PluginRef, hookimpl

_JAVA = "org.apache.kafka.connect.file"


@hookimpl
def register_sources() -> Iterable[PluginRef]:
    java = f"{_JAVA}.FileStreamSourceConnector"
    yield PluginRef("millstream_file.source:FileStreamSource", aliases=(java,), stands_for="4.3.1")


@hookimpl
def register_sinks() -> Iterable[PluginRef]:
    java = f"{_JAVA}.FileStreamSinkConnector"
    yield PluginRef("millstream_file.sink:FileStreamSink", aliases=(java,), stands_for="4.3.1")
