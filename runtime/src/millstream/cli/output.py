"""What a command prints: tables for people, JSON with `--json`, and errors on standard error with an exit code."""

import errno
import io
import json
import os
import re
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

EXIT_FAILED = 1
LAST_COLUMN = 30  # at least so many characters, before a table becomes wider than the terminal

#: what a terminal would follow instead of showing: C0, DEL, C1, and what turns the direction of writing; half a pair
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CONTROLS_IN_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
UNSHOWN_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
PADDING = re.compile(r" +(\x1b\[0m)?$", re.MULTILINE)
SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def json_option(function: F) -> F:
    """`--json`: the parameter `as_json` of a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(function)


def harmless(text: str) -> str:
    """In one line, with escapes for what a terminal would follow: a record's value may hold anything."""
    return CONTROLS.sub(_escape, text)


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON with characters as they are, but for those that a terminal would follow."""
    return UNSHOWN_IN_JSON.sub(_json_escape, json.dumps(value, ensure_ascii=False, indent=indent))


def print_json(value: Any) -> None:
    say(json_text(value, 2))


def say(text: str) -> None:
    """Print a line on standard output."""
    write(f"{text}\n")


def write(text: str) -> None:
    """Print on standard output. A reader that has enough, such as `head`, ends the command with 0."""
    if sys.stdout is None:  # it was closed by whoever started this
        return
    try:
        sys.stdout.write(_encodable(text))
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_output()
        raise SystemExit(0) from None
    except OSError as error:
        _leave_output()
        fail(f"standard output cannot be written: {error.strerror}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table as wide as the terminal, its last column in several lines if need be. The others are never folded, so
    that names can be copied, and on a pipe none is: `grep` sees whole lines."""
    from rich.console import Console  # 40 ms that `--json` and `run` do not pay
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, column in enumerate(columns, 1):
        table.add_column(column, overflow="fold", no_wrap=at < len(columns))
    cells = [[Text(harmless(str(cell))) for cell in row] for row in rows]
    for row in cells:
        table.add_row(*row)
    here = Console()
    widths = [max([len(name), *(row[at].cell_len for row in cells)]) + 2 for at, name in enumerate(columns)]
    if here.is_terminal:
        widths[-1] = min(widths[-1], LAST_COLUMN)
    width = max(here.width if here.is_terminal else 0, sum(widths))
    printed = io.StringIO()
    Console(file=printed, force_terminal=here.is_terminal, width=width).print(table)
    write(PADDING.sub(r"\1", printed.getvalue()))


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say why on standard error, and end."""
    warn(message)
    raise SystemExit(code)


def warn(message: str) -> None:
    """Say it on standard error."""
    try:
        click.echo(f"millstream: {CONTROLS_IN_LINES.sub(_escape, message)}", err=True)
    except OSError:  # nobody hears it; the exit code says that it failed
        _leave(sys.stderr.fileno())


@contextmanager
def outside_told() -> Iterator[None]:
    """Around whatever a command does: what hinders it from outside is a sentence, too, `--help | head` is no failure,
    and what is still to be written is written now, not when nobody can answer for it any more."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE and _reader_is_gone():
            _leave_output()
            raise SystemExit(0) from None
        if error.errno == errno.ENOSPC and error.filename is None:
            _leave_output()  # it cannot take what waits to be written; another file would have its name here
        fail(str(error))


def _reader_is_gone() -> bool:
    if sys.stdout is None:  # closed from the start: the pipe was another one
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _leave_output() -> None:
    """What is still to be written goes nowhere: the interpreter would complain at its end."""
    if sys.stdout is not None:
        _leave(sys.stdout.fileno())


def _leave(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return SHORT.get(found[0]) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
