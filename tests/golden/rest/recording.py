"""The recorded exchanges of the Java worker, and what stands in them instead of what differs from run to run."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = "rest.jsonl"
#: what the recordings say instead of a moment: milliseconds since 1970
RECORDING_MS = 1_000_000_000_000
DAY_MS = 86_400_000
#: of the connection and its framing, not of the answer; the recordings lack the first four
PASSING = {"date", "server", "content-length", "connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Answer:
    """headers: sorted pairs, names in lower case. A name may occur twice."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass(frozen=True)
class Request:
    """body: None sends none and no Content-Length, b"" an empty one."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


@dataclass(frozen=True)
class Exchange:
    scenario: str
    step: str
    repeat: int
    request: Request
    answer: Answer

    @property
    def name(self) -> str:
        """`scenario: step`, with the number of the repetition from the second on."""
        return f"{self.scenario}: {self.step}" + (f" [{self.repeat}]" if self.repeat > 1 else "")


@dataclass(frozen=True)
class Here:
    """What `$DATA` and `$WORKER1` of the recordings are in this run."""

    data: str
    worker: str

    def fill(self, text: str) -> str:
        return text.replace("$DATA", self.data).replace("$WORKER1", self.worker)

    def fill_request(self, request: Request) -> Request:
        body = None if request.body is None else request.body.replace(b"$DATA", self.data.encode())
        return Request(request.method, self.fill(request.target), request.headers, body)

    def as_recorded(self, answer: Answer) -> Answer:
        """An answer of this run with what differs from run to run replaced as in the recordings."""
        headers = ((name, self._text(value)) for name, value in answer.headers if name not in PASSING)
        return Answer(answer.status, tuple(sorted(headers)), self._body(answer.body))

    def _text(self, text: str) -> str:
        return text.replace(self.data, "$DATA").replace(self.worker, "$WORKER1")

    def _body(self, text: str) -> str:
        text = self._text(text)
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return json.dumps(_normalised(value), ensure_ascii=False)


def _normalised(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {key: _normalised(each, key) for key, each in value.items()}
        case list():
            return [_normalised(each) for each in value]
        case str() if name == "trace":
            first, more, _ = value.partition("\n")
            return f"{first}\n$TRACE" if more else first
        case str() if name == "commit" and re.fullmatch(r"millstream-\d+(\.\w+)+", value):
            return "$COMMIT"
        case str() if name == "kafka_cluster_id" and re.fullmatch(r"[A-Za-z0-9_-]{22}", value):
            return "$CLUSTER"
        case int() if name == "last_modified" and abs(value - datetime.now(UTC).timestamp() * 1000) < DAY_MS:
            return RECORDING_MS
    return value


def read(goldens: Path) -> list[Exchange]:
    """Every recorded exchange, in the order in which they were made."""
    return [exchange for line in (goldens / FILE).read_text().splitlines() for exchange in _exchanges(json.loads(line))]


def _exchanges(row: dict[str, Any]) -> Iterator[Exchange]:
    asked, answered = row["request"], row["response"]
    body = asked["body"]
    data = base64.b64decode(asked["body_base64"]) if asked.get("body_base64") else body and body.encode()
    query = "" if asked["query"] is None else f"?{asked['query']}"
    headers = tuple((name, value) for name, value in answered["headers"] if name not in PASSING)
    yield Exchange(
        row["scenario"],
        row["step"],
        row["repeat"],
        Request(asked["method"], asked["path"] + query, tuple(asked["headers"].items()), b"" if body == "" else data),
        Answer(answered["status"], tuple(sorted(headers)), answered["body"] or ""),
    )
