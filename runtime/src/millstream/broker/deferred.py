"""A column that is made when it is looked at: what most readers never ask for costs them nothing."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")
U = TypeVar("U")


class Deferred(Sequence[T], Generic[T]):
    """`count` values, made all at once by the first look at one of them; what `make` raises comes out of that look."""

    __slots__ = ("_count", "_made", "_make")

    def __init__(self, count: int, make: Callable[[], list[T]]) -> None:
        self._count = count
        self._make: Callable[[], list[T]] | None = make
        self._made: list[T] = []

    def then(self, step: "Callable[[list[T]], list[U]]") -> "Deferred[U]":
        """The same column after a step, which is deferred, too."""
        return Deferred(self._count, lambda: step(self.values()))

    def values(self) -> list[T]:
        if self._make is not None:
            self._made = self._make()
            self._make = None  # and with it what the values were made of
        return self._made

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return iter(self.values())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self.values()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.values() == list(other)

    __hash__ = None  # type: ignore[assignment]  # a list's

    def __repr__(self) -> str:
        return f"Deferred({self._count})"
