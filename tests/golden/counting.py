"""How much of the recordings was replayed."""

from typing import NamedTuple


class Count(NamedTuple):
    """How many steps of a file or scenario were replayed alike.

    listed: those whose answer differs as listed.   to_do: those that are to become alike, or cannot be replayed yet.
    """

    alike: int
    of: int
    listed: int = 0
    to_do: int = 0

    def __str__(self) -> str:
        rest = f"; {self.listed} differ as listed, {self.to_do} to do" if self.listed or self.to_do else ""
        return f"{self.alike} of {self.of} replayed alike{rest}"
