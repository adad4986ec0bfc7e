"""Every command of the command line, as a program of its own, in a state in which it waits or fails."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from running import BIN, PATIENCE_S, until

from millstream.cli.main import main

CONNECTORS = {
    "list": (),
    "status": ("x",),
    "create": ("c.json",),
    "delete": ("x",),
    "pause": ("x",),
    "resume": ("x",),
    "stop": ("x",),
    "restart": ("x",),
    "offsets": ("x",),
}


def leaves(command: click.Command = main, name: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """The commands that do something, by their words."""
    if not isinstance(command, click.Group):
        return {name: command}
    found: dict[tuple[str, ...], click.Command] = {}
    context = click.Context(command)
    for each in command.list_commands(context):
        child = command.get_command(context, each)
        assert child is not None
        found |= leaves(child, (*name, each))
    return found


def connectors(url: str) -> dict[tuple[str, ...], Sequence[str]]:
    """The arguments of every command of `connectors`, by its words, for the worker at `url`."""
    return {
        ("connectors", name): ("connectors", "--url", url, name, *arguments) for name, arguments in CONNECTORS.items()
    }


def program(arguments: Sequence[str]) -> list[str]:
    """`millstream` with the arguments, or a Java script by its name."""
    name, *rest = arguments if arguments[0].startswith("connect-") else ("millstream", *arguments)
    return [str(BIN / name), *rest]


def ended(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What a command says that is given nothing on standard input."""
    environment = {**os.environ, **more}
    return subprocess.run(
        program(arguments), cwd=folder, env=environment, input="", capture_output=True, text=True, timeout=PATIENCE_S
    )


@contextmanager
def silent() -> Iterator[str]:
    """The host and port of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield "{}:{}".format(*listening.getsockname())


@contextmanager
def begun(
    folder: Path, arguments: Sequence[str], stdout: int = subprocess.PIPE, prefix: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, that hears signals by now; its standard input stays open."""
    process = subprocess.Popen(
        [*prefix, *program(arguments)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until(lambda: _hears(process), "the command to hear signals")
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _hears(process: subprocess.Popen[str]) -> bool:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return process.poll() is not None or bool(caught >> (signal.SIGHUP - 1) & 1)


def left_of(session: int) -> list[str]:
    """What still runs of a session, after some time for it to end."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = [text for text in map(_stat, Path("/proc").glob("[0-9]*")) if text and _session(text) == session]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def _stat(process: Path) -> str:
    try:
        return (process / "stat").read_text()
    except OSError:  # it ended
        return ""


def _session(stat: str) -> int:
    state, _, _, session = stat.rpartition(")")[2].split()[:4]
    return -1 if state == "Z" else int(session)
