"""`topics`, `consume`, `produce`: the log from the command line, without a group and beside a running worker."""

import base64
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import IO, Any, Concatenate, ParamSpec, TypedDict, Unpack

import click

from millstream.broker.connect import is_absent, open_broker
from millstream.broker.ports import (
    AdminSettings,
    Broker,
    ConsumerSettings,
    Delivered,
    Incoming,
    Outgoing,
    Producer,
    ProducerSettings,
    Start,
)
from millstream.cli.output import fail, json_option, print_json, print_table
from millstream.errors import BrokerError, MillstreamError, UnknownTopicError
from millstream.lifecycle import StopToken, SystemClock
from millstream.settings.properties import read_properties
from millstream.settings.reading import bootstrap_of
from millstream_api import TopicPartition

P = ParamSpec("P")

CLIENT_ID = "millstream-cli"
ROWS = 500
#: how long a poll waits for more, and so how late Ctrl-C may be heard
POLL_S = 0.25
FLUSH_S = 60.0


def with_log(function: Callable[Concatenate[Broker, P], None]) -> Callable[..., None]:
    """`--bootstrap` or `--config`: the command gets the log that they name, and it is closed after it.

    Only `produce` makes a log: one that is to be read and is not there was spelled wrong.
    """
    makes = function.__name__ == "produce"

    @click.option("--bootstrap", metavar="SERVERS", help="sqlite:PATH, or Kafka's brokers as host:port,…")
    @click.option(
        "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A worker's properties file."
    )
    @wraps(function)
    def command(*args: Any, bootstrap: str | None, config: Path | None, **kwargs: Any) -> None:
        broker = opened(bootstrap, config, makes)
        try:
            function(broker, *args, **kwargs)
        finally:
            broker.close()

    return command


def opened(bootstrap: str | None, config: Path | None, makes: bool) -> Broker:
    """The log that the options name; ends the command with the reason when it cannot be opened."""
    if bootstrap and config:
        raise click.UsageError("--bootstrap and --config exclude each other")
    logging.getLogger("millstream.librdkafka").setLevel(logging.CRITICAL)  # the error that ends the command says it
    try:
        settings = read_properties(config) if config else {}
        where = bootstrap or bootstrap_of(settings)
        if not makes and is_absent(where):
            fail(f"there is no log at {where}; a worker makes one, and `millstream produce`")
        broker = open_broker(where, settings)
        broker.check()
        return broker
    except (MillstreamError, OSError, ValueError) as error:
        fail(str(error))


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

    Without --follow it ends at what was the end of the topic when it began.
    """
    _quit_on_signals()
    most, shown = asked["most"], 0
    try:
        for batch in _batches(broker, asked["topic"], asked["from_beginning"], asked["follow"]):
            rows = list(islice(_rows(batch), None if most is None else most - shown))
            _write(_json_line(row) if asked["as_json"] else _text(row["value"]) for row in rows)
            shown += len(rows)
            if shown == most:
                return
    except MillstreamError as error:
        fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()  # the reader has enough; nothing more may be written at exit


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


def _json_line(row: Mapping[str, Any]) -> str:
    headers = [[name, _spelled(value)] for name, value in row["headers"]]
    spelled = {**row, "key": _spelled(row["key"]), "value": _spelled(row["value"]), "headers": headers}
    return json.dumps(spelled, ensure_ascii=False)


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


def _write(lines: Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _quit_on_signals() -> None:
    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)


@click.command()
@click.argument("topic")
@click.option("--key-separator", metavar="TEXT", help="What stands between key and value in a line; else no keys.")
@with_log
@click.option("--json", "as_json", is_flag=True, help="Lines as `consume --json` prints them; offsets are made anew.")
def produce(broker: Broker, topic: str, key_separator: str | None, as_json: bool) -> None:
    """Write each line of standard input to TOPIC as a record.

    Every record is on disk, or acknowledged by the brokers, when the command ends with 0.
    """
    refused: list[Exception] = []
    producer = broker.producer(ProducerSettings(CLIENT_ID))
    count = 0

    def done(delivered: Delivered) -> None:
        refused.extend(delivered.failures.values())

    try:
        for lines in _chunks(sys.stdin.buffer):
            batch = _from_json(topic, lines, count) if as_json else _from_lines(topic, lines, key_separator)
            _hand_over(producer, batch, done)
            count += len(lines)
        left = producer.flush(FLUSH_S)
        if left:
            raise BrokerError(f"{left} records were not acknowledged within {FLUSH_S:.0f} s")
        producer.durable()
    except (MillstreamError, ValueError) as error:
        fail(f"after {count} records: {error}")
    finally:
        producer.close(FLUSH_S)
    if refused:
        fail(f"{len(refused)} of {count} records were refused, the first: {refused[0]}")


def _hand_over(producer: Producer, batch: Outgoing, done: Callable[[Delivered], None]) -> None:
    """Send; a log that takes nothing in is waited for as long as for the last records."""
    clock, rest = SystemClock(), StopToken()
    deadline = clock.monotonic() + FLUSH_S
    while True:
        try:
            producer.send(batch, done)
        except BrokerError as error:
            if not error.retriable or clock.monotonic() >= deadline:
                raise
            rest.wait(POLL_S)
        else:
            producer.poll()
            return


def _chunks(stream: IO[bytes]) -> Iterator[list[bytes]]:
    while lines := list(islice(stream, ROWS)):
        yield [line.removesuffix(b"\n") for line in lines]


def _from_lines(topic: str, lines: Sequence[bytes], key_separator: str | None) -> Outgoing:
    if key_separator is None:
        return Outgoing(topic, lines)
    pairs = [line.partition(key_separator.encode()) for line in lines]
    for line, (_, separator, _) in zip(lines, pairs, strict=True):
        if not separator:
            raise ValueError(f"a line of {len(line)} bytes has no {key_separator!r} between key and value")
    return Outgoing(topic, [value for _, _, value in pairs], [key for key, _, _ in pairs])


def _from_json(topic: str, lines: Sequence[bytes], before: int) -> Outgoing:
    """before: how many lines came before these."""
    rows = []
    for number, line in enumerate(lines, before + 1):
        try:
            rows.append(_read(line))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from error
    values, keys, stamps, headers = map(list, zip(*rows, strict=True))
    return Outgoing(topic, values, keys, None, stamps, headers)


def _read(line: bytes) -> tuple[Any, ...]:
    """Value, key, timestamp and headers of a line."""
    row = json.loads(line)
    if not isinstance(row, dict):
        kind = type(row).__name__
        raise ValueError(f"expected an object with value, key, timestamp and headers, not a {kind}")
    if "value" not in row:
        raise ValueError("there is no 'value'; a null one is a tombstone")
    headers = row.get("headers", [])
    pairs: list[Any] = headers if isinstance(headers, list) else [None]
    if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise ValueError('headers are a list of pairs of name and value, such as [["a", "1"]]')
    told = [(name, _bytes(value)) for name, value in pairs]
    return _bytes(row["value"]), _bytes(row.get("key")), _stamp(row.get("timestamp")), told


def _stamp(spelled: Any) -> int | None:
    if spelled is None or (type(spelled) is int and 0 <= spelled < 1 << 63):
        return spelled
    raise ValueError("a timestamp is milliseconds since 1970, a whole number from 0 to 9223372036854775807, or null")


def _bytes(spelled: Any) -> bytes | None:
    match spelled:
        case None:
            return None
        case str():
            return spelled.encode()
        case {"base64": str(text)}:
            return base64.b64decode(text)
    raise ValueError(f"expected a text, null or {{'base64': …}}, not a {type(spelled).__name__}")
