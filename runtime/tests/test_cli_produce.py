"""What `produce` writes and says when a line is wrong, a record is refused, or it is interrupted twice."""

import logging
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millstream.broker.embedded.producer import EmbeddedProducer
from millstream.broker.ports import Delivered, Outgoing
from millstream.cli import produce
from millstream.cli.main import main
from millstream.errors import BrokerError

LOG = ("--bootstrap", "sqlite:log.db")
TOO_LARGE = "x" * 1_100_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("millstream.librdkafka"), "level", logging.NOTSET)  # a command sets it
    return tmp_path


def produced(*options: str, given: str) -> Result:
    done = CliRunner().invoke(main, ["produce", "t", *options, *LOG], input=given)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def held() -> list[str]:
    return CliRunner().invoke(main, ["consume", "t", "--from-beginning", *LOG]).stdout.splitlines()


def twice_interrupted() -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("options", "line", "wrong", "reason"),
    [
        (["--json"], '{{"value": "{}"}}', "oops", "line 6: Expecting value"),
        (["--key-separator", "="], "k={}", "oops", "line 6: there is no '=' between key and value; of 5 records"),
    ],
    ids=["json", "keys"],
)
def test_lines_before_a_wrong_one_are_written_and_those_after_it_are_not(
    options: list[str], line: str, wrong: str, reason: str
) -> None:
    lines = [*(line.format(number) for number in range(5)), wrong, line.format("after")]
    done = produced(*options, given="\n".join(lines) + "\n")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"millstream: {reason}")
    assert done.stderr.endswith("; of 5 records handed over 5 are in 't', 0 were refused\n")
    assert held() == [str(number) for number in range(5)]


def test_a_refused_record_is_told_with_the_wrong_line_behind_it() -> None:
    given = f'{{"value": "{TOO_LARGE}"}}\n{{"value": "a"}}\noops\n'
    done = produced("--json", given=given)
    assert done.exit_code == 1
    assert done.stderr.startswith("millstream: line 3: Expecting value")
    assert "; of 2 records handed over 1 are in 't', 1 were refused, the first: a record of 1100" in done.stderr
    assert done.stderr.count("\n") == 1
    assert held() == ["a"]


def test_a_refused_record_alone_is_a_failure_with_its_reason() -> None:
    done = produced(given=f"a\n{TOO_LARGE}\nb\n")
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "millstream: of 3 records handed over 2 are in 't', 1 were refused, the first: a record of 1100"
    )


def test_a_refused_record_is_told_when_the_log_fails_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(producer: EmbeddedProducer) -> None:
        raise BrokerError("the log went away")

    monkeypatch.setattr(EmbeddedProducer, "durable", failing)
    done = produced(given=f"a\n{TOO_LARGE}\n")
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "millstream: the log went away; of 2 records handed over 1 are in 't', 1 were refused, the first: a record of"
    )


def test_rows_that_were_not_taken_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(producer: EmbeddedProducer, batch: Outgoing, done: Callable[[Delivered], None]) -> None:
        raise BrokerError("the log went away")

    monkeypatch.setattr(EmbeddedProducer, "send", failing)
    done = produced(given="a\nb\n")
    assert done.exit_code == 1
    assert done.stderr == ("millstream: the log went away; of 0 records handed over 0 are in 't', 0 were refused\n")


def test_a_second_signal_behind_a_send_does_not_hide_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    real = EmbeddedProducer.send

    def send(producer: EmbeddedProducer, batch: Outgoing, done: Callable[[Delivered], None]) -> None:
        real(producer, batch, done)
        twice_interrupted()

    monkeypatch.setattr(EmbeddedProducer, "send", send)
    done = produced(given="a\nb\n")
    assert (done.exit_code, held()) == (130, ["a", "b"])
    assert done.stderr == "millstream: SIGINT: the first 2 lines are records in 't', those after them are not\n"


def test_a_second_signal_ahead_of_a_send_leaves_unknown_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(producer: EmbeddedProducer, batch: Outgoing, done: Callable[[Delivered], None]) -> None:
        twice_interrupted()

    monkeypatch.setattr(EmbeddedProducer, "send", send)
    done = produced(given="a\nb\n")
    assert (done.exit_code, held()) == (130, [])
    assert done.stderr == (
        "millstream: SIGINT; of 2 records handed over 0 are in 't', 0 were refused; of 2 it is not known\n"
    )


def test_a_refused_record_is_told_when_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = EmbeddedProducer.poll

    def poll(producer: EmbeddedProducer) -> None:
        real(producer)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(EmbeddedProducer, "poll", poll)
    done = produced(given=f"{TOO_LARGE}\na\n")
    assert (done.exit_code, held()) == (130, ["a"])
    assert done.stderr.startswith(
        "millstream: SIGINT; of 2 records handed over 1 are in 't', 1 were refused, the first: a record of"
    )


def test_a_signal_while_it_waits_for_the_last_records_ends_that_with_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def flush(producer: EmbeddedProducer, timeout: float) -> int:
        signal.raise_signal(signal.SIGINT)
        return 2

    monkeypatch.setattr(EmbeddedProducer, "flush", flush)
    monkeypatch.setattr(EmbeddedProducer, "poll", lambda producer: None)
    done = produced(given="a\nb\n")
    assert done.exit_code == 130
    assert done.stderr == (
        "millstream: SIGINT; of 2 records handed over 0 are in 't', 0 were refused; of 2 it is not known\n"
    )


def test_a_wrong_line_is_told_when_it_is_interrupted_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = EmbeddedProducer.durable

    def durable(producer: EmbeddedProducer) -> None:
        real(producer)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(EmbeddedProducer, "durable", durable)
    done = produced("--key-separator", "=", given="k=a\noops\n")
    assert (done.exit_code, held()) == (143, ["a"])
    assert done.stderr == (
        "millstream: SIGTERM; line 2: there is no '=' between key and value;"
        " of 1 records handed over 1 are in 't', 0 were refused\n"
    )


def test_records_that_are_not_acknowledged_in_time_are_told_with_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "FLUSH_S", 0.0)
    monkeypatch.setattr(EmbeddedProducer, "flush", lambda producer, timeout: 2)
    monkeypatch.setattr(EmbeddedProducer, "poll", lambda producer: None)
    done = produced(given="a\nb\n")
    assert done.exit_code == 1
    assert done.stderr == (
        "millstream: 2 records were not acknowledged within 0 s;"
        " of 2 records handed over 0 are in 't', 0 were refused; of 2 it is not known\n"
    )
