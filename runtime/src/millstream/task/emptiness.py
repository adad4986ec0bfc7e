"""Polls that give nothing: what an author is told of them, once a task."""

import logging

log = logging.getLogger(__name__)

MANY = 1_000
SECONDS = 0.5  # within which so many polls in a row show that nothing is waited for


class EmptyPolls:
    """Tells of a poll that gives None, as one without `return` does, and of one that does not wait for what is to come.

    name: of the task's class.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        self._since = 0.0
        self._none_is_told = self._haste_is_told = False

    def gave_nothing(self, polled: object, started: float) -> None:
        """started: when the poll began, in monotonic seconds."""
        if polled is None and not self._none_is_told:
            self._none_is_told = True
            log.warning("poll of %s gave None, which is taken for []: does it lack a return?", self._name)
        if self._count == 0:
            self._since = started
        self._count += 1
        if self._count < MANY:
            return
        self._count = 0
        if started - self._since < SECONDS and not self._haste_is_told:
            self._haste_is_told = True
            log.warning(
                "poll of %s gave nothing %d times in %.2f s, and keeps a processor busy: where there is nothing yet, it"
                " should wait by context.wait(seconds)",
                self._name, MANY, started - self._since,
            )  # fmt: skip

    def gave_rows(self) -> None:
        self._count = 0
