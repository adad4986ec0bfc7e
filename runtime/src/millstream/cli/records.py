"""`topics`, `consume`: the log from the command line, without a group and beside a running worker."""

import base64
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypedDict, Unpack

import click

from millstream.broker.connect import is_absent, open_broker
from millstream.broker.ports import (
    AdminSettings,
    Broker,
    ConsumerSettings,
    Incoming,
    Start,
)
from millstream.cli.output import fail, harmless, json_option, json_text, print_json, print_table, warn, write
from millstream.errors import MillstreamError, UnknownTopicError
from millstream.settings.properties import read_properties
from millstream.settings.reading import bootstrap_of
from millstream_api import TopicPartition

P = ParamSpec("P")

CLIENT_ID = "millstream-cli"
ROWS = 500
#: how long a poll waits for more, and so how late Ctrl-C may be heard
POLL_S = 0.25


def with_log(function: Callable[Concatenate[Broker, P], None]) -> Callable[..., None]:
    """`--bootstrap` or `--config`: the command gets the log that they name, and it is closed after it.

    Only `produce` makes a log: one that is to be read and is not there was spelled wrong.
    """
    makes = function.__name__ == "produce"

    @click.option(
        "--bootstrap",
        metavar="SERVERS",
        help="sqlite:PATH, or Kafka's brokers as host:port,…; neither this nor --config: ./millstream-data/.",
    )
    @click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A worker's properties file: its log, and on Kafka its client settings.",
    )
    @wraps(function)
    def command(*args: Any, bootstrap: str | None, config: Path | None, **kwargs: Any) -> None:
        broker = opened(bootstrap, config, makes)
        try:
            function(broker, *args, **kwargs)
        except MillstreamError as error:
            fail(str(error))
        finally:
            broker.close()

    return command


def opened(bootstrap: str | None, config: Path | None, makes: bool) -> Broker:
    """The log that the options name; ends the command with the reason when it cannot be opened."""
    if bootstrap is not None and config:
        raise click.UsageError("--bootstrap and --config exclude each other")
    if bootstrap is not None and not bootstrap.strip():
        raise click.UsageError("--bootstrap is empty; expected sqlite:PATH, or Kafka's brokers as host:port,…")
    logging.getLogger("millstream.librdkafka").setLevel(logging.CRITICAL)  # the error that ends the command says it
    try:
        settings = _settings_of(config) if config else {}
        where = bootstrap_of(settings if bootstrap is None else {"bootstrap.servers": bootstrap})
        if not makes and is_absent(where):
            fail(f"there is no log at {where}; a worker makes one, and `millstream produce`")
        broker = open_broker(where, settings)
        broker.check()
        return broker
    except (MillstreamError, OSError, ValueError) as error:
        fail(str(error))


def _settings_of(config: Path) -> dict[str, str]:
    """A worker's, variables replaced."""
    from millstream.host.installed import worker_settings  # it takes as long as all else here, and is seldom needed

    return worker_settings(read_properties(config))


@click.command()
@with_log
@json_option
def topics(broker: Broker, as_json: bool) -> None:
    """The topics of a log, with their partitions and how many records each holds."""
    admin = broker.admin(AdminSettings(CLIENT_ID))
    rows: list[dict[str, Any]] = []
    for name, description in sorted(admin.topics().items()):
        partitions = [TopicPartition(name, number) for number in range(description.partitions)]
        first, end = admin.beginning_offsets(partitions), admin.end_offsets(partitions)
        count = sum(end[partition] - first[partition] for partition in partitions)
        rows.append(
            {"topic": name, "partitions": description.partitions, "offsets": count, "config": description.config}
        )
    admin.close()
    if as_json:
        print_json(rows)
    else:
        print_table(
            ["topic", "partitions", "offsets", "config"],
            [
                (
                    row["topic"],
                    row["partitions"],
                    row["offsets"],
                    ", ".join(f"{k}={v}" for k, v in row["config"].items()),
                )
                for row in rows
            ],
        )


class Reading(TypedDict):
    """What `consume` is asked for."""

    topic: str
    from_beginning: bool
    most: int | None
    follow: bool
    as_json: bool


@click.command()
@click.argument("topic")
@click.option("--from-beginning", is_flag=True, help="From the first record; else only what comes from now on.")
@click.option("--max", "most", type=click.IntRange(min=1), help="End after this many records.")
@click.option("--follow", is_flag=True, help="Wait for more at the end, until Ctrl-C.")
@with_log
@click.option("--json", "as_json", is_flag=True, help="An object a record, with topic, partition, offset, timestamp, …")
def consume(broker: Broker, **asked: Unpack[Reading]) -> None:
    """Print the records of TOPIC, one a line: their values, or with --json topic, partition, offset, timestamp, key,
    value and headers.

    Without --follow it ends at what was the end of the topic when it began. On a terminal, characters that it would
    follow instead of showing are escaped; on a pipe or in a file, values are as they are.
    """
    most, shown = asked["most"], 0
    for batch in _batches(broker, asked["topic"], asked["from_beginning"], asked["follow"]):
        rows = list(islice(_rows(batch), None if most is None else most - shown))
        write("".join(f"{line}\n" for line in _lines(rows, asked["as_json"])))
        shown += len(rows)
        if shown == most:
            return
    if not shown and not asked["from_beginning"]:
        warn("no record came meanwhile; --from-beginning prints those that are there, --follow waits for more")


def _batches(broker: Broker, topic: str, from_beginning: bool, follow: bool) -> Iterator[Incoming]:
    admin = broker.admin(AdminSettings(CLIENT_ID))
    known = admin.topics()
    if topic not in known:
        names = ", ".join(sorted(known)) or "none"
        raise UnknownTopicError(f"there is no topic {topic!r} in {broker.bootstrap}; topics: {names}")
    partitions = [TopicPartition(topic, number) for number in range(known[topic].partitions)]
    end = admin.end_offsets(partitions)
    admin.close()
    consumer = broker.consumer(ConsumerSettings(CLIENT_ID))
    start: Start = "beginning" if from_beginning else "end"
    consumer.assign(dict.fromkeys(partitions, start))
    try:
        while follow or any(consumer.position(partition) < end[partition] for partition in partitions):
            yield from consumer.poll(ROWS, POLL_S)
    finally:
        consumer.close()


def _rows(batch: Incoming) -> Iterator[dict[str, Any]]:
    for at, offset in enumerate(batch.offsets):
        yield {
            "topic": batch.topic,
            "partition": batch.partition,
            "offset": offset,
            "timestamp": batch.timestamps[at],
            "key": None if batch.keys is None else batch.keys[at],
            "value": batch.values[at],
            "headers": [] if batch.headers is None else list(batch.headers[at]),
        }


def _lines(rows: Sequence[Mapping[str, Any]], as_json: bool) -> Iterator[str]:
    if as_json:
        return map(_json_line, rows)
    values = (_text(row["value"]) for row in rows)
    return map(harmless, values) if sys.stdout is not None and sys.stdout.isatty() else values


def _json_line(row: Mapping[str, Any]) -> str:
    headers = [[name, _spelled(value)] for name, value in row["headers"]]
    spelled = {**row, "key": _spelled(row["key"]), "value": _spelled(row["value"]), "headers": headers}
    return json_text(spelled)


def _spelled(data: bytes | None) -> object:
    """Text, null, or `{"base64": …}` for bytes that are no UTF-8."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _text(data: bytes | None) -> str:
    return "null" if data is None else data.decode(errors="backslashreplace")
