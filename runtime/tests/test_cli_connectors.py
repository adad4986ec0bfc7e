"""`millstream connectors` against a Connect worker, a proxy before it, and one that does not answer."""

import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millstream.cli.main import main

PAGE = b"<html><head><title>404</title></head>\n<body>\x1b[31m" + b"x" * 3000 + b"</body></html>"
REFUSALS = {
    "/401": (401, b""),
    "/404": (404, PAGE),
    "/409": (409, b'{"error_code": 409, "message": "Cannot complete request because of a conflicting operation"}'),
    "/500": (500, b'{"error_code": 500, "message": "Request timed out"}'),
    "/502": (502, b"[" * 100_000),
}
NO_ADDRESSES = [
    *("localhost:8083", "", "http://", "ftp://a", "http://a:b", "http://a:99999", "http://[::1", " http://a"),
    *("http://a\nb", "http://a/?x=1", "http://a#b", "http://ada:hush@a:b"),
]
STATUS = {
    "connector": {"state": "RUNNING", "worker_id": "w:8083"},
    "tasks": [{"id": 0, "state": "FAILED", "worker_id": "w:8083", "trace": "Error: \x1b[2Jgone\n\tat x"}],
    "type": "source",
}


class Worker(BaseHTTPRequestHandler):
    """Answers as Connect does; what it was asked stands in `asked`, the bodies in `bodies`."""

    asked: list[tuple[str, str, object]]
    bodies: list[bytes]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, json.loads(body) if body else None))
        self.bodies.append(body)
        prefix = "/" + self.path.split("/")[1]
        if prefix in REFUSALS:
            self.answer(*REFUSALS[prefix])
        elif self.command == "POST" and self.path == "/connectors":
            self.answer(201, json.dumps({"name": "x", "type": "source", "config": {}, "tasks": []}).encode())
        elif self.command == "GET" and self.path.startswith("/connectors?"):
            self.answer(200, json.dumps({"a\x1b]0;b": {"status": {"name": "a", **STATUS}}}).encode())
        elif self.command == "GET":
            self.answer(200, json.dumps({"name": "x", **STATUS}).encode())
        else:
            self.answer(202, b"")

    do_DELETE = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - the names that http.server looks for

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A test prints nothing."""


class Serving:
    """A worker's address, and what was asked there."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self.bodies: list[bytes] = []
        kept = {"asked": self.asked, "bodies": self.bodies}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Worker,), kept))
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def worker() -> Iterator[Serving]:
    made = Serving()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(url: str, *arguments: str) -> Result:
    done = CliRunner().invoke(main, ["connectors", "--url", url, *arguments], prog_name="millstream")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("ü?#%", "%C3%BC%3F%23%25"),
        ("a..b", "a..b"),
        ("x\ny", "x%0Ay"),
        ("\udcff", "%FF"),
    ],
)
def test_a_name_reaches_the_worker_whatever_characters_it_has(worker: Serving, name: str, path: str) -> None:
    done = run(worker.url + "/behind/a/proxy/", "pause", "--", name)
    assert done.exit_code == 0
    assert worker.asked == [("PUT", f"/behind/a/proxy/connectors/{path}/pause", None)]
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("name", ["", ".", ".."])
@pytest.mark.parametrize("command", ["delete", "pause", "stop", "resume", "restart", "status", "offsets"])
def test_a_name_that_would_mean_another_resource_is_not_asked_for(worker: Serving, command: str, name: str) -> None:
    done = run(worker.url, command, name)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{name!r} cannot be a connector's name in an address" in done.stderr
    assert worker.asked == []


@pytest.mark.parametrize(
    ("arguments", "asked", "message"),
    [
        (("pause", "x"), ("PUT", "/connectors/x/pause"), "pausing x"),
        (("resume", "x"), ("PUT", "/connectors/x/resume"), "resuming x"),
        (("stop", "x"), ("PUT", "/connectors/x/stop"), "stopping x"),
        (("delete", "x"), ("DELETE", "/connectors/x"), "deleted x"),
        (("offsets", "x", "--reset"), ("DELETE", "/connectors/x/offsets"), "done"),
        (
            ("restart", "x", "--tasks", "--only-failed"),
            ("POST", "/connectors/x/restart?includeTasks=true&onlyFailed=true"),
            "restarting x",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_done_without_an_answer_is_said_in_text_and_in_json(
    worker: Serving, arguments: tuple[str, ...], asked: tuple[str, str], message: str
) -> None:
    assert run(worker.url, *arguments).stdout == f"{message}\n"
    assert json.loads(run(worker.url, *arguments, "--json").stdout) == {"message": message}
    assert worker.asked == [(*asked, None)] * 2


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "/401",
            "401: Unauthorized; is --url the address of a Connect worker? User and password are a part of it: htt",
        ),
        ("/404", "404: <html><head><title>404</title></head> <body>\\x1b[31mxxx"),
        ("/409", "409: Cannot complete request because of a conflicting operation\n"),
        ("/500", "500: Request timed out\n"),
        ("/502", "502: [[["),
    ],
)
def test_a_refusal_is_told_in_a_line_that_a_terminal_can_show(worker: Serving, path: str, said: str) -> None:
    for more in [(), ("--json",)]:
        done = run(worker.url + path, "stop", "x", *more)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(f"millstream: PUT /connectors/x/stop: {said}")
        assert done.stderr.count("\n") == 1
        assert len(done.stderr) < 400


def test_a_state_and_a_failure_cannot_steer_the_terminal(worker: Serving) -> None:
    listed, status = run(worker.url, "list"), run(worker.url, "status", "x")
    assert "a\\x1b]0;b  source  RUNNING  1 FAILED  w:8083" in listed.stdout
    assert "Error: \\x1b[2Jgone" in status.stdout
    assert "\x1b" not in listed.stdout + status.stdout


def test_a_worker_that_does_not_answer_is_given_up_and_the_option_for_it_named() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Worker) as server:  # it listens, and serves nobody
        done = run(f"http://127.0.0.1:{server.server_port}", "--timeout", "0.2", "list")
    assert done.exit_code == 1
    assert "has not answered within 0.2 s (--timeout); is --url the address of a Connect worker?" in done.stderr


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_is_a_wrong_command_line(url: str) -> None:
    done = run(url, "list")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is no address of a REST API; expected http://host:port or https://host:port" in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize("file", ["c.properties", "c.conf", "c"])
def test_a_properties_file_of_a_connector_is_created_too(worker: Serving, folder: Path, file: str) -> None:
    (folder / file).write_text("name=c\nconnector.class=FileStreamSource\ntasks.max=1\n")
    assert run(worker.url, "create", file).stdout == "created source x\n"
    config = {"name": "c", "connector.class": "FileStreamSource", "tasks.max": "1"}
    assert worker.asked == [("POST", "/connectors", {"name": "c", "config": config})]


@pytest.mark.parametrize("text", ['{"name": "c", "config": {"a": "1"}}', "name=c\na=1\n"])
def test_a_connector_is_created_from_a_pipe(worker: Serving, text: str) -> None:
    readable, writable = os.pipe()
    os.write(writable, text.encode())
    os.close(writable)
    try:
        assert run(worker.url, "create", f"/dev/fd/{readable}").stdout == "created source x\n"
    finally:
        os.close(readable)
    ((_, _, body),) = worker.asked
    assert body["name"] == "c"
    assert body["config"]["a"] == "1"


def test_a_number_is_sent_as_it_is_written(worker: Serving, folder: Path) -> None:
    flat, whole, offsets = folder / "flat.json", folder / "whole.json", folder / "offsets.json"
    flat.write_text('{"name": "c", "ratio": 1.10, "most": 1e5, "on": true}')
    whole.write_text('{"name": "c", "config": {"ratio": 1.10}, "initial_offsets": [{"offset": {"at": 12e3}}]}')
    offsets.write_bytes('{"offsets": [{"partition": {"ä": 1}, "offset": {"at": 1.10}}]}'.encode("utf-16"))
    for arguments in [("create", "flat.json"), ("create", "whole.json"), ("offsets", "x", "--alter", "offsets.json")]:
        assert run(worker.url, *arguments).exit_code == 0
    config = {"name": "c", "ratio": "1.10", "most": "1e5", "on": True}
    assert json.loads(worker.bodies[0]) == {"name": "c", "config": config}
    assert worker.bodies[1] == whole.read_bytes()
    whole.rename(folder / "whole.conf")
    assert run(worker.url, "create", "whole.conf").exit_code == 0
    assert worker.bodies.pop(-1) == worker.bodies[1]
    assert worker.bodies[2] == '{"offsets": [{"partition": {"ä": 1}, "offset": {"at": 1.10}}]}'.encode()


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"name": "x", "config": {"a": NaN}}', "\x00", ""])
def test_a_file_that_is_no_json_is_named_and_not_sent(worker: Serving, folder: Path, text: str) -> None:
    (folder / "bad.json").write_text(text)
    for arguments in [("create", "bad.json"), ("offsets", "x", "--alter", "bad.json")]:
        done = run(worker.url, *arguments)
        assert done.exit_code == 1
        assert done.stderr.startswith("millstream: bad.json: not JSON: ")
    assert worker.asked == []


def test_a_number_that_no_float_holds_is_sent_as_it_is_spelled_as_a_worker_takes_it_from_a_file(
    worker: Serving, folder: Path
) -> None:
    for name, text in (("whole.json", '{"name": "x", "config": {"a": 1e999}}'), ("flat", '{"name": "x", "a": 1e999}')):
        (folder / name).write_text(text)
        assert run(worker.url, "create", name).exit_code == 0
    assert worker.bodies[0] == b'{"name": "x", "config": {"a": 1e999}}'
    assert json.loads(worker.bodies[1]) == {"name": "x", "config": {"name": "x", "a": "1e999"}}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed one for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", made, "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return made, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_vouches_for_is_said_to_be_and_trusted_when_it_is_named(
    certificate: tuple[Path, Path],
) -> None:
    worker = Serving(certificate)
    try:
        done = run(worker.url, "list")
        assert done.exit_code == 1
        assert f"the certificate of '{worker.url}' is not trusted" in done.stderr
        assert "Name it, or its authority's, with --cacert" in done.stderr
        assert run(worker.url, "--cacert", str(certificate[0]), "list").exit_code == 0
        wrong = run(worker.url, "--cacert", str(certificate[1]), "list")
        assert wrong.exit_code == 1
        assert f"--cacert '{certificate[1]}' cannot be used: " in wrong.stderr
    finally:
        worker.close()


def test_an_address_that_should_be_http_is_said_to_be(worker: Serving) -> None:
    done = run(worker.url.replace("http:", "https:"), "list")
    assert done.exit_code == 1
    assert "does not speak TLS" in done.stderr
    assert "Is it http, and not https?" in done.stderr
