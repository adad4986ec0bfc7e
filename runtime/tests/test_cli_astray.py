"""The command line with what nobody meant: addresses of something else, lines of another form, files that cannot be."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millstream.broker.embedded.catalog import Catalog
from millstream.cli.main import main
from millstream.errors import BrokerError

ANSWERS = {
    "/html": (200, "text/html", b"<html>hello</html>", {}),
    "/moved": (302, "text/html", b"", {"Location": "http://127.0.0.1:1/"}),
    "/list": (200, "application/json", b"[1, 2]", {}),
    "/empty": (200, "application/json", b"", {}),
    "/other": (200, "application/json", b'{"a": 1}', {}),
    "/garbled": (200, "application/json", b"not compressed", {"Content-Encoding": "gzip"}),
    "/message": (200, "application/json", b'{"message": "altered"}', {}),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("millstream.librdkafka"), "level", logging.NOTSET)  # a command sets it
    return tmp_path


def run(*arguments: str, given: str = "") -> Result:
    """What an operator would see; never a traceback."""
    done = CliRunner().invoke(main, arguments, input=given)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


class Something(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, kind, body, more = ANSWERS["/" + self.path.split("/")[1]]
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET  # noqa: N815 - the name that http.server looks for

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """A test prints nothing."""


@pytest.fixture(scope="module")
def something() -> Iterator[str]:
    """The address of a server that is no worker."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Something)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", sorted(set(ANSWERS) - {"/message"}))
@pytest.mark.parametrize("command", [("list",), ("status", "x"), ("offsets", "x")], ids=["list", "status", "offsets"])
def test_what_is_no_worker_is_said_to_be_none(something: str, path: str, command: list[str]) -> None:
    done = run("connectors", "--url", something + path, *command)
    assert done.exit_code == 1
    assert done.stderr.startswith("millstream: ")
    assert "is --url the address of a Connect worker?" in done.stderr.replace("Is it running, and ", "")


@pytest.mark.parametrize("path", sorted(set(ANSWERS) - {"/message"}))
def test_what_answers_a_creation_otherwise_than_a_worker_is_said_to_be_none(
    something: str, path: str, folder: Path
) -> None:
    (folder / "x.json").write_text('{"name": "x", "config": {}}')
    done = run("connectors", "--url", something + path, "create", "x.json")
    assert done.exit_code == 1
    assert done.stderr.startswith("millstream: ")
    assert "is --url the address of a Connect worker?" in done.stderr.replace("Is it running, and ", "")
    assert done.stdout == ""


def test_a_password_in_the_address_is_not_told() -> None:
    done = run("connectors", "--url", "http://ada:hush@127.0.0.1:1", "list")
    assert done.exit_code == 1
    assert "no worker answered at 'http://[hidden]@127.0.0.1:1'" in done.stderr
    assert "hush" not in done.stderr


def test_a_message_is_json_too_when_json_is_asked_for(something: str) -> None:
    done = run("connectors", "--url", f"{something}/message", "offsets", "x", "--reset", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"message": "altered"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "line 2: expected an object with value, key, timestamp and headers, not a list"),
        ("5", "line 2: expected an object"),
        ('{"valu": 1}', "line 2: there is no 'value'"),
        ('{"value": "a", "headers": 5}', "line 2: headers are a list of pairs of name and value"),
        ('{"value": "a", "headers": [["a"]]}', "line 2: headers are a list of pairs of name and value"),
        ('{"value": "a", "headers": [[1, "a"]]}', "line 2: headers are a list of pairs of name and value"),
        ('{"value": {"base64": "a"}}', "line 2: "),
        ('{"value": 5}', "line 2: expected a text, null or {'base64': …}, not a int"),
        ('{"value": "a", "key": {"base64": 5}}', "line 2: expected a text, null or {'base64': …}, not a dict"),
        ('{"value": "a", "timestamp": -1}', "line 2: a timestamp is milliseconds since 1970, a whole number from 0"),
        ("no json", "line 2: "),
    ],
)
def test_a_line_of_another_form_is_named_with_what_would_be_right(line: str, said: str) -> None:
    given = f'{{"value": "a"}}\n{line}\n'
    done = run("produce", "t", "--json", "--bootstrap", "sqlite:log.db", given=given)
    assert done.exit_code == 1
    assert said in done.stderr


def test_a_file_that_is_no_properties_file_is_said_to_be_none_before_a_log_is_compacted(folder: Path) -> None:
    (folder / "bad.properties").write_text("a=\\u00zz\n")
    done = run("log", "compact", "--config", "bad.properties")
    assert done.exit_code == 1
    assert "bad.properties, line 1: " in done.stderr
    both = run("log", "compact", "--config", "bad.properties", "--bootstrap", "sqlite:log.db")
    assert both.exit_code == 2
    assert "--bootstrap and --config exclude each other" in both.stderr


def test_offsets_are_forgotten_or_set_and_not_both(folder: Path) -> None:
    (folder / "offsets.json").write_text("{}")
    done = run("connectors", "offsets", "x", "--reset", "--alter", "offsets.json")
    assert done.exit_code == 2
    assert "--reset and --alter exclude each other" in done.stderr


def test_a_log_that_cannot_be_read_is_a_sentence_to_each_command_that_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run("produce", "t", given="a\n").exit_code == 0

    def unreadable(catalog: Catalog) -> list[str]:
        raise BrokerError("cannot open the log: its folder must be writable for this user")

    monkeypatch.setattr(Catalog, "names", unreadable)
    for command in (["topics"], ["consume", "t", "--from-beginning"]):
        done = run(*command)
        said = "millstream: cannot open the log: its folder must be writable for this user\n"
        assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)


@pytest.mark.parametrize(
    ("bootstrap", "said"),
    [
        ("sqlite:", "bootstrap.servers=sqlite: names no file; write sqlite:<path>, such as sqlite:./log.db"),
        ("log.db", "bootstrap.servers has 'log.db'; expected host:port, or sqlite:<path> for the embedded log"),
    ],
)
def test_a_bootstrap_that_names_no_log_is_told_with_what_would(bootstrap: str, said: str) -> None:
    done = run("topics", "--bootstrap", bootstrap)
    assert (done.exit_code, done.stderr) == (1, f"millstream: {said}\n")


@pytest.mark.parametrize("option", ["--url", "--timeout", "--cacert"])
def test_an_option_of_all_commands_on_connectors_behind_one_of_them_is_told_where_it_stands(option: str) -> None:
    done = run("connectors", "status", "c", option, "x")
    told = f"Error: No such option '{option}'. It stands before the command: main connectors {option} …\n"
    assert done.exit_code == 2
    assert done.stderr.endswith(told)
    assert "stands before" not in run("connectors", "status", "c", "--nope").stderr
