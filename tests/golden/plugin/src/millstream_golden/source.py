"""N tasks, each of which gives `count` records of all types with headers, then idles; fails on demand."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar

from millstream_api import (
    BOOLEAN,
    BYTES,
    DATE,
    FLOAT32,
    FLOAT64,
    INT8,
    INT16,
    INT32,
    INT64,
    OPTIONAL_STRING,
    STRING,
    TIME,
    TIMESTAMP,
    Config,
    Header,
    Importance,
    MillstreamError,
    Place,
    Schema,
    Settings,
    SourceConnector,
    SourceRecord,
    SourceTask,
    Support,
    Type,
    at_least,
    decimal,
    key,
    one_of,
)

FIRST_MS = 1_700_000_000_123
TEXT = 'ä😀"\\/\t'
INNER = Schema(Type.STRUCT, name="golden.Inner", optional=True, fields=[("x", INT32), ("y", OPTIONAL_STRING)])
TYPED = Schema(
    Type.STRUCT,
    name="golden.Typed",
    version=2,
    doc="all types",
    fields=[
        ("i8", INT8),
        ("i16", INT16),
        ("i32", INT32),
        ("i64", INT64),
        ("f32", FLOAT32),
        ("f64", FLOAT64),
        ("b", BOOLEAN),
        ("s", STRING),
        ("by", BYTES),
        ("opt", OPTIONAL_STRING),
        ("def", Schema(Type.INT32, default=7, doc="has a default")),
        ("dec", decimal(2)),
        ("date", DATE),
        ("time", TIME),
        ("ts", TIMESTAMP),
        ("arr", Schema(Type.ARRAY, value_schema=INT32)),
        ("map", Schema(Type.MAP, key_schema=STRING, value_schema=INT64)),
        ("imap", Schema(Type.MAP, key_schema=INT32, value_schema=STRING)),
        ("in", INNER),
    ],
)


class GoldenError(MillstreamError):
    """The failure that was asked for."""


class GoldenConfig(Config):
    topic: str = key(doc="Topic to write.", importance=Importance.HIGH)
    count: int = key(3, doc="Records per task.", valid=at_least(0), importance=Importance.MEDIUM)
    mode: str = key(
        "typed", doc="Shape of the value.", valid=one_of("typed", "map", "string", "null"), importance=Importance.LOW
    )
    fail: str = key(
        "none", doc="Where to fail.", valid=one_of("none", "start", "poll", "connector"), importance=Importance.LOW
    )
    boundary: bool = key(False, doc="Define transaction boundaries.", importance=Importance.LOW)


class GoldenTaskConfig(GoldenConfig):
    task_no: int = key(0, doc="The task's number.")


class GoldenTask(SourceTask[GoldenTaskConfig]):
    """One source partition a task: `{"task": "0"}`, `{"n": records given}`."""

    config_class = GoldenTaskConfig
    java_name: ClassVar[str] = "golden.GoldenSource$T"

    def start(self) -> None:
        if self.config.fail == "start":
            raise GoldenError("golden start failure")
        self._partition = {"task": str(self.config.task_no)}
        stored = self.context.offset(self._partition)
        self._given = int(stored["n"]) if stored else 0

    def poll(self) -> Sequence[SourceRecord]:
        if self.config.fail == "poll":
            raise GoldenError("golden poll failure")
        if self._given >= self.config.count:
            self.context.wait(0.1)
            return []
        number, self._given = self._given, self._given + 1
        if self.config.boundary and self.context.transaction is not None:
            self.context.transaction.commit()
        schema, value = value_of(self.config.mode, number)
        return [
            SourceRecord(
                self.config.topic,
                value,
                self._partition,
                {"n": number + 1},
                schema,
                f"k{self.config.task_no}-{number}",
                STRING,
                0,
                FIRST_MS + 1000 * number,
                headers_of(number),
            )
        ]


class GoldenSource(SourceConnector[GoldenConfig]):
    config_class = GoldenConfig
    task_class = GoldenTask

    def start(self) -> None:
        if self.config.fail == "connector":
            raise GoldenError("golden connector failure")

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        return [{"task.no": str(number)} for number in range(max_tasks)]

    def exactly_once(self) -> Support:
        return Support.SUPPORTED

    def transaction_boundaries(self) -> Support:
        return Support.SUPPORTED

    def alter_offsets(self, offsets: Sequence[tuple[Place, Place | None]]) -> bool:
        return True


def headers_of(number: int) -> list[Header]:
    return [
        Header("hs", f"v{number}", STRING),
        Header("hl", number, INT64),
        Header("hb", True, BOOLEAN),
        Header("hd", 1.5, FLOAT64),
        Header("hy", bytes([0, 1, 255]), BYTES),
        Header("hn", None, None),
    ]


def value_of(mode: str, number: int) -> tuple[Schema | None, Any]:
    """Give schema and value of a record in one of the modes."""
    ms = FIRST_MS + 1000 * number
    match mode:
        case "string":
            return STRING, f"value {number}"
        case "null":
            return None, None
        case "map":
            return None, {
                "i": number,
                "l": 1 << 40,
                "d": 0.1,
                "s": TEXT,
                "n": None,
                "b": True,
                "ts": ms,
                "str_ts": "2023-11-14 22:13:20",
                "list": [1, "two", None],
                "in": {"x": 1},
            }
    return TYPED, {
        "i8": -8,
        "i16": 1600,
        "i32": 320000,
        "i64": 2**63 - 1 - number,
        "f32": 1.1,
        "f64": 1e-7,
        "b": number % 2 == 0,
        "s": TEXT + "\x01<",
        "by": b"bytes",
        "dec": Decimal("-12.34"),
        "date": date.fromordinal(date(1970, 1, 1).toordinal() + 19675),
        "time": time(1, 0, 0, 123000),
        "ts": datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000),
        "arr": [1, 2, 3],
        "map": {"k": 5},
        "imap": {1: "one"},
        "in": {"x": 1},
    }
