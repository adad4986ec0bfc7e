"""What is wrong outside of the worker, read as its operator reads it: a sentence that names what to change, no
traceback, and nothing lost. What hinders the start; test_bad_data.py has what goes wrong later."""

import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from running import BIN, PATIENCE_S, WorkerProcess

WITHOUT_RIGHTS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
"""Root, and yet held to the permissions of files."""


def refused(worker: WorkerProcess, code: int) -> str:
    """What the operator sees of a worker that does not start."""
    assert worker.launch().wait(PATIENCE_S) == code, worker.log
    assert "Traceback" not in worker.log
    sentences = [line for line in worker.log.splitlines() if line.startswith("millstream: ")]
    assert len(sentences) == 1, worker.log
    return worker.log.partition("millstream: ")[2]


def connector_file(worker: WorkerProcess, name: str, text: str) -> None:
    (worker.folder / name).write_text(text)
    worker.arguments.append(name)


GOOD = json.dumps({"name": "c", "config": {"connector.class": "FileStreamSource", "topic": "t", "file": "x"}})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"c.json": '{"name": "c",'}, "c.json: the connector file is no valid JSON: Expecting property name"),
        ({"c.json": "[1]"}, "c.json: the connector has no 'name'"),
        ({"c.json": '{"name": "c", "config": {"a": []}}'}, "c.json: the setting 'a' is list; expected a text"),
        ({"c.properties": "name=c\nx=\\u12\n"}, "c.properties, line 2: '\\u12' is not a character"),
        ({"a.json": GOOD, "b.json": GOOD}, "a.json and b.json both have a connector 'c'; give one another name"),
        (
            {"c.json": '{"name": "c", "config": {"connector.class": "FileStreamSource"}}'},
            "c.json: connector 'c': Connector configuration is invalid and contains the following 1 error(s):\n"
            'Missing required configuration "topic"',
        ),
        (
            {"c.json": '{"name": "c", "connector.class": "NoSuch"}'},
            "c.json: connector 'c': Failed to find any class that implements Connector and which name matches NoSuch, "
            "available connectors are:",
        ),
    ],
)
def test_a_connector_file_that_is_wrong_is_named(worker: WorkerProcess, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        connector_file(worker, name, text)
    assert refused(worker, 3).startswith(said)


def test_a_connector_file_that_is_missing_is_named(worker: WorkerProcess) -> None:
    worker.arguments = ["none.json"]
    assert refused(worker, 3).startswith("none.json: the connector file cannot be read: No such file or directory")


def run(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "the worker file cannot be read: No such file or directory; name a properties file"),
        (lambda path: path.mkdir(), "the worker file cannot be read: Is a directory; name a properties file"),
        (lambda path: path.write_text("a=1\nb=\\uXYZ\n"), ", line 2: '\\\\uXYZ' is not a character"),
    ],
)
def test_a_worker_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    make(tmp_path / "w.properties")
    done = run(tmp_path, BIN / "millstream", "run", "w.properties")
    assert done.returncode == 2
    assert said.replace("\\\\", "\\") in done.stderr
    assert done.stderr.startswith("millstream: w.properties")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_worker_file_without_the_right_to_read_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.properties").touch(0o000)
    prefix = WITHOUT_RIGHTS if os.getuid() == 0 else []
    done = run(tmp_path, *prefix, BIN / "millstream", "run", "w.properties")
    assert done.returncode == 2
    assert "w.properties" in done.stderr
    assert "not readable" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named_with_the_setting(worker: WorkerProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker.properties["listeners"] = f"http://127.0.0.1:{port}"
        said = refused(worker, 2)
    assert f"could not listen on 'http://127.0.0.1:{port}' (listeners): Address already in use" in said
    assert f"Does another worker use port {port}? Choose another with listeners=" in said


def garbage(path: Path) -> None:
    path.write_bytes(b"\x07" * 50_000)


def foreign(path: Path) -> None:
    other = sqlite3.connect(path)
    other.executescript("pragma application_id=7; create table x(a);")
    other.close()


def damaged(path: Path) -> None:
    lines = "".join(f"{number} {'x' * 200}\n" for number in range(20_000))
    command = [BIN / "millstream", "produce", "t", "--bootstrap", f"sqlite:{path}"]
    subprocess.run(command, input=lines, text=True, check=True, timeout=PATIENCE_S)
    with path.open("r+b") as file:
        file.seek(16384)
        file.write(random.Random(7).randbytes(16384 * 20))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (garbage, "is not a log: it is no SQLite file; let bootstrap.servers=sqlite:<path> name another"),
        (foreign, "is an SQLite file of another program (application_id 0x7); let bootstrap.servers=sqlite:<path>"),
        (damaged, "keep a copy, then restore a backup or recover it with the sqlite3 shell's .recover"),
    ],
)
def test_a_file_that_is_no_log_is_named_and_left_as_it_is(
    worker: WorkerProcess, make: Callable[[Path], None], said: str
) -> None:
    log = worker.folder / "log.db"
    make(log)
    before = log.read_bytes()
    worker.launch()
    assert worker.process is not None
    assert worker.process.wait(PATIENCE_S) in (2, 3)
    assert said in worker.log
    assert str(log) in worker.log
    assert "Traceback" not in worker.log
    assert log.read_bytes() == before


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_log_in_a_folder_that_cannot_be_written_is_named_with_the_setting(worker: WorkerProcess) -> None:
    folder = worker.folder / "closed"
    folder.mkdir(0o555)
    worker.properties["bootstrap.servers"] = f"sqlite:{folder}/log.db"
    worker.prefix = WITHOUT_RIGHTS if os.getuid() == 0 else []
    said = refused(worker, 2)
    assert f"cannot open '{folder}/log.db.lock': Permission denied" in said
    assert "the folder of the log must be writable for this user" in said
    assert "bootstrap.servers=sqlite:<path>" in said
