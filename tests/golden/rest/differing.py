"""The list of what is not as recorded (`differences.toml`), and the verdict on an answer by it.

A difference is listed with what we answer instead: an answer that is alike again, or differs in another way, is as
wrong as one that differs and is not listed.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from golden.rest.comparing import ABSENT, Leaves, differences, leaves
from golden.rest.recording import Answer, Exchange


@dataclass(frozen=True)
class Difference:
    """Which answers differ, and how.

    recorded: only for answers whose recorded fields match these patterns.
    ours:     field -> our value; a table {like = "pattern"} for one that varies. A field with `*` stands for all that
              it matches and that no other entry names.
    messages: step -> our `message`; these are the steps, where given.
    """

    reason: str
    steps: tuple[str, ...]
    recorded: Mapping[str, str]
    ours: Mapping[str, Any]
    messages: Mapping[str, Any]

    def expected(self, step: str, recorded: Leaves) -> dict[str, Any]:
        """Our value of each field that this difference is about; none if it is not about this step."""
        if step in self.messages:
            return {**self.ours, "body.message": self.messages[step]}
        named = any(fnmatchcase(step, pattern) for pattern in self.steps)
        fits = all(re.fullmatch(like, str(recorded.get(path, ABSENT))) for path, like in self.recorded.items())
        return dict(self.ours) if named and fits else {}


@dataclass
class Listed:
    """reasons:   short name -> the row of docs/reference/deviations.md, by its first cell.
    to_do:        steps that are to become alike, and are not yet -> why.
    not_replayed: steps that cannot be replayed -> why.
    other_scenarios: scenarios that are not for this replay -> why.
    own_settings: settings that Java lacks -> why we have them; they are left out of our lists of settings.
    used:         every entry that was of use.
    """

    reasons: Mapping[str, str]
    differences: Sequence[Difference]
    to_do: Mapping[str, str]
    not_replayed: Mapping[str, str]
    other_scenarios: Mapping[str, str]
    own_settings: Mapping[str, str]
    used: set[str] = field(default_factory=set)

    def replays(self, step: str) -> bool:
        return self._reason(self.not_replayed, step) is None

    def is_to_do(self, exchange: Exchange) -> bool:
        return self._reason(self.to_do, exchange.name) is not None

    def alike(self, exchange: Exchange) -> bool:
        """Whether nothing is listed about a step: it counts as replayed alike when it has no problem."""
        return not self.is_to_do(exchange) and not self.expected(exchange.name, leaves(exchange.answer))

    def problems(self, exchange: Exchange, answer: Answer) -> list[str]:
        """What is neither as recorded nor as listed."""
        recorded = leaves(exchange.answer)
        found = differences(recorded, self._ours(recorded, answer))
        if self.is_to_do(exchange):
            return [] if found else [f"{exchange.name}: is alike now; it is no longer to do"]
        return list(self.unexpected(exchange.name, recorded, found))

    def unused(self) -> set[str]:
        """Entries that no exchange needed."""
        every = {*self.to_do, *self.not_replayed, *self.own_settings}
        every |= {f"difference {number}" for number in range(len(self.differences))}
        return every - self.used

    def _ours(self, recorded: Leaves, answer: Answer) -> Leaves:
        ours = leaves(answer)
        for path in [path for path in ours if path.endswith("(order)")]:
            theirs, names = (str(found.get(path, "")).split() for found in (recorded, ours))
            own = {name for name in names if name not in theirs and self.is_own(name)}
            ours[path] = " ".join(name for name in names if name not in own)
            places = tuple(path.replace("(order)", f"{name}.") for name in own)
            ours = {place: value for place, value in ours.items() if not place.startswith(places or "\0")}
        return ours

    def is_own(self, setting: str) -> bool:
        """Whether we have a setting and Java lacks it; it may stand below a prefix such as `value.converter.`."""
        own = [name for name in self.own_settings if f".{setting}".endswith(f".{name}")]
        self.used |= set(own)
        return bool(own)

    def expected(self, step: str, recorded: Leaves) -> dict[str, Any]:
        expected: dict[str, Any] = {}
        for number, difference in enumerate(self.differences):
            if fields := difference.expected(step, recorded):
                self.used.add(f"difference {number}")
                expected.update(fields)
        return dict(sorted(expected.items(), key=lambda item: "*" in item[0]))

    def unexpected(self, step: str, recorded: Leaves, found: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
        expected = self.expected(step, recorded)
        met = set()
        for path, (theirs, mine) in found.items():
            listed = next((each for each in expected if path == each or fnmatchcase(path, each)), None)
            if listed is None:
                yield f"{step}: {path}: recorded {theirs!r}, ours {mine!r}"
                continue
            met.add(listed)
            if not _is(expected[listed], mine):
                yield f"{step}: {path}: listed {expected[listed]!r}, ours {mine!r}"
        for path in expected.keys() - met:
            if not (expected[path] == ABSENT and path not in recorded):
                yield f"{step}: {path}: is as recorded, and listed as {expected[path]!r}"

    def _reason(self, entries: Mapping[str, str], step: str) -> str | None:
        for pattern, reason in entries.items():
            if fnmatchcase(step, _escaped(pattern)):
                self.used.add(pattern)
                return reason
        return None


def _escaped(pattern: str) -> str:
    """Steps hold brackets and question marks: of a pattern only `*` is one."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


def _is(listed: Any, ours: Any) -> bool:
    if isinstance(listed, dict):
        return re.fullmatch(listed["like"], str(ours), re.DOTALL) is not None
    return type(listed) is type(ours) and bool(listed == ours)


def read_list(file: Path, recording: str | None = None) -> Listed:
    """The list of one of the other recordings has a table of its own; what is ours alone is so everywhere."""
    whole = tomllib.loads(file.read_text())
    found = whole if recording is None else whole[recording]
    listed = [
        Difference(
            entry["reason"],
            tuple(_escaped(pattern) for pattern in entry.get("steps", ())),
            {path: str(like) for path, like in entry.get("recorded", {}).items()},
            entry.get("ours", {}),
            entry.get("messages", {}),
        )
        for entry in found["differs"]
    ]
    own = whole["own_settings"] | found.get("own_settings", {})
    tables = (found.get(table, {}) for table in ("to_do", "not_replayed", "other_scenarios"))
    return Listed(found["reasons"], listed, *tables, own)
