"""Lines from blocks of bytes: which of them are complete, and where each one ends. Knows no files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import accumulate
from operator import itemgetter

#: mean length of a line, in bytes, from which on the lines of the next block are looked for one by one. `split` tries
#: each character, the reader of a BytesIO is `memchr`: half the time at 1,000 bytes, more time below 300
LONG_LINE = 400
_without_end = itemgetter(slice(-1))


@dataclass(slots=True)
class Lines:
    """Complete lines that stand next to each other in a file.

    start:   byte position of the first one.
    raw:     their bytes, terminators included.
    texts:   the lines without their terminators.
    faulty:  byte position in the file of the first byte that is not UTF-8 and was replaced; None: all is well.
    plain:   each line is its text and one byte; nothing was replaced.
    """

    start: int
    raw: bytes
    texts: Sequence[str]
    faulty: int | None = None
    plain: bool = False
    _ends: Sequence[int] | None = field(default=None, repr=False)
    _found: tuple[int, int] = field(default=(-1, 0), repr=False)  # the line asked for last, and its end less `start`

    def end_of(self, line: int) -> int:
        """Byte position behind the terminator of a line. Found only when asked for: once a slice, not once a line."""
        if line == len(self.texts) - 1:
            return self.start + len(self.raw)
        if self.plain:
            return self.start + self._counted(line)
        if self._ends is None:
            self._ends = list(accumulate(map(len, self.raw.splitlines(keepends=True)), initial=self.start))
        return self._ends[line + 1]

    def _counted(self, line: int) -> int:
        """On from the line asked for before: an eighth of what cutting all of them once more costs."""
        before, end = self._found if self._found[0] <= line else (-1, 0)
        if line > before:
            some = self.texts[before + 1 : line + 1]
            end += len("\n".join(some).encode()) + 1
            self._found = (line, end)
        return end


class LineSplitter:
    r"""Cuts blocks into lines that end with `\n`, `\r\n` or `\r`; keeps back what is not complete.

    A `\r` at the end of what is there waits for the next byte, which may belong to it. `position` is the byte position
    in the file of the first byte not yet given, `kept` says how many bytes are kept back.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.kept = 0
        self._kept: list[bytes] = []
        self._long = False

    def feed(self, block: bytes) -> Lines | None:
        """Take the next bytes of the file; give the lines they complete, None when there is none."""
        waiting = bool(self._kept) and self._kept[-1].endswith(b"\r")
        if not waiting and b"\n" not in block and b"\r" not in block:
            self._kept.append(block)  # a long line: joined once, when its end is there
            self.kept += len(block)
            return None
        data = b"".join((*self._kept, block)) if self._kept else block
        limit = len(data) - 1 if data.endswith(b"\r") else len(data)
        end = max(data.rfind(b"\n", 0, limit), data.rfind(b"\r", 0, limit)) + 1
        self._kept = [data[end:]] if end < len(data) else []
        self.kept = len(data) - end
        return self._cut(data[:end]) if end else None

    def rest(self) -> Lines | None:
        """Give what is kept back as a last line, for an input that has come to its end."""
        data = b"".join(self._kept)
        self._kept, self.kept = [], 0
        return self._cut(data) if data else None

    def _cut(self, raw: bytes) -> Lines:
        start = self.position
        self.position += len(raw)
        lines = (_one_by_one(start, raw) if self._long else None) or _at_once(start, raw)
        self._long = len(raw) > LONG_LINE * len(lines.texts)
        return lines


def _one_by_one(start: int, raw: bytes) -> Lines | None:
    """None when it takes more than finding each line end."""
    if b"\r" in raw or not raw.endswith(b"\n"):
        return None
    try:
        texts = list(map(bytes.decode, map(_without_end, BytesIO(raw))))
    except UnicodeDecodeError:
        return None
    return Lines(start, raw, texts, plain=True)


def _at_once(start: int, raw: bytes) -> Lines:
    faulty = None
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        faulty = start + error.start
        text = raw.decode(errors="replace")
    plain = faulty is None and "\r" not in text
    if not plain:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    texts = text.split("\n")
    if not texts[-1]:
        texts.pop()  # behind the last terminator
    return Lines(start, raw, texts, faulty, plain)
