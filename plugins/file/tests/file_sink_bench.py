"""What the tests of the file sink share: how a task is started, and what it is given."""

from collections.abc import Callable
from typing import Any

from millstream_api import Origin, RecordBatch, Schema, SinkBatch
from millstream_file.sink import FileStreamSinkTask

Started = Callable[..., FileStreamSinkTask]


def batch(*values: Any, schema: Schema | None = None) -> SinkBatch:
    groups = [RecordBatch("t", schema, values)] if values else []
    return SinkBatch(groups, [Origin("t", 0, row, "CreateTime") for row in range(len(values))])
