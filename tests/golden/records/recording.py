"""The recorded cases (`records.jsonl`): one connector each, what it was given and what came of it."""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

FILE = "records.jsonl"
JSON = "org.apache.kafka.connect.json.JsonConverter"
DEAD_LETTERS = "errors.deadletterqueue."
#: when the records of a sink's topic were made, ms
INPUT_MS = 1_700_000_000_000
#: the recorder kept so many lines of the log
LINES = 4
ANSWERS = {
    "source": ("state", "records", "trace"),
    "sink": ("state", "records", "file", "offsets", "trace", "log", "dlq"),
}
#: instead of base64 that says what the text beside it says
OF_THE_TEXT = "(of the text)"

Answer = Mapping[str, Any]
Leaves = Mapping[str, Any]
HeaderRow = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Input:
    """What the recorder wrote into a sink's topic."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: HeaderRow


@dataclass(frozen=True)
class Case:
    """name:   of the step.   connector: its name.
    config: what the connector was given; `$DATA` stands for the folder.
    input:  of a sink; of a source nothing.
    answer: what came of it, as recorded.
    """

    kind: str
    name: str
    connector: str
    config: Mapping[str, str]
    answer: Answer
    input: Input | None = None

    @property
    def step(self) -> str:
        return f"{self.name}: has transforms" if "transforms" in self.config else self.name

    @property
    def topic(self) -> str:
        """Which topic it writes or reads."""
        return self.config["topics" if self.kind == "sink" else "topic"]

    @property
    def dead_letters(self) -> str:
        """The topic of its dead letters, "" where it has none."""
        return self.config.get(f"{DEAD_LETTERS}topic.name", "")

    @cached_property
    def recorded(self) -> Leaves:
        return self.leaves(self.answer)

    def leaves(self, answer: Answer) -> Leaves:
        """Every field of an answer, its own or another."""
        return dict(_leaves(answer, "", {role for role in SIDES if self.config.get(f"{role}.converter") == JSON}))


def read(goldens: Path) -> list[Case]:
    return [_case(json.loads(line)) for line in (goldens / FILE).read_text().splitlines()]


def _case(row: Mapping[str, Any]) -> Case:
    answer = {name: row[name] for name in ANSWERS[row["kind"]] if name in row}
    given = None
    if row["kind"] == "sink":
        keys, values = ([_bytes(each, side) for each in row["input"]] for side in ("key", "value"))
        # of a header the text alone is recorded; the only one that has none and is not null are these two bytes
        headers = [
            (name, b"\x00\xff" if name == "h2" and text is None else text and text.encode())
            for name, text in row["input_headers"] or ()
        ]
        given = Input(keys, values, headers)
    return Case(row["kind"], row["case"], row["connector"], row["config"], answer, given)


def _bytes(row: Mapping[str, str | None], side: str) -> bytes | None:
    text, data = row[side], row[f"{side}_base64"]
    if data is not None:
        return base64.b64decode(data, validate=True)
    return None if text is None else text.encode()


# ---- leaves

SIDES = ("key", "value", "header")


def _leaves(value: Any, path: str, in_json: set[str]) -> Iterator[tuple[str, Any]]:
    match value:
        case dict() if value:
            for name, each in value.items():
                place = f"{path}.{name}".lstrip(".")
                if f"{name}_base64" in value:
                    yield from _text(each, place, _role(place) in in_json)
                elif name.endswith("_base64"):
                    yield place, OF_THE_TEXT if _is_of(value.get(name.removesuffix("_base64")), each) else each
                else:
                    yield from _leaves(each, place, in_json)
        case list() if value:
            for number, each in enumerate(value):
                yield from _leaves(each, f"{path}.{number}", in_json)
        case str() if re.fullmatch(r"log\.\d+", path) and (line := LINE.fullmatch(value)):
            yield from ((f"{path}.{name}", part) for name, part in line.groupdict().items() if part is not None)
        case _:
            yield path, value


LINE = re.compile(r"(?P<level>[A-Z]+) (?P<sentence>.*?\.)(?: \((?P<logger>[\w.]+(:\d+)?)\))?")


def _role(path: str) -> str:
    return "header" if ".headers." in path else path.rpartition(".")[2]


def _text(text: Any, path: str, is_json: bool) -> Iterator[tuple[str, Any]]:
    """A text; one in JSON as its value, and how that is spelled as a leaf of its own."""
    value = _value(text) if is_json and isinstance(text, str) else None
    if value is None:
        yield path, text
    else:
        yield path, value
        yield f"{path}.(spelling)", text


def _value(text: str) -> str | None:
    """What tells values in JSON apart: the order of members, the kind of a number, its exact digits."""
    try:
        value = json.loads(text, parse_float=_Number, object_pairs_hook=lambda pairs: ("object", pairs))
    except ValueError:
        return None
    return repr(value)


class _Number:
    """A number with a fraction or an exponent; two are equal whose digits are, however they are spelled."""

    def __init__(self, text: str) -> None:
        self._value = Decimal(text)

    def __repr__(self) -> str:
        sign, digits, exponent = self._value.as_tuple()
        assert isinstance(exponent, int), "JSON has no NaN"
        shown = "".join(map(str, digits)).lstrip("0")
        kept = shown.rstrip("0")
        return f"number {'-' if sign else ''}{kept} e{exponent + len(shown) - len(kept) if kept else 0}"


def _is_of(text: Any, data: Any) -> bool:
    return isinstance(text, str) and data == base64.b64encode(text.encode(errors="surrogatepass")).decode()
