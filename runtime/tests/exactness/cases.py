"""Cases made from whole numbers, so that hypothesis and a plain seed make the same ones, and both can shrink them."""

import collections
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from exactness.converters import SCHEMAS
from exactness.plugins import ASKED, KINDS, NS, A, Asked, B, Calls, Tried, code
from millstream.pipeline.tolerance import Tolerance
from millstream_api import Header

ROWS, LINKS, MOODS = 18, 5, 8
SLICE = 6

Numbers = tuple[list[int], list[int], int]


class Bits:
    """A whole number taken apart digit by digit; 0 is the simplest of everything."""

    def __init__(self, number: int) -> None:
        self.number = number

    def below(self, limit: int) -> int:
        self.number, digit = divmod(self.number, limit)
        return digit


@dataclass
class Case:
    """rows: as the consumer or the source has them. stopping: it is time to stop, so nothing waits for a retry."""

    rows: list[SimpleNamespace]
    links: list[tuple[int, int, int | None, bool]]
    tolerance: Tolerance
    stopping: bool = False


@dataclass
class Seen:
    """What can be observed of a run."""

    sent: dict[str, list[Any]] = field(default_factory=lambda: collections.defaultdict(list))
    reports: list[Any] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=collections.Counter)
    failed: tuple[int, str] | None = None
    failed_link: int = -1  # behind the last: after the chain
    offsets: dict[str, Any] = field(default_factory=dict)
    boundaries: list[tuple[int, str]] = field(default_factory=list)
    waited_ms: int = 0
    calls: Calls = field(default_factory=Calls)


def row_of(number: int, bits: Bits, before: SimpleNamespace | None) -> SimpleNamespace:
    n, key, headed, stamp, null = bits.below(NS), bits.below(3), bits.below(6), bits.below(64), bits.below(5) == 4
    row = SimpleNamespace(id=number, n=n, value=None if null else {"id": number, "n": n})
    row.key = code(number, n) if key or null else None
    row.headers = [
        *(Header("x", n + i, A if i else None) for i in range(max(0, headed - 3))),
        *([Header("none", None)] if headed == 5 else []),
    ]
    row.stamp = -7 if stamp == 63 else (None, 1000 + number, -1, 5)[stamp % 4]
    row.kafka_partition = (None, None, 0, 4)[bits.below(4)]
    row.boundary = ("", "", "", "", "", "commit", "abort", "empty")[bits.below(8)]
    alike = bits.below(4) > 0
    row.columns, row.topic, row.place = bits.below(2) == 0, f"t{bits.below(2)}", bits.below(3)
    row.schema, row.key_schema = bits.below(len(SCHEMAS)), (None, A, B)[bits.below(3)]
    if alike and before is not None:
        for name in ("columns", "topic", "place", "schema", "key_schema"):
            setattr(row, name, getattr(before, name))
    return row


def link_of(bits: Bits) -> tuple[int, int, int | None, bool]:
    kind, arg, asked, negate = bits.below(len(KINDS)), bits.below(4), bits.below(2 * len(ASKED)), bits.below(2) == 1
    return kind, arg + 3, asked if asked < len(ASKED) else None, negate


def case_of(rows: list[int], links: list[int], mood: int) -> Case:
    made: list[SimpleNamespace] = []
    for number, bits in enumerate(rows):
        made.append(row_of(number, Bits(bits), made[-1] if made else None))
    stopping, timeout_ms = ((False, 0), (False, 2000), (False, 500), (True, -1))[mood // 2 % 4]
    return Case(made, [link_of(Bits(bits)) for bits in links], Tolerance(mood % 2 == 1, timeout_ms, 700), stopping)


def drawn(seed: int) -> Numbers:
    """The numbers of a case; one seed, one case."""
    draw = random.Random(seed)
    rows = [draw.getrandbits(48) for _ in range(draw.getrandbits(8) % (ROWS + 1))]
    links = [draw.getrandbits(32) for _ in range(draw.getrandbits(8) % (LINKS + 1))]
    return rows, links, draw.getrandbits(8) % MOODS


def smallest(numbers: Numbers, fails: Callable[[Numbers], bool]) -> Numbers:
    """Leave out rows and links, then make numbers smaller, as long as the case still fails."""
    rows, links, mood = numbers
    for _ in range(20):
        before = (list(rows), list(links), mood)
        for some in (rows, links):
            at = 0
            while at < len(some):
                kept = some[at]
                del some[at]
                if not fails((rows, links, mood)):
                    some.insert(at, kept)
                    at += 1
        for some in (rows, links):
            for at, kept in enumerate(some):
                for less in (0, kept % NS, kept >> 1, kept - 1):
                    some[at] = less
                    if 0 <= less < kept and fails((rows, links, mood)):
                        break
                    some[at] = kept
        if before == (rows, links, mood):
            break
    return rows, links, mood


def plugins_of(case: Case, calls: Calls) -> list[tuple[Tried, Asked | None, bool]]:
    return [
        (
            KINDS[kind](f"transform {at}", arg, calls),
            None if asked is None else ASKED[asked](f"predicate {at}", arg, calls),
            negate,
        )
        for at, (kind, arg, asked, negate) in enumerate(case.links)
    ]


def link_name(at: int) -> str:
    return f"link-{at}"


def text(error: BaseException) -> str:
    if isinstance(error, TypeError) or "apply must give a Record" in str(error):
        return "stranger"
    if isinstance(error, RuntimeError):
        return "stop"
    return f"{type(error).__name__}: {error}"


def shown(record: Any) -> Any:
    return (
        *(record.topic, record.value_schema, record.value and sorted(record.value.items())),
        *(record.key_schema, record.key, record.partition, record.timestamp, list(record.headers)),
    )


def raw_value(row: SimpleNamespace) -> bytes | None:
    return None if row.value is None else f"{row.id},{row.n},{row.schema}".encode()


def raw_key(row: SimpleNamespace) -> bytes | None:
    return None if row.key is None else str(row.key).encode()


def raw_headers(row: SimpleNamespace) -> list[tuple[str, bytes | None]]:
    return [(header.name, None if header.value is None else str(header.value).encode()) for header in row.headers]
