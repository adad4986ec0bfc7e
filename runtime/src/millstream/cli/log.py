"""`millstream log …`: to look after the file of an embedded log while no worker uses it."""

from pathlib import Path

import click

from millstream.broker.embedded.log import compact as compact_log
from millstream.cli.output import fail, json_option, print_json, say
from millstream.errors import MillstreamError
from millstream.host.installed import worker_settings
from millstream.settings.properties import read_properties
from millstream.settings.reading import bootstrap_of


@click.group()
def log() -> None:
    """Look after the embedded log's file."""


@log.command()
@click.option(
    "--bootstrap",
    metavar="sqlite:PATH",
    help="The log's bootstrap.servers; neither this nor --config: ./millstream-data/.",
)
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A worker's properties file."
)
@json_option
def compact(bootstrap: str | None, config: Path | None, as_json: bool) -> None:
    """Give the space of removed records back to the disk. The log must not be in use; this may take a while."""
    if bootstrap is not None and config:
        raise click.UsageError("--bootstrap and --config exclude each other")
    if bootstrap is not None and not bootstrap.strip():
        raise click.UsageError("--bootstrap is empty; expected sqlite:PATH")
    try:
        settings = worker_settings(read_properties(config)) if config else {}
        sizes = compact_log(bootstrap_of({"bootstrap.servers": bootstrap} if bootstrap else settings))
    except (MillstreamError, OSError, ValueError) as error:
        fail(str(error))
    if as_json:
        print_json([{"file": str(path), "bytes_before": sizes[path][0], "bytes": sizes[path][1]} for path in sizes])
        return
    for path, (before, after) in sizes.items():
        say(f"{path}: {before} bytes, now {after}")
