"""The transformations of a connector, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from millstream_api import Predicate, Transformation


@dataclass(frozen=True, slots=True)
class Link:
    """A transformation with its predicate: applied iff `predicate.test(record)` differs from `negate` (§9.1).

    class_name: what logs and dead letters call it; by default module:Class.
    """

    transformation: Transformation[Any]
    predicate: Predicate[Any] | None = None
    negate: bool = False
    class_name: str = ""


class Chain:
    """Links in the order of `transforms`."""

    def __init__(self, links: Sequence[Link] = ()) -> None: ...
