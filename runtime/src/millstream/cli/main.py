"""`millstream`: which command is meant. A command's module is imported when it is asked for: none pays for another."""

from difflib import get_close_matches
from importlib import import_module, metadata
from typing import Any

import click

from millstream.cli.interrupts import heard
from millstream.cli.output import outside_told

#: command: (where it lives, what `millstream --help` says of it)
COMMANDS = {
    "run": ("millstream.cli.run:run", "Run a worker until it is told to stop."),
    "plugins": ("millstream.cli.plugins:plugins", "What is installed, and what could not be used."),
    "validate": ("millstream.cli.validate:validate", "Check a connector file without starting it."),
    "topics": ("millstream.cli.records:topics", "The topics of a log."),
    "consume": ("millstream.cli.records:consume", "Print the records of a topic."),
    "produce": ("millstream.cli.produce:produce", "Write the lines of standard input to a topic."),
    "connectors": ("millstream.cli.connectors:connectors", "List, create, pause … over any Connect REST API."),
    "log": ("millstream.cli.log:log", "Look after the embedded log's file."),
}


class LazyGroup(click.Group):
    """A group whose commands are known by name and imported when they are called."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """A signal ends a command as it would end a program that knows nothing of it, for those who see its code."""
        with heard():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with outside_told():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with outside_told():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and (nearest := get_close_matches(args[0], COMMANDS, 1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {nearest[0]!r}?")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("millstream"), prog_name="millstream")
def main() -> None:
    """Kafka Connect for Python.

    Exit codes: 0 done; 1 it could not be done, and the message says why; 2 the command line is wrong, or the worker
    could not be set up; 3 the worker could not start or a connector given to it could not be read or created (as
    Java's); 130, 143 or 129 ended by Ctrl-C, SIGTERM or SIGHUP (a worker that has been set up: 0). Errors are a
    sentence on standard error, with --json, too.
    """
