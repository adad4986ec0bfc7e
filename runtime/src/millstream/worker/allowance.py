"""How many lines of children's output may be told: so many at once, and so many a second."""

from collections.abc import Callable


class Allowance:
    """Grows by `a_second` up to `at_once`; what is taken is gone.

    now: monotonic seconds.
    """

    def __init__(self, a_second: float, at_once: float, now: Callable[[], float]) -> None:
        self._a_second = a_second
        self._at_once = at_once
        self._now = now
        self._left = at_once
        self._filled_at = now()

    @property
    def left(self) -> float:
        now = self._now()
        self._left = min(self._left + (now - self._filled_at) * self._a_second, self._at_once)
        self._filled_at = now
        return self._left

    def take(self, wanted: int) -> int:
        """Take as many as there are, at most `wanted`; give how many that was."""
        taken = min(wanted, int(self.left))
        self._left -= taken
        return taken
