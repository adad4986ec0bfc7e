"""What the command line prints: nothing that steers a terminal, nothing cut, and JSON that is JSON."""

import errno
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.cli.output import harmless, json_text, outside_told

PROGRAM = [sys.executable, "-c", "from millstream.cli.program import program; program()"]
LOG = ("--bootstrap", "sqlite:log.db")
EVIL = b"a\x1b[31mred\x1b]0;t\x07\x00\xff\rb\xe2\x80\xaec\xc2\x9b1m"


def on_a_terminal(folder: Path, *arguments: str, columns: int = 80, code: int = 0) -> bytes:
    """What a terminal of so many columns is sent."""
    ours, theirs = pty.openpty()
    environment = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen([*PROGRAM, *arguments], cwd=folder, stdin=theirs, stdout=theirs, env=environment) as process:
        os.close(theirs)
        told = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert process.returncode == code, told
    return told.replace(b"\r\n", b"\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError as error:
        if error.errno != errno.EIO:  # so Linux says that the other end was closed
            raise
        return b""


def on_a_pipe(folder: Path, *arguments: str, given: bytes = b"", **more: str) -> bytes:
    done = subprocess.run(
        [*PROGRAM, *arguments], cwd=folder, input=given, capture_output=True, env={**os.environ, **more}, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    on_a_pipe(tmp_path, "produce", "t", *LOG, given=EVIL + b"\n")
    lines = {"value": "two\nlines\x1b[2J", "key": "\x9b31m", "headers": [["h\x7f", "\u202e"]]}
    on_a_pipe(tmp_path, "produce", "t", "--json", *LOG, given=json.dumps(lines).encode() + b"\n")
    return tmp_path


def test_a_record_cannot_steer_the_terminal_that_it_is_shown_on(folder: Path) -> None:
    told = on_a_terminal(folder, "consume", "t", "--from-beginning", *LOG)
    assert told == (rb"a\x1b[31mred\x1b]0;t\x07\x00\xff\rb\u202ec\x9b1m" + b"\n" + rb"two\nlines\x1b[2J" + b"\n")
    spelled = on_a_terminal(folder, "consume", "t", "--from-beginning", "--json", *LOG)
    assert not [each for each in spelled.decode() if each != "\n" and not each.isprintable()]
    assert [json.loads(line)["value"] for line in spelled.splitlines()][1] == "two\nlines\x1b[2J"


def test_on_a_pipe_a_value_is_as_it_is(folder: Path) -> None:
    told = on_a_pipe(folder, "consume", "t", "--from-beginning", *LOG)
    assert told == EVIL.replace(b"\xff", rb"\xff") + b"\ntwo\nlines\x1b[2J\n"


def test_what_the_encoding_of_the_output_lacks_is_escaped(folder: Path) -> None:
    told = on_a_pipe(folder, "consume", "t", "--from-beginning", "--max", "1", *LOG, PYTHONIOENCODING="ascii")
    assert rb"b\u202ec" in told


def test_what_is_produced_again_from_json_is_the_same(folder: Path) -> None:
    first = on_a_pipe(folder, "consume", "t", "--from-beginning", "--json", *LOG)
    on_a_pipe(folder, "produce", "u", "--json", *LOG, given=first)
    again = on_a_pipe(folder, "consume", "u", "--from-beginning", "--json", *LOG)
    told: Callable[[bytes], list[object]] = lambda text: [  # noqa: E731 - the same of both
        {**json.loads(line), "topic": "", "timestamp": 0} for line in text.splitlines()
    ]
    assert told(first) == told(again)


def test_names_in_a_table_are_whole_on_a_narrow_terminal_too(folder: Path) -> None:
    name = "a-topic-with-a-name-of-more-than-forty-characters-in-it"
    on_a_pipe(folder, "produce", name, *LOG, given=b"x\n")
    told = on_a_terminal(folder, "topics", *LOG, columns=40)
    assert name.encode() in told
    assert b"\x1b[1m" in told
    plain = on_a_pipe(folder, "topics", *LOG)
    assert b"\x1b" not in plain
    assert all(line == line.rstrip() for line in plain.splitlines())


def test_a_long_sentence_in_the_last_column_is_folded_on_a_terminal_and_whole_on_a_pipe(folder: Path) -> None:
    settings = {"name": "c", "connector.class": "FileStreamSource", "errors.tolerance": "some", "topic": "t"}
    (folder / "c.json").write_text(json.dumps(settings))
    sentence = "Invalid value some for configuration errors.tolerance: String must be one of: none, all"
    done = subprocess.run([*PROGRAM, "validate", "c.json"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert sentence in done.stdout
    told = on_a_terminal(folder, "validate", "c.json", columns=60, code=1).decode()
    assert sentence not in told
    assert max(map(len, told.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())) <= 60


def test_escapes_are_of_one_line_and_text_stays_text() -> None:
    assert harmless("a\tb\n\x85\u2066ü😀") == r"a\tb\n\x85\u2066ü😀"
    assert json_text({"a": "\x85\u2028\ud800ü"}) == r'{"a": "\u0085\u2028\ud800ü"}'
    assert json.loads(json_text("\x85\u2028\ud800ü")) == "\x85\u2028\ud800ü"


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_a_pipe_or_a_disk_that_fails_while_the_output_is_closed_is_a_sentence(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as ended, outside_told():
        raise OSError(number, os.strerror(number))
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"millstream: [Errno {number}] {os.strerror(number)}\n"
