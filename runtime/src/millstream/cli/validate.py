"""`millstream validate FILE`: what `PUT …/config/validate` would say, without a worker that runs."""

import logging
from pathlib import Path
from typing import Any

import click

from millstream.cli.connector_files import read_connector
from millstream.cli.output import EXIT_FAILED, fail, json_option, print_json, print_table, say, warn
from millstream.errors import ConfigError, MillstreamError, message_of
from millstream.herder.classes import kind_of, plugin_of, target_of
from millstream.host.channel import RunProbe
from millstream.host.installed import worker_settings
from millstream.host.report import UNDECLARED
from millstream.inventory.discovery import discover
from millstream.inventory.required import check_converters
from millstream.settings.properties import read_properties
from millstream.settings.reading import WITHOUT_A_FILE, bootstrap_of, worker_config
from millstream.worker.worker import Worker, WorkerSetup

PATIENCE_S = 90.0


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The worker's properties file; without one: JSON converters, ./millstream-data/.",
)
@json_option
def validate(file: Path, config: Path | None, as_json: bool) -> None:
    """Check the connector of FILE without starting it: every setting, and what its plugin finds outside.

    Exit code 0: it will do; 1: it will not, or could not be checked.
    """
    logging.basicConfig(level=logging.ERROR)
    try:
        settings = read_properties(config) if config else dict(WITHOUT_A_FILE)
        report = _report(file, settings)
    except (MillstreamError, OSError, ValueError, TimeoutError) as error:
        fail(message_of(error) or f"no answer within {PATIENCE_S:.0f} s")
    for name, meant in report.pop(UNDECLARED).items():
        warn(f"nothing declares the setting {name!r}, and it may change nothing; {meant}")
    wrong = [each["value"] for each in report["configs"] if each["value"] and each["value"]["errors"]]
    if as_json:
        print_json(report)
    elif wrong:
        print_table(
            ["setting", "value", "problem"], [(v["name"], v["value"] or "", "; ".join(v["errors"])) for v in wrong]
        )
    else:
        say(f"{file}: no problem in {len(report['configs'])} settings")
    if report["error_count"]:
        raise SystemExit(EXIT_FAILED)


def _report(file: Path, settings: dict[str, str]) -> dict[str, Any]:
    resolved = worker_settings(settings)
    config = worker_config(resolved)
    inventory = discover(frozenset(config.plugins_disabled))
    check_converters(config, inventory)
    connector = read_connector(file)
    if not connector.config.get("connector.class"):
        raise ConfigError({"connector.class": f"{file}: the setting connector.class is missing; it names the plugin"})
    plugin = plugin_of(inventory, connector.config)
    arguments = {"kind": kind_of(inventory, connector.config)}
    probe = RunProbe("report", target_of(plugin), connector.config, arguments, connector.name)
    known = {**settings, "bootstrap.servers": bootstrap_of(resolved)}
    worker = Worker(WorkerSetup(settings=known, disabled=config.plugins_disabled))
    worker.start()
    try:
        report: dict[str, Any] = worker.probe(probe, PATIENCE_S).result(PATIENCE_S)
    finally:
        worker.close()
    return report
