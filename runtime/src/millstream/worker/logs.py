"""What children log and print: read from their pipes, cut when it is too much, told again in the worker's log."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from millstream.host import output
from millstream.host.channel import LogLine
from millstream.worker.allowance import Allowance

PRINTED = "millstream.child.output"
"""The logger of lines that were not logged but printed."""

LINES_A_SECOND = 100
BURST_LINES = 1_000
KEPT_LINES = 50
MAX_LINE = 40_000  # bytes; the rest of a longer line is dropped
TAIL = 16_384
FLOOD_SECONDS = 1.0
"""A flood goes on being cut for this long, and is told of this often: line by line the worker would log as much about
it as it holds."""


class Reader(Protocol):
    """The thread that reads and tells the output of all children.

    lines: what it may tell beyond what each child may by itself: telling takes time, and all children wait for it.
    """

    lines: Allowance

    def now(self) -> float: ...
    def after(self, seconds: float, call: Callable[[], None]) -> object: ...


class Output:
    """The output of one child: bytes in, lines out, never more memory than a few lines need.

    label:  put before each line in the worker's log, `[orders|task-0]`.
    Each child may have 1,000 lines told at once and 100 a second; what it has beyond that it shares with all others.
    Lines beyond both are counted and dropped, and the count is logged, twice a second at most and a second after the
    last of them at the latest.
    """

    def __init__(self, label: str, hear: Callable[[LogLine], None], reader: Reader) -> None:
        self._label = label
        self._hear = hear
        self._reader = reader
        self._own = Allowance(LINES_A_SECOND, BURST_LINES, reader.now)
        self._will_report = False
        self._rest = b""
        self._rest_is_cut = False
        self._cut_lines = self._cut_bytes = 0
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._tail = b""
        self.capture: list[str] | None = None
        """While it is a list: the lines of a stack, which is on its way, go here and nowhere else."""

    @property
    def is_flooded(self) -> bool:
        """Whether lines are being dropped now."""
        return bool(self._tail)

    def feed(self, data: bytes) -> None:
        """Take what was read from the pipe."""
        if self.is_flooded:
            if self._own.left < FLOOD_SECONDS * LINES_A_SECOND:
                self._drop(data)
                return
            data = self._end_of_flood(data)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = b""
        allowed = self._own.take(len(lines))
        allowed += self._reader.lines.take(len(lines) - allowed)
        for line in lines[:allowed]:
            self._tell(line[:MAX_LINE])
        if allowed < len(lines):
            self._drop(b"\n".join([*lines[allowed:], rest]))
            return
        if len(rest) > MAX_LINE:
            self._cut_bytes += len(rest) - MAX_LINE
            self._report_after_a_while()
        self._rest = rest[:MAX_LINE]

    def finish(self) -> None:
        """The child is gone: tell an unfinished line, and what was cut."""
        if self._tail:
            self._kept.extend(_readable(line) for line in self._tail.split(b"\n")[1:] if line.strip())
        elif self._rest:
            self._tell(self._rest)
        self._rest = b""
        self._report_cut()

    def last_lines(self) -> str:
        """Give the last 50 lines, as they were told or, after a flood, as they came."""
        return "\n".join(self._kept)

    def _drop(self, data: bytes) -> None:
        self._cut_lines += data.count(b"\n")
        self._cut_bytes += len(data)
        self._tail = (self._tail + data)[-TAIL:]
        self._report_after_a_while()

    def _report_after_a_while(self) -> None:
        def report() -> None:
            self._will_report = False
            self._report_cut()

        if not self._will_report:
            self._will_report = True
            self._reader.after(FLOOD_SECONDS, report)

    def _end_of_flood(self, data: bytes) -> bytes:
        """Begin again at a whole line; keep what the flood ended with among the last lines."""
        head, found, after = data.partition(b"\n")
        self._drop(head + found)
        if not found:
            return b""
        self._kept.extend(_readable(line) for line in self._tail.split(b"\n")[1:] if line.strip())
        self._tail = b""
        self._report_cut()
        return after

    def _report_cut(self) -> None:
        if self._cut_lines or self._cut_bytes:
            text = (
                f"{self._cut_lines} lines ({self._cut_bytes} bytes) of its output were cut: "
                f"more lines a second than the worker tells, or a line of more than {MAX_LINE} bytes"
            )
            self._cut_lines = self._cut_bytes = 0
            self._pass_on(logging.WARNING, PRINTED, text)

    def _tell(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        entry = output.unmarked(text)
        if entry is None:
            if not text.strip():
                return
            if self.capture is not None and is_of_stack(text):
                self.capture.append(text)
                return
            entry = (logging.INFO, PRINTED, text)
        self._kept.append(_shown(entry))
        self._pass_on(*entry)

    def _pass_on(self, level: int, logger: str, text: str) -> None:
        target = logging.getLogger(logger)
        if target.isEnabledFor(level):
            target.handle(target.makeRecord(logger, level, self._label, 0, "[%s] %s", (self._label, text), None))
        self._hear(LogLine(level, logger, text))


def _readable(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    entry = output.unmarked(text)
    return _shown(entry) if entry else text


def _shown(entry: tuple[int, str, str]) -> str:
    level, logger, text = entry
    return text if logger == PRINTED else f"{logging.getLevelName(level)} {logger}: {text}"


def is_of_stack(line: str) -> bool:
    """Whether faulthandler writes such lines."""
    return line.startswith(("Thread 0x", "Current thread 0x", '  File "', "  ..."))


def stack_in(lines: Iterable[str]) -> str:
    """Give what plugin code is in these lines of faulthandler, as frames of a trace, the innermost first.

    The runtime's own frames below it are left out, and threads that are in the runtime alone.
    """
    shown: list[str] = []
    frames: list[str] = []
    head = ""
    for line in [*lines, "Thread 0x"]:
        if "hread 0x" in line:
            if frames:
                shown += [f"\t{head}", *frames]
            head, frames, ours = line, [], False
        elif _is_ours(line):
            ours = True
        elif not ours:
            frames.append(f"\tat {line.strip()}")
    return "\n".join(shown)


def is_whole(lines: Iterable[str], thread: int) -> bool:
    """Whether no more is to come of what `stack_in` gives.

    thread: its number; the one that runs plugin code is the oldest, and told last. Below the plugin's frames are the
    runtime's; of very many faulthandler leaves the last out.
    """
    begun = False
    for line in lines:
        if "hread 0x" in line:
            begun = f"{thread:x} " in line
        elif begun and (_is_ours(line) or line.startswith("  ...")):
            return True
    return False


def _is_ours(line: str) -> bool:
    return any(room in line for room in ("/millstream/host/", "/millstream/task/", "/millstream/lifecycle.py"))
