"""Versions and ranges as `*.plugin.version` has them: Maven's notation. Source: KIP-891."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

INTERVAL = re.compile(r"\s*([\[(])\s*([^,\[\]()]*?)\s*(?:(,)\s*([^,\[\]()]*?)\s*)?([\])])\s*")

CLAUSE = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d+)*)\s*")
RELEASE = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`; None is no bound."""

    low: str | None
    high: str | None
    low_included: bool = True
    high_included: bool = True

    def holds(self, version: str) -> bool:
        if self.low is not None:
            order = compare(version, self.low)
            if order < 0 or (order == 0 and not self.low_included):
                return False
        if self.high is not None:
            order = compare(version, self.high)
            if order > 0 or (order == 0 and not self.high_included):
                return False
        return True

    def __str__(self) -> str:
        left, right = "[" if self.low_included else "(", "]" if self.high_included else ")"
        return f"{left}{self.low or ''},{self.high or ''}{right}"


def parse_range(text: str) -> Sequence[Interval] | None:
    """Read a version (exactly that), a range such as `[4.0,5.0)`, or several; None for `latest`. Raises ValueError."""
    wanted = text.strip()
    if wanted.lower() == "latest":
        return None
    if not wanted.startswith(("[", "(")):
        if re.search(r"[\[\](),\s]", wanted):
            raise ValueError(_unreadable(text))
        return [Interval(wanted or None, wanted or None)]
    intervals: list[Interval] = []
    at = 0
    while at < len(wanted):
        match = INTERVAL.match(wanted, at)
        if match is None:
            raise ValueError(_unreadable(text))
        low, comma, high = match[2] or None, match[3], match[4] or None
        if not comma:
            if low is None or match[1] != "[" or match[5] != "]":
                raise ValueError(_unreadable(text))
            high = low
        intervals.append(Interval(low, high, match[1] == "[", match[5] == "]"))
        at = match.end()
        if at < len(wanted) and wanted[at] == ",":
            at += 1
    return intervals


def satisfied(text: str, versions: Sequence[str]) -> bool:
    """Say whether one of the versions is in the range. Raises ValueError; an empty range holds nothing, as in Java."""
    intervals = parse_range(text)
    if intervals is None:
        return True
    return bool(text.strip()) and any(interval.holds(version) for interval in intervals for version in versions)


def range_text(text: str) -> str:
    """Give the range as Java's messages write it: `9.9` is `[9.9,9.9]`."""
    intervals = parse_range(text)
    return text if intervals is None else ",".join(map(str, intervals))


def compare(left: str, right: str) -> int:
    """Order two versions: as PEP 440 where both are, else by their parts, numbers before words."""
    if RELEASE.fullmatch(left) and RELEASE.fullmatch(right):
        return _order(left, right)
    from packaging.version import InvalidVersion, Version  # most are plain, and its import is slow

    try:
        a, b = Version(left), Version(right)
        return (a > b) - (a < b)
    except InvalidVersion:
        x, y = _parts(left), _parts(right)
        return (x > y) - (x < y)


def plainly_within(specifier: str, version: str) -> bool:
    """Whether a version such as 0.1.0 is within a range such as `>=0.1,<0.2`; false, too, where that takes PEP 440."""
    if not RELEASE.fullmatch(version):
        return False
    text = specifier.strip().removeprefix("(").removesuffix(")")
    clauses = [CLAUSE.fullmatch(clause) for clause in text.split(",")] if text else []
    return all(clause is not None and _holds(_order(version, clause[2]), clause[1]) for clause in clauses)


def _holds(order: int, sign: str) -> bool:
    return order in {"<": (-1,), "<=": (-1, 0), "==": (0,), "!=": (-1, 1), ">=": (0, 1), ">": (1,)}[sign]


def _order(left: str, right: str) -> int:
    for a, b in zip_longest(map(int, left.split(".")), map(int, right.split(".")), fillvalue=0):
        if a != b:
            return 1 if a > b else -1
    return 0


def _parts(version: str) -> list[tuple[int, int, str]]:
    pieces = re.findall(r"\d+|[a-z]+", version.lower())
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in pieces]


def _unreadable(text: str) -> str:
    return f"{text!r} is neither a version such as '4.3.1', nor a range such as '[4.0,5.0)', nor 'latest'"
