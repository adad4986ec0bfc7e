"""`produce`: the lines of standard input as records, counted, so that it is known what an interrupted one wrote."""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from typing import Any, TypeVar, cast

import click

from millstream.broker.ports import Broker, Delivered, Outgoing, Producer, ProducerSettings
from millstream.cli.interrupts import held
from millstream.cli.output import fail, warn
from millstream.cli.records import CLIENT_ID, POLL_S, ROWS, with_log
from millstream.errors import BrokerError, MillstreamError
from millstream.lifecycle import Interrupted, StopToken, SystemClock

Found = TypeVar("Found")
FLUSH_S = 60.0
INTERRUPTED_S = 5.0  # brokers are waited for so long after Ctrl-C, so that it can be told what they have
READ_BYTES = 1 << 16


def _separator(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    if text == "":
        raise click.BadParameter("it is empty; leave the option out for records without keys")
    return text


@click.command()
@click.argument("topic")
@click.option(
    "--key-separator",
    metavar="TEXT",
    callback=_separator,
    help="What stands between key and value in a line; else no keys.",
)
@with_log
@click.option("--json", "as_json", is_flag=True, help="Lines as `consume --json` prints them; offsets are made anew.")
def produce(broker: Broker, topic: str, key_separator: str | None, as_json: bool) -> None:
    """Write each line of standard input to TOPIC as a record.

    Every record is on disk, or acknowledged by the brokers, when the command ends with 0. When it is interrupted, it
    says how many lines are.
    """
    if sys.stdin is None:
        fail("standard input is closed; a record is a line of it")
    writing = _Writing(broker.producer(ProducerSettings(CLIENT_ID)), topic)
    wrong: list[Exception] = []
    try:
        try:
            for lines in _chunks(cast(BufferedReader, sys.stdin.buffer)):
                before = writing.handed
                if as_json:
                    batch, fault = _from_json(topic, lines, before)
                else:
                    batch, fault = _from_lines(topic, lines, before, key_separator)
                if batch.values:
                    writing.hand_over(batch)
                if fault:
                    raise fault
        except (ValueError, OSError) as error:  # of a line, of the input; what came before it is written all the same
            wrong.append(error)
        left = writing.finish(FLUSH_S)
        if left:
            raise BrokerError(f"{left} records were not acknowledged within {FLUSH_S:.0f} s")
        writing.producer.close(FLUSH_S)
    except Interrupted as interrupt:
        writing.tell(interrupt, wrong)
        writing.give_up()
        raise
    except MillstreamError as error:
        wrong.append(error)
        said = writing.account(*wrong)
        writing.give_up()  # it would count what is not known among the refused
        fail(said)
    if wrong or writing.refused:
        fail(writing.account(*wrong))


class _Writing:
    """How many rows a producer was given, and what became of them."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self.producer = producer
        self.handed = 0
        self.written = 0
        self.refused: list[Exception] = []
        self._topic = topic
        self._clock = SystemClock()
        self._waits = False

    def hand_over(self, batch: Outgoing) -> None:
        """Send; a log that takes nothing in is waited for as long as for the last records."""
        rows = len(batch.values)

        def send() -> None:
            self.handed += rows  # before: a second signal may end it anywhere, and then it is not known of them
            try:
                self.producer.send(batch, lambda delivered: self._done(rows, delivered))
            except MillstreamError:
                self.handed -= rows
                raise

        self._patiently(send, FLUSH_S)
        self._patiently(self.producer.poll, FLUSH_S)

    def finish(self, seconds: float) -> int:
        """Wait at most so long for everything; gives the rows still out. A signal is heard in between."""
        deadline = self._clock.monotonic() + seconds
        while left := self._patiently(lambda: self.producer.flush(POLL_S), seconds):
            if self._clock.monotonic() >= deadline:
                return left
        self._patiently(self.producer.durable, seconds)
        return 0

    def account(self, *reasons: object) -> str:
        """The sentence that ends it when not all went well: why, and what became of the rows."""
        told = f"of {self.handed} records handed over {self.written} are in {self._topic!r}"
        told += f", {len(self.refused)} were refused"
        if self.refused:
            told += f", the first: {self.refused[0]}"
        if unknown := self.handed - self.written - len(self.refused):
            told += f"; of {unknown} it is not known"
        return "; ".join([*map(str, reasons), told])

    def tell(self, interrupt: Interrupted, wrong: Sequence[Exception]) -> None:
        """Say which lines are records, so that whoever interrupted it can go on after them."""
        reasons: list[object] = [interrupt.name, *wrong]
        finished = False
        try:
            finished = not self.finish(INTERRUPTED_S)
        except MillstreamError as error:
            reasons.append(error)
        except Interrupted:  # whoever asks again does not wait for it
            pass
        if finished and not wrong and self.written == self.handed:
            first = f"the first {self.handed} lines are records in {self._topic!r}"
            warn(f"{interrupt.name}: {first}, those after them are not")
        else:
            warn(self.account(*reasons))

    def give_up(self) -> None:
        """Close it without waiting, after an error that is told; it may come again of what is left."""
        with suppress(MillstreamError):
            self.producer.close(0)

    def _patiently(self, step: Callable[[], Found], seconds: float) -> Found:
        """Do a step whole, again and again while the log asks for that; the first time it is said."""
        rest = StopToken()
        deadline = self._clock.monotonic() + seconds
        while True:
            try:
                with held():  # so that it is known what was handed over, and what became of it
                    return step()
            except BrokerError as error:
                if not error.retriable or self._clock.monotonic() >= deadline:
                    raise
                if not self._waits:
                    self._waits = True
                    warn(f"{error}. This gives up after {seconds:.0f} s, or at Ctrl-C")
                rest.wait(POLL_S)

    def _done(self, rows: int, delivered: Delivered) -> None:
        self.refused.extend(delivered.failures.values())
        self.written += rows - len(delivered.failures)


def _chunks(stream: BufferedReader) -> Iterator[list[bytes]]:
    """Lines as they come: one that somebody typed does not wait for more."""
    begun: list[bytes] = []
    while data := stream.read1(READ_BYTES):
        head, end, rest = data.rpartition(b"\n")
        if not end:
            begun.append(data)
            continue
        lines = b"".join([*begun, head]).split(b"\n")
        begun = [rest] if rest else []
        for at in range(0, len(lines), ROWS):
            yield lines[at : at + ROWS]
    if begun:
        yield [b"".join(begun)]


def _from_lines(
    topic: str, lines: Sequence[bytes], before: int, key_separator: str | None
) -> tuple[Outgoing, ValueError | None]:
    """The lines up to the first wrong one, and what is wrong with that.   before: how many lines came before these."""
    if key_separator is None:
        return Outgoing(topic, lines), None
    fault = None
    pairs = [line.partition(key_separator.encode()) for line in lines]
    whole = next((at for at, (_, separator, _) in enumerate(pairs) if not separator), len(pairs))
    if whole < len(pairs):
        fault = ValueError(f"line {before + whole + 1}: there is no {key_separator!r} between key and value")
        del pairs[whole:]
    return Outgoing(topic, [value for _, _, value in pairs], [key for key, _, _ in pairs]), fault


def _from_json(topic: str, lines: Sequence[bytes], before: int) -> tuple[Outgoing, ValueError | None]:
    """As `_from_lines`."""
    rows = []
    fault = None
    for number, line in enumerate(lines, before + 1):
        try:
            rows.append(_read(line))
        except (ValueError, RecursionError) as error:
            fault = ValueError(f"line {number}: {error}")
            break
    values, keys, stamps, headers = ([row[column] for row in rows] for column in range(4))
    return Outgoing(topic, values, keys, None, stamps, headers), fault


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
