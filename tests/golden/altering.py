"""Recorded answers with one field changed, which a comparison must notice."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any


def others(leaf: Any) -> list[Any]:
    """A field with other values: first of the same type, then of another."""
    match leaf:
        case bool():
            return [not leaf, str(leaf)]
        case int() | float():
            return [leaf + 1, str(leaf), None]
        case str():
            return [leaf + "x", "x" + leaf, None, leaf.swapcase() if leaf.swapcase() != leaf else 0]
        case None:
            return ["", 0, "null"]
        case list():
            return [[*leaf, "x"], None, [] if leaf else {}]
    return [[], None]


def changed(value: Any, leaves: Callable[[Any], Iterable[Any]] = others) -> Iterator[Any]:
    """An answer with one leaf changed, for each leaf; with one member or element less; with one more."""
    match value:
        case dict() if value:
            for name, each in value.items():
                yield from ({**value, name: other} for other in changed(each, leaves))
                yield {other: value[other] for other in value if other != name}
            yield {**value, "unheard": "of"}
        case list() if value:
            for number, each in enumerate(value):
                yield from ([*value[:number], other, *value[number + 1 :]] for other in changed(each, leaves))
                yield value[:number] + value[number + 1 :]
            yield [*value, "unheard of"]
        case _:
            yield from leaves(value)
