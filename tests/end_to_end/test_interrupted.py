"""A command that is interrupted: Ctrl-C, SIGTERM, a closed terminal; a reader that has enough; a full disk."""

import contextlib
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import IO

import pytest
from commands import CONNECTORS, begun, connectors, ended, leaves, left_of, silent
from running import BIN, PATIENCE_S, until

LOG = ("--bootstrap", "sqlite:log.db")
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
STANDALONE = "connect-standalone"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a connector's file, and a log with two records."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "c.json").write_text(
        json.dumps({"name": "c", "connector.class": "FileStreamSource", "topic": "t", "file": "x"})
    )
    command = [BIN / "millstream", "produce", "t", *LOG]
    subprocess.run(command, cwd=folder, input="one\ntwo\n", text=True, check=True, timeout=PATIENCE_S)
    return folder


@pytest.fixture
def folder(tmp_path: Path, written: Path) -> Path:
    """A copy of it: nobody has the log open."""
    return Path(shutil.copytree(written, tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def nowhere() -> Iterator[str]:
    with silent() as address:
        yield address


def waiting(folder: Path, nowhere: str, words: tuple[str, ...]) -> Sequence[str]:
    """The arguments with which a command waits for ever, or for a minute."""
    worker = (
        f"listeners=http://127.0.0.1:0\nbootstrap.servers={nowhere}\noffset.storage.file.filename=offsets\n"
        "key.converter=org.apache.kafka.connect.json.JsonConverter\n"
        "value.converter=org.apache.kafka.connect.json.JsonConverter\n"
    )
    (folder / "worker.properties").write_text(worker)
    for name in ("fifo", "fifo.json"):
        os.mkfifo(folder / name)
    found: dict[tuple[str, ...], Sequence[str]] = {
        ("run",): ("run", "worker.properties"),
        (STANDALONE,): (STANDALONE, "worker.properties"),
        ("validate",): ("validate", "fifo.json"),
        ("topics",): ("topics", "--bootstrap", nowhere),
        ("consume",): ("consume", "t", "--follow", *LOG),
        ("produce",): ("produce", "t", *LOG),
        ("log", "compact"): ("log", "compact", "--config", "fifo"),
        **connectors(f"http://{nowhere}"),
    }
    return found[words]


NEVER_WAITS = {("plugins", "list")}  # but for its output: below
WAITING = sorted({*leaves(), (STANDALONE,)} - NEVER_WAITS)


@pytest.mark.parametrize("words", WAITING, ids=" ".join)
def test_an_interrupted_command_ends_without_a_word_and_with_the_code_of_the_signal(
    folder: Path, nowhere: str, words: tuple[str, ...]
) -> None:
    numbers = list(CODES)
    number = numbers[WAITING.index(words) % len(numbers)]
    with begun(folder, waiting(folder, nowhere, words)) as process:
        os.killpg(process.pid, number)
        said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == CODES[number]
    told = f"millstream: {number.name}: the first 0 lines are records in 't', those after them are not\n"
    assert said in {("", told), ("", "")} if words == ("produce",) else said == ("", "")
    assert left_of(process.pid) == []


@pytest.mark.parametrize("number", list(CODES))
def test_a_command_whose_output_nobody_takes_can_be_interrupted(folder: Path, number: signal.Signals) -> None:
    reading, writing = os.pipe()
    try:
        room = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"x" * room)
        with begun(folder, ["plugins", "list"], writing) as process:
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == CODES[number]
            os.close(reading)
            reading = -1
            assert process.communicate()[1] == ""
    finally:
        os.close(writing)
        if reading >= 0:
            os.close(reading)


@pytest.mark.parametrize("number", list(CODES))
def test_an_interrupted_produce_says_which_lines_are_records(folder: Path, number: signal.Signals) -> None:
    with begun(folder, ["produce", "typed", *LOG]) as process:
        assert process.stdin is not None
        process.stdin.write("a\nb\nc\nthis line is not comple")
        process.stdin.flush()

        def came() -> bool:
            return ended(folder, "consume", "typed", "--from-beginning", *LOG).stdout == "a\nb\nc\n"

        until(came, "the lines, though there is room for more of them in a batch")
        process.send_signal(number)
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == CODES[number]
    assert said == f"millstream: {number.name}: the first 3 lines are records in 'typed', those after them are not\n"
    assert ended(folder, "consume", "typed", "--from-beginning", *LOG).stdout == "a\nb\nc\n"


def lines_without_end(into: IO[str], written: list[int]) -> None:
    """Numbered lines until nobody takes them any more; `written` is how many there are."""
    with contextlib.suppress(BrokenPipeError):
        for number in count():
            into.write(f"line {number}\n")
            written[0] = number + 1


def test_what_an_interrupted_produce_says_is_what_the_topic_holds(folder: Path) -> None:
    with ThreadPoolExecutor(1) as writing, begun(folder, ["produce", "many", *LOG]) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        written = [0]
        done = writing.submit(lines_without_end, process.stdin, written)
        until(lambda: written[0] > 100_000, "the first lines to be read")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(PATIENCE_S) == 130, said
        done.result()
    told = re.fullmatch(r"millstream: SIGINT: the first (\d+) lines are records in 'many', those after .*\n", said)
    assert told, said
    held = ended(folder, "consume", "many", "--from-beginning", *LOG).stdout.splitlines()
    assert held == [f"line {number}" for number in range(int(told[1]))]


PRINTING: dict[tuple[str, ...], Sequence[str]] = {
    ("help",): ("--help",),
    ("help of consume",): ("consume", "--help"),
    ("help of pause",): ("connectors", "pause", "--help"),
    ("version",): ("--version",),
    ("plugins", "list"): ("plugins", "list"),
    ("plugins", "list", "json"): ("plugins", "list", "--json"),
    ("topics",): ("topics", *LOG),
    ("topics", "json"): ("topics", "--json", *LOG),
    ("consume",): ("consume", "t", "--from-beginning", *LOG),
    ("consume", "json"): ("consume", "t", "--from-beginning", "--json", *LOG),
    ("validate",): ("validate", "c.json"),
    ("log", "compact"): ("log", "compact", *LOG),
}


@pytest.mark.parametrize("arguments", PRINTING.values(), ids=[" ".join(words) for words in PRINTING])
def test_a_reader_that_has_enough_is_no_failure(folder: Path, arguments: Sequence[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with begun(folder, arguments, writing) as process:
        os.close(writing)
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("arguments", PRINTING.values(), ids=[" ".join(words) for words in PRINTING])
def test_output_that_does_not_fit_on_the_disk_is_a_failure_in_a_sentence(
    folder: Path, arguments: Sequence[str]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with begun(folder, arguments, full) as process:
        os.close(full)
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 1
    assert said.startswith("millstream: ")
    assert said.endswith("No space left on device\n")
    assert said.count("\n") == 1


def test_the_table_of_what_waits_is_whole() -> None:
    assert {words[1] for words in leaves() if words[0] == "connectors"} == set(CONNECTORS)


def full_while(folder: Path, process: subprocess.Popen[str], more: str = "b\nc") -> int:
    """Let a `produce` write a line, then nothing more; gives the old limit once it says that it waits."""
    assert process.stdin is not None
    process.stdin.write("a\n")
    process.stdin.flush()
    until(
        lambda: ended(folder, "consume", "full", "--from-beginning", *LOG).stdout == "a\n", "the first line to be there"
    )
    limit = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[0]
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    process.stdin.write(f"{more}\n")
    process.stdin.flush()
    assert process.stderr is not None
    said = process.stderr.readline()
    assert f"the log '{folder}/log.db': disk I/O error" in said
    assert said.endswith(". This gives up after 60 s, or at Ctrl-C\n")
    return limit


def test_a_produce_waits_for_a_full_disk_and_goes_on(folder: Path) -> None:
    with begun(folder, ["produce", "full", *LOG]) as process:
        limit = full_while(folder, process)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        said = process.communicate("d\n", timeout=PATIENCE_S)[1]
    assert (process.returncode, said) == (0, "")
    assert ended(folder, "consume", "full", "--from-beginning", *LOG).stdout == "a\nb\nc\nd\n"


def test_a_line_larger_than_what_is_gathered_is_written_once_after_a_full_disk(folder: Path) -> None:
    large = "x" * 1_048_580
    with begun(folder, ["produce", "full", *LOG]) as process:
        limit = full_while(folder, process, large)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert (process.returncode, said) == (0, "")
    held = ended(folder, "consume", "full", "--from-beginning", *LOG).stdout.splitlines()
    assert [len(line) for line in held] == [1, len(large)]


def test_a_produce_that_is_interrupted_at_a_full_disk_says_what_is_written(folder: Path) -> None:
    with begun(folder, ["produce", "full", *LOG]) as process:
        full_while(folder, process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130
    assert said.startswith("millstream: SIGINT; cannot write or read the log '")
    assert said.endswith("; of 3 records handed over 1 are in 'full', 0 were refused; of 2 it is not known\n")
    assert said.count("\n") == 1
    assert ended(folder, "consume", "full", "--from-beginning", *LOG).stdout == "a\n"
