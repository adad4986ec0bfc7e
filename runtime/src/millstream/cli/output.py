"""What a command prints: tables for people, JSON with `--json`, and errors on standard error with an exit code."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

EXIT_FAILED = 1


def json_option(function: F) -> F:
    """`--json`: the parameter `as_json` of a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(function)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table as wide as the terminal; on a pipe as wide as its contents, so that `grep` sees whole lines."""
    from rich.console import Console  # 40 ms that `--json` and `run` do not pay
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(200, console.measure(table).maximum))
    console.print(table)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say why on standard error, and end."""
    click.echo(f"millstream: {message}", err=True)
    raise SystemExit(code)
