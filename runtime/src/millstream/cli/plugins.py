"""`millstream plugins list`: what is installed, and what could not be used."""

import logging

import click

from millstream.cli.output import json_option, print_json, print_table, say
from millstream.inventory.discovery import discover
from millstream.inventory.inventory import clash
from millstream.settings.plugins import Kind


@click.group()
def plugins() -> None:
    """What is installed, and what could not be used."""


@plugins.command("list")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only plugins of this kind.")
@json_option
def list_(kind: str | None, as_json: bool) -> None:
    """Every plugin with its version and distribution; then the distributions that could not be used, and why."""
    logging.basicConfig(level=logging.ERROR)  # what would be logged is printed below
    found = discover()
    rows = found.of(*(Kind if kind is None else [Kind(kind)]))
    failures = {name: f"{type(error).__name__}: {error}" for name, error in found.failures.items()}
    failures |= {name: clash(claimants) for name, claimants in found.refused.items()}
    if as_json:
        listed = [
            {
                "class": row.name,
                "type": row.kind.value,
                "version": row.reported_version,
                "target": row.target,
                "distribution": f"{row.distribution} {row.version}",
            }
            for row in rows
        ]
        print_json({"plugins": listed, "failures": failures})
        return
    cells = [
        (
            row.kind.value,
            row.target if row.name in found.refused else row.name,
            row.reported_version,
            f"{row.distribution} {row.version}",
        )
        for row in rows
    ]
    print_table(["type", "class", "version", "distribution"], cells)
    if failures:
        say("")
        print_table(["could not be used", "why"], list(failures.items()))
