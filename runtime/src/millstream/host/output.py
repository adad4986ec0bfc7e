"""How a child's log lines travel to the worker: marked lines on the pipe that its standard output also goes to.

A marked line is RS, the level's number, US, the logger's name, US, the text with line ends as GS. Whatever comes
without the mark was printed by somebody else: the plugin, librdkafka, an abort, faulthandler.
"""

import contextlib
import io
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from millstream.errors import headline_of, trace_of

log = logging.getLogger(__name__)

MARK = "\x1e"
FIELD = "\x1f"
LINE_END = "\x1d"
MAX_TEXT = 32_000  # characters of one entry


class _Marked(logging.Handler):
    """Writes marked lines with one `write` each, past every buffer a plugin might touch."""

    def __init__(self, descriptor: int, veil: Callable[[str], str]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._veil = veil

    def emit(self, record: logging.LogRecord) -> None:
        os.write(self._descriptor, marked(record.levelno, record.name, self._veil(text_of(record))))


Parting = Callable[[bytes, bool], tuple[bytes, bytes]]
"""Gives what may be told of a text, and its end that may be the beginning of what may not: given true, nothing."""


class _Veiled(io.BufferedWriter):
    """Holds back the end of what was written while it may be the beginning of a secret: that may come in pieces.

    Any thread may write. No lock, which a fork could leave locked and a signal's handler meet: what was held back is
    taken by whoever comes next, and nobody else.
    """

    def __init__(self, descriptor: int, part: Parting) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))
        self._part = part
        self._held: deque[bytes] = deque()

    def write(self, data: Any, /) -> int:
        given = bytes(data)
        told, held = self._part(self._taken() + given, False)
        if held:
            self._held.append(held)
        if told:
            super().write(told)
        return len(given)

    def finish(self) -> None:
        """Nothing comes any more: what was the beginning of a secret, and no more, is told."""
        super().write(self._part(self._taken(), True)[0])
        self.flush()

    def _taken(self) -> bytes:
        taken = b""
        while self._held:
            with contextlib.suppress(IndexError):  # another thread was faster
                taken += self._held.popleft()
        return taken


class Printed(io.TextIOWrapper):
    """Standard output or error of a child, line by line: what a plugin prints, and tracebacks that Python prints.

    What is told is looked at once a line, however many pieces it was written in, and also what goes to `buffer`.
    """

    def __init__(self, descriptor: int, part: Parting) -> None:
        self._veiled = _Veiled(descriptor, part)
        super().__init__(self._veiled, "utf-8", "backslashreplace", line_buffering=True)

    def finish(self) -> None:
        """Before the process ends."""
        self.flush()
        self._veiled.finish()


def thread_ended(ended: threading.ExceptHookArgs) -> None:
    """Tell in one line of the log that a thread which a plugin started has ended by an exception.

    In the place of `threading.excepthook`, which prints a traceback to whoever looks at the worker's output.
    """
    error = ended.exc_value
    if error is None or isinstance(error, SystemExit):  # of which Python says nothing, too
        return
    name = ended.thread.name if ended.thread is not None else "of no name"
    trace = trace_of(error)
    where = next((line.removeprefix("\tat ") for line in trace.split("\n") if line.startswith("\tat ")), "nowhere")
    log.error("the thread %r of the plugin has ended by %s (at %s)", name, headline_of(trace), where)
    log.debug("the thread %r of the plugin ended here", name, exc_info=error)


def text_of(record: logging.LogRecord) -> str:
    """Give what an entry says, its traceback included."""
    try:
        text = record.getMessage()
        return f"{text}\n{logging.Formatter().formatException(record.exc_info)}" if record.exc_info else text
    except Exception as error:  # noqa: BLE001 - an argument's __str__ is plugin code; the entry is told all the same
        return f"{record.msg!r} (its arguments could not be formatted: {type(error).__name__})"


def marked(level: int, logger: str, text: str) -> bytes:
    """Give one log entry as the bytes that go through the pipe."""
    flat = text[:MAX_TEXT].rstrip("\n").replace("\n", LINE_END).replace("\r", "")
    return f"{MARK}{level}{FIELD}{logger}{FIELD}{flat}\n".encode("utf-8", "backslashreplace")


def unmarked(line: str) -> tuple[int, str, str] | None:
    """Read level, logger and text of a marked line; None for any other."""
    if not line.startswith(MARK):
        return None
    level, _, rest = line[1:].partition(FIELD)
    logger, found, text = rest.partition(FIELD)
    is_level = level.isascii() and level.isdigit() and len(level) < 4  # "²" is a digit, and no number
    return (int(level), logger, text.replace(LINE_END, "\n")) if found and is_level else None


def ready() -> None:
    """Do before a fork what need not be done after it: setting a level goes through all loggers there are."""
    logging.getLogger().setLevel(logging.INFO)


def to_descriptor(descriptor: int, veil: Callable[[str], str]) -> None:
    """Make the pipe the only place that this process logs to.   veil: gives what may be told of a text."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_Marked(descriptor, veil))
    if root.level != logging.INFO:
        ready()
    logging.captureWarnings(True)


def set_levels(levels: Mapping[str, int]) -> None:
    """Set levels by logger name; `root` is the root, 0 takes a level back (the root's becomes INFO)."""
    for name, level in levels.items():
        if name == "root":
            logging.getLogger().setLevel(level or logging.INFO)
        else:
            logging.getLogger(name).setLevel(level)
