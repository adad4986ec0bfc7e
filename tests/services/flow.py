"""A file that grows: a part at once, the rest little by little, the end of it when it is told to."""

import threading
from pathlib import Path

from services.accounting import line

PIECES_A_SECOND = 10


class Flow:
    """at_once, held: shares of the lines.   seconds: how long what is between takes."""

    def __init__(self, path: Path, lines: int, at_once: float, seconds: float, held: float = 0.02) -> None:
        self.lines = lines
        self.given = 0
        self._path = path
        self._first = int(at_once * lines)
        self._last = lines - int(held * lines)
        self._pieces = max(int(seconds * PIECES_A_SECOND), 1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        path.touch()

    def start(self) -> None:
        self._give(self._first)
        self._thread.start()

    def finish(self) -> None:
        """All that is left, now."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._give(self.lines)

    def _run(self) -> None:
        size = (self._last - self._first) // self._pieces + 1
        while self.given < self._last and not self._over.wait(1 / PIECES_A_SECOND):
            self._give(min(self.given + size, self._last))

    def _give(self, to: int) -> None:
        with self._path.open("a") as file:
            file.write("".join(map(line, range(self.given, to))))
        self.given = to
