"""Converters, header converters and file connectors against what Java Connect 4.3.1 wrote (`records.jsonl`).

A small stand-in for the worker takes records from a source to its topic, and from a topic to the file sink. Every field
of a recorded answer is compared, save those that `not_replayed.toml` lists with a reason.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from golden.counting import Count

from millstream.errors import java_name
from millstream.inventory.discovery import discover
from millstream.inventory.inventory import Inventory
from millstream.inventory.loading import load
from millstream.settings.plugins import Kind
from millstream_api import (
    DataError,
    Header,
    Origin,
    RecordBatch,
    Schema,
    SinkBatch,
    SourceRecord,
    Subject,
    Type,
    decimal,
)
from millstream_api.logical import DATE, TIME, TIMESTAMP

JSON = "org.apache.kafka.connect.json.JsonConverter"
STRING, INT32 = Schema(Type.STRING), Schema(Type.INT32)
#: what the recordings say instead of a moment, and of the identity of a byte array
RECORDING, HASH = 1_000_000_000_000, "[B@$HASH"
ANSWERS = {
    "source": ("state", "records", "trace"),
    "sink": ("state", "records", "file", "offsets", "trace", "log", "dlq"),
}
TOLERANCE = "org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler"
ERROR = "__connect.errors."

Case = dict[str, Any]


# ---- the world of the recordings


@pytest.fixture(scope="session")
def inventory() -> Inventory:
    return discover()


@pytest.fixture(scope="session")
def cases(goldens: Path) -> list[Case]:
    return [json.loads(line) for line in (goldens / "records.jsonl").read_text().splitlines()]


@dataclass
class World:
    """One case with what it needs: plugins by their Java names, and a folder."""

    case: Case
    inventory: Inventory
    folder: Path
    more: dict[str, str]

    @property
    def config(self) -> dict[str, str]:
        given = {name: value.replace("$DATA", str(self.folder)) for name, value in self.case["config"].items()}
        return {"header.converter": "org.apache.kafka.connect.storage.SimpleHeaderConverter", **given}

    def converter(self, role: str) -> Any:
        kind = Kind.HEADER_CONVERTER if role == "header" else Kind.CONVERTER
        made = load(self.inventory.find(kind, self.config[f"{role}.converter"]))
        prefix = f"{role}.converter."
        own = {name.removeprefix(prefix): value for name, value in self.config.items() if name.startswith(prefix)}
        known = {definition.name for definition in made.config_class.definitions()}
        settings = {"converter.type": role, **self.more, **own}
        return made(made.config_class.parse({name: value for name, value in settings.items() if name in known}))

    def task(self, kind: Kind) -> Any:
        connector = load(self.inventory.find(kind, self.config["connector.class"]))
        return connector.task_class(connector.config_class.parse(self.config), NoContext())


class NoContext:
    def wait(self, seconds: float) -> bool:
        return True

    def offset(self, partition: Any) -> None:
        return None


# ---- source: from the records of a source to those of the topic


INNER = Schema.struct({"x": INT32, "y": Schema(Type.STRING, optional=True)}, name="golden.Inner", optional=True)
TYPED = Schema.struct(
    {
        "i8": Schema(Type.INT8),
        "i16": Schema(Type.INT16),
        "i32": INT32,
        "i64": Schema(Type.INT64),
        "f32": Schema(Type.FLOAT32),
        "f64": Schema(Type.FLOAT64),
        "b": Schema(Type.BOOLEAN),
        "s": STRING,
        "by": Schema(Type.BYTES),
        "opt": Schema(Type.STRING, optional=True),
        "def": Schema(Type.INT32, default=7, doc="has a default"),
        "dec": decimal(2),
        "date": DATE,
        "time": TIME,
        "ts": TIMESTAMP,
        "arr": Schema.array(INT32),
        "map": Schema.map(STRING, Schema(Type.INT64)),
        "imap": Schema.map(INT32, STRING),
        "in": INNER,
    },
    name="golden.Typed",
    version=2,
    doc="all types",
)


def golden_record(mode: str, number: int) -> SourceRecord:
    """What GoldenSource of the recordings emits."""
    ms = 1_700_000_000_123 + 1000 * number
    text = 'ä😀"\\/\t'
    values: dict[str, tuple[Schema | None, Any]] = {
        "string": (STRING, f"value {number}"),
        "null": (None, None),
        "map": (
            None,
            {
                **{"i": number, "l": 1 << 40, "d": 0.1, "s": text, "n": None, "b": True, "ts": ms},
                **{"str_ts": "2023-11-14 22:13:20", "list": [1, "two", None], "in": {"x": 1}},
            },
        ),
        "typed": (
            TYPED,
            {
                **{"i8": -8, "i16": 1600, "i32": 320000, "i64": (1 << 63) - 1 - number, "f32": 1.1, "f64": 1e-7},
                **{"b": number % 2 == 0, "s": text + "\x01<", "by": b"bytes", "dec": Decimal("-12.34")},
                **{"date": date.fromordinal(date(1970, 1, 1).toordinal() + 19675), "time": time(1, 0, 0, 123000)},
                **{"ts": datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=123000), "arr": [1, 2, 3]},
                **{"map": {"k": 5}, "imap": {1: "one"}, "in": {"x": 1}},
            },
        ),
    }
    headers = [
        Header("hs", f"v{number}", STRING),
        Header("hl", number, Schema(Type.INT64)),
        Header("hb", True, Schema(Type.BOOLEAN)),
        Header("hd", 1.5, Schema(Type.FLOAT64)),
        Header("hy", b"\x00\x01\xff", Schema(Type.BYTES)),
        Header("hn", None, None),
    ]
    schema, value = values[mode]
    return SourceRecord("", value, None, None, schema, f"k0-{number}", STRING, 0, ms, headers)


def polled(world: World) -> list[SourceRecord]:
    if world.case["source"] != "file":
        return [golden_record(world.case["source"], number) for number in range(2)]
    lines = 'line 0\n\nünï €😀 "q" \\ \t|\n{"a":1}\n  spaces \r\nlast\n'
    (world.folder / "in.txt").write_bytes(lines.encode())
    task = world.task(Kind.SOURCE)
    task.start()
    [batch] = task.poll()
    task.stop()
    assert all(abs(stamp - datetime.now(UTC).timestamp() * 1000) < 60_000 for stamp in batch.timestamps)
    return [SourceRecord("", value, None, None, batch.value_schema, timestamp=RECORDING) for value in batch.values]


def produced(world: World) -> Case:
    """The answer of a source case as ours would have been recorded."""
    key, value, header = (world.converter(role) for role in ("key", "value", "header"))
    topic = world.case["topic"]
    records = []
    try:
        for offset, record in enumerate(polled(world)):
            headers = [
                {"key": one.name, **both("value", header.to_bytes(topic, one.name, one.value, one.schema))}
                for one in record.headers
            ]
            keys = key.encoder(Subject(topic, record.key_schema, "key"))([record.key], None)
            values = value.encoder(Subject(topic, record.value_schema, "value"))([record.value], None)
            place = {"topic": topic, "partition": 0, "offset": offset, "timestamp": [1, record.timestamp]}
            sides = {**both("key", keys[0]), **both("value", values[0])}
            records.append({**place, **sides, "headers": headers or None})
    except DataError as error:
        return {"state": "FAILED", "records": [], "trace": {"first": TOLERANCE, "causes": [cause(error)]}}
    return {"state": "RUNNING", "records": records}


def both(name: str, data: bytes | None) -> dict[str, str | None]:
    """Text, null where there is none, and base64, as the recordings hold bytes."""
    try:
        text = None if data is None else data.decode()
    except UnicodeDecodeError:
        text = None
    return {name: text, f"{name}_base64": None if data is None else base64.b64encode(data).decode()}


def cause(error: DataError) -> str:
    return f"{java_name(error)}: {error}"


# ---- sink: from the records of a topic to the file and the dead letters


def consumed(world: World) -> Case:
    """The answer of a sink case as ours would have been recorded."""
    case = world.case
    good, letters, failure = [], [], None
    key, value, header = (world.converter(role) for role in ("key", "value", "header"))
    sent = case["input_headers"] or []
    for offset, row in enumerate(case["input"]):
        try:
            for name, text in sent:
                header.from_bytes("t", name, b"\x00\xff" if name == "h2" and text is None else text and text.encode())
            decode(key, raw(row, "key"))
            good.append(decode(value, raw(row, "value")))
        except DataError as error:
            letters.append((offset, row, error))
            if world.config.get("errors.tolerance", "none") == "none":
                failure = error
                break
    put_in = [] if failure else good
    written = put(world, put_in)
    place = {"kafka_partition": 0, "kafka_topic": world.config["topics"]}
    behind = [{"partition": place, "offset": {"kafka_offset": len(case["input"])}}]
    return {
        "state": ["FAILED" if failure else "RUNNING"],
        "file": written,
        "offsets": {"offsets": [] if failure else behind},
        "trace": [{"first": TOLERANCE, "causes": [cause(failure)]} if failure else None],
        "dlq": [letter(world, number, *one) for number, one in enumerate(letters)] if dead_letters(world) else [],
    }


def raw(row: Case, side: str) -> bytes | None:
    if row[f"{side}_base64"] is not None:
        return base64.b64decode(row[f"{side}_base64"])
    return None if row[side] is None else row[side].encode()


def decode(converter: Any, data: bytes | None) -> tuple[Schema | None, Any]:
    [decoded] = converter.decoder(Subject("t", None, "value"))([data], None)
    return decoded.schema, decoded.values[0]


def put(world: World, rows: Sequence[tuple[Schema | None, Any]]) -> str:
    task = world.task(Kind.SINK)
    task.start()
    groups = [RecordBatch("t", schema, [value], rows=[row]) for row, (schema, value) in enumerate(rows)]
    task.put(SinkBatch(groups, [Origin("t", 0, row, "CreateTime") for row in range(len(rows))]))
    task.pre_commit({})
    task.stop()
    return Path(world.config["file"]).read_bytes().decode(errors="backslashreplace")


def dead_letters(world: World) -> bool:
    return "errors.deadletterqueue.topic.name" in world.config


def letter(world: World, number: int, offset: int, row: Case, error: DataError) -> Case:
    headers = [
        {"key": name, **both("value", b"\x00\xff" if name == "h2" and text is None else text and text.encode())}
        for name, text in world.case["input_headers"] or []
    ]
    if world.config.get("errors.deadletterqueue.context.headers.enable") == "true":
        told = {"exception.class.name": java_name(error), "exception.message": str(error)}
        headers += [{"key": ERROR + name, **both("value", text.encode())} for name, text in told.items()]
    sides = {**both("key", raw(row, "key")), **both("value", raw(row, "value"))}
    place = {"topic": world.config["errors.deadletterqueue.topic.name"], "partition": 0, "offset": number}
    return {**place, "timestamp": [1, 1_700_000_000_000], **sides, "headers": headers or None}


# ---- comparing


def leaves(answer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field with its path. Headers of dead letters go by name: the worker puts its own among them."""
    if isinstance(answer, dict) and answer:
        for name, value in answer.items():
            yield from leaves(value, f"{path}.{name}".lstrip("."))
    elif re.fullmatch(r"dlq\.\d+\.headers", path) and answer:
        for header in answer:
            yield f"{path}.{header['key']}", (header["value"], header["value_base64"])
    elif isinstance(answer, list) and answer:
        for number, value in enumerate(answer):
            yield from leaves(value, f"{path}.{number}")
    else:
        yield path, answer


def recorded_leaves(case: Case) -> dict[str, Any]:
    return dict(leaves({name: case[name] for name in ANSWERS[case["kind"]] if name in case}))


def differences(case: Case, ours: Case, known: Any) -> list[str]:
    """Each field in which ours is not as recorded, and not excused."""
    recorded, found = recorded_leaves(case), dict(leaves(ours))
    paths = [*recorded, *(path for path in found if path not in recorded)]
    return [sentence for path in paths if (sentence := difference(case, path, recorded, found, known))]


def difference(case: Case, path: str, recorded: Case, found: Case, known: Any) -> str | None:
    step = f"records: {case['case']}: {path}"
    if known.reason(step) is not None:
        return None
    if path not in recorded or path not in found:
        return f"{step}: {'not recorded' if path not in recorded else 'missing'}"
    if same(case, path, recorded[path], found[path], known):
        return None
    return f"{step}: recorded {recorded[path]!r}, ours {found[path]!r}"


def same(case: Case, path: str, recorded: Any, ours: Any, known: Any) -> bool:
    if recorded == ours and type(recorded) is type(ours):
        return True
    if ".causes." in path or path.endswith("exception.message"):
        return _same_message(recorded, ours, f"records: {case['case']}: messages of errors", known)
    if not isinstance(recorded, str) or not isinstance(ours, str):
        return False
    role = re.search(r"records\.\d+\.(?:(headers)\.\d+\.)?(key|value)(_base64)?$", path)
    name = role and ("header" if role[1] else role[2])
    if role and case["config"].get(f"{name}.converter") == JSON:
        known.difference(f"records: {case['case']}: an emoji or a float")
        return _json(recorded, bool(role[3])) == _json(ours, bool(role[3])) is not None
    if role and role[3]:
        recorded, ours = (base64.b64decode(_padded(text), validate=False).decode() for text in (recorded, ours))
    if HASH in recorded:
        known.difference(f"records: {case['case']}: {path}")
        return re.fullmatch(re.escape(recorded).replace(re.escape(HASH), r"[^\n]*"), ours) is not None
    return recorded == ours


def _same_message(recorded: Any, ours: Any, step: str, known: Any) -> bool:
    if isinstance(recorded, tuple):
        text, data = recorded
        if not isinstance(text, str) or base64.b64decode(_padded(data)) != text.encode():
            return False
        recorded, ours = f": {text}", f": {ours[0]}"
    known.difference(step)
    kind, _, sentence = str(recorded).replace("class java.lang.String", "class str").partition(": ")
    return str(ours).startswith(f"{kind}: ") and sentence in ours


def _json(text: str, encoded: bool) -> Any:
    """JSON with what tells values apart: the order of members, the kind of a number, its exact digits."""
    try:
        text = base64.b64decode(_padded(text), validate=True).decode() if encoded else text
        return json.loads(text, parse_float=lambda digits: ("number", Decimal(digits)), object_pairs_hook=list)
    except ValueError:
        return None


def _padded(text: Any) -> str:
    if not isinstance(text, str) or len(text) % 4 or re.search(r"[^A-Za-z0-9+/=]", text):
        raise AssertionError(f"{text!r} is no base64")
    return text


# ---- the tests

LENIENT = {"json.lenient.numbers": "true"}


def answer(case: Case, inventory: Inventory, folder: Path, **more: str) -> Case:
    world = World(case, inventory, folder, more)
    return produced(world) if case["kind"] == "source" else consumed(world)


@pytest.fixture(scope="session")
def plain_cases(cases: list[Case], not_replayed: Any) -> list[Case]:
    return [case for case in cases if not _reason(case, not_replayed)]


def _reason(case: Case, known: Any) -> str | None:
    if "transforms" not in case["config"]:
        return None
    reason: str | None = known.reason(f"records: {case['case']}: has transforms")
    return reason


def test_every_case_is_answered_as_java_did(
    cases: list[Case],
    plain_cases: list[Case],
    inventory: Inventory,
    tmp_path: Path,
    not_replayed: Any,
    counted: dict[str, Count],
) -> None:
    found = []
    for number, case in enumerate(plain_cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        ours = answer(case, inventory, folder, **LENIENT)
        found += differences(case, ours, not_replayed)
    counted["records"] = Count(len(plain_cases), len(cases))
    assert found == []
    assert len(plain_cases) >= 45


def test_bytes_of_the_file_sink_are_their_text(plain_cases: list[Case], inventory: Inventory, tmp_path: Path) -> None:
    for case in plain_cases:
        if case["case"] == "file sink, bytes":
            sent = ["null" if row["value"] is None else row["value"] for row in case["input"]]
            assert answer(case, inventory, tmp_path)["file"].splitlines() == sent
            return
    pytest.fail("no such case was recorded")


def test_without_the_lenient_setting_what_does_not_fit_is_a_dead_letter(
    plain_cases: list[Case], inventory: Inventory, tmp_path: Path, not_replayed: Any
) -> None:
    changed = {}
    for case in plain_cases:
        if case["kind"] == "sink" and HASH not in case["file"]:
            folder = tmp_path / case["connector"]
            folder.mkdir()
            ours = answer(case, inventory, folder)
            if ours["file"] != case["file"]:
                not_replayed.difference(f"records: {case['case']}: file")
                changed[case["case"]] = [
                    line for line in case["file"].splitlines() if line not in ours["file"].split("\n")
                ]
    assert changed.pop("file sink, json plain") == ["-9223372036854775808", "Infinity"]
    assert set(map(tuple, changed.values())) == {("0",)}, "text for an int32 is no 0"
    assert len(changed) == 3


def other(value: Any) -> list[Any]:
    """The same field with another value."""
    if isinstance(value, tuple):
        return [(changed, value[1]) for changed in other(value[0])] + [
            (value[0], changed) for changed in other(value[1])
        ]
    if value is None:
        return ["x", 0]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, str(value)]
    if isinstance(value, str):
        return [value + "x", None, "x" + value]
    return [["x"], None]


def test_changing_any_field_of_a_recorded_answer_is_noticed(
    plain_cases: list[Case], inventory: Inventory, tmp_path: Path, not_replayed: Any
) -> None:
    unnoticed, tried = [], 0
    for number, case in enumerate(plain_cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        ours = answer(case, inventory, folder, **LENIENT)
        recorded, found = recorded_leaves(case), dict(leaves(ours))
        for path, value in recorded.items():
            if not_replayed.reason(f"records: {case['case']}: {path}") is None:
                for changed in other(value):
                    tried += 1
                    try:
                        noticed = difference(case, path, {path: changed}, found, not_replayed)
                    except (AssertionError, ValueError):
                        noticed = "what is recorded cannot be read"
                    if noticed is None:
                        unnoticed.append((case["case"], path, changed))
    assert unnoticed == []
    assert tried > 1500


def test_a_missing_and_an_added_record_are_noticed(
    plain_cases: list[Case], inventory: Inventory, tmp_path: Path, not_replayed: Any
) -> None:
    case = plain_cases[0]
    ours = answer(case, inventory, tmp_path)
    for records in (case["records"][:-1], [*case["records"], case["records"][-1]]):
        assert differences({**case, "records": records}, ours, not_replayed)


def test_no_entry_about_records_is_without_use(not_replayed: Any) -> None:
    assert not_replayed.unused("records") == set()
