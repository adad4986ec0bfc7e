"""What the tests of the pipelines share: a converter of text, reporters that hear, and the parts put together."""

from collections.abc import Callable, Sequence
from typing import Any

from millstream.errors import DataError
from millstream.lifecycle import ManualClock
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.poll import SinkPipeline, SourcePipeline, SourceSlice
from millstream.pipeline.reporting import Original, Reporting
from millstream.pipeline.tolerance import Event, Handling, Tolerance
from millstream_api import (
    Converter,
    Decoded,
    HeaderConverter,
    RecordBatch,
    Schema,
    SourceBatch,
    SourceRecord,
    Subject,
    Transformation,
    Type,
)

STRING = Schema(Type.STRING)
PLACE = {"filename": "a"}


class Text(Converter[Any], HeaderConverter[Any]):
    """Text to bytes and back; refuses what is `bad`."""

    compiled: list[Subject]

    def __init__(self) -> None:
        self.compiled = []

    def encoder(self, subject: Subject) -> Any:
        self.compiled.append(subject)
        return lambda values, headers: [self.to_bytes("", "", value, None) for value in values]

    def decoder(self, subject: Subject) -> Any:
        self.compiled.append(subject)
        return lambda values, headers: [Decoded(STRING, None, [self.from_bytes("", "", value)[1] for value in values])]

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        if value == "bad":
            raise DataError("a bad value")
        return None if value is None else str(value).encode()

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        if data == b"bad":
            raise DataError("bad bytes")
        return STRING, None if data is None else data.decode()


class Heard:
    def __init__(self) -> None:
        self.all: list[tuple[Event, Original]] = []

    def report(self, event: Event, original: Original) -> None:
        self.all.append((event, original))


class Parts:
    def __init__(self, tolerance: Tolerance = Tolerance(), heard: Heard | None = None) -> None:  # noqa: B008 - a value
        clock = ManualClock()
        self.text = Text()
        self.converters = Converters(self.text, self.text, self.text)
        self.handling = Handling(tolerance, clock, clock.wait)
        self.reporting = Reporting([heard] if heard else [])

    def source(self, *transformations: Transformation[Any]) -> SourcePipeline:
        return SourcePipeline(chain(transformations), self.converters, self.handling, self.reporting)

    def sink(self, *transformations: Transformation[Any]) -> SinkPipeline:
        return SinkPipeline(chain(transformations), self.converters, self.handling, self.reporting)


def chain(transformations: Sequence[Transformation[Any]]) -> Chain:
    return Chain([Link(transformation) for transformation in transformations])


def batch(lines: Sequence[Any], topic: str = "lines", **columns: Any) -> SourceBatch:
    settings = {"source_partition": PLACE, "offset_at": lambda row: {"row": row}, "value_schema": STRING, **columns}
    return SourceBatch(topic=topic, values=lines, **settings)


def record(line: Any, number: int = 0, topic: str = "lines", **fields: Any) -> SourceRecord:
    return SourceRecord(topic, line, PLACE, {"row": number}, STRING, **fields)


def slices(polled: Sequence[Any], *transformations: Transformation[Any]) -> list[SourceSlice]:
    return list(Parts().source(*transformations).slices(polled))


def values(part: SourceSlice) -> dict[str, list[bytes | None]]:
    return {routed.batch.topic: list(routed.batch.values) for routed in part.outgoing}


class Calling(Transformation[Any]):
    def __init__(self, apply: Callable[[Any], Any]) -> None:
        self.apply = apply  # type: ignore[method-assign]


class CallingBatches(Transformation[Any]):
    def __init__(self, form: Callable[[RecordBatch], Any]) -> None:
        self.form = form

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return self.form(batch)  # type: ignore[no-any-return]
