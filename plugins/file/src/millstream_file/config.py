"""Settings of the file connectors."""

from millstream_api import Config, Importance, at_least, key, non_empty, one_of_ignoring_case


class FileSourceConfig(Config):
    """Source: FileStreamSourceConnector, Kafka 4.3.1; `encoding.errors` and `line.max.bytes` are ours."""

    file: str | None = key(None, doc="The file to read. Empty or absent: standard input.", importance=Importance.HIGH)
    topic: str = key(doc="The topic to write to.", valid=non_empty(), importance=Importance.HIGH)
    batch_size: int = key(2000, doc="The most records that one poll gives.", importance=Importance.LOW)
    encoding_errors: str = key(
        "replace",
        doc="What becomes of bytes that are not UTF-8: replace reads U+FFFD in their place and warns once, "
        "fail stops the task before the line that holds them.",
        valid=one_of_ignoring_case("replace", "fail"),
        importance=Importance.LOW,
    )
    line_max_bytes: int = key(
        64 * 1024 * 1024,
        doc="The longest line that is read, in bytes; the task stops before one that is longer.",
        valid=at_least(1024 * 1024),
        importance=Importance.LOW,
    )


class FileSinkConfig(Config):
    """Source: FileStreamSinkConnector, Kafka 4.3.1."""

    file: str | None = key(
        None,
        doc="The file to append to, made if it is not there. Empty or absent: standard output.",
        importance=Importance.HIGH,
    )
