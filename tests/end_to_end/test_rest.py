"""What the REST API of a running worker has beside the recorded exchanges: metrics, headers, bodies of curl, errors."""

import json
import os
import socket
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from running import Answer, Rest, WorkerProcess, held_port, until

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HEADERS = 'set X-Frame-Options: DENY, "add X-Listed: a, b", setDate Expires: 3600000'


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    made = WorkerProcess(tmp_path_factory.mktemp("rest") / "worker")
    made.properties |= {"response.http.headers.config": HEADERS, "access.control.allow.origin": "http://a.example"}
    yield made.start()
    made.stop()


@pytest.fixture
def lines(worker: WorkerProcess) -> Path:
    file = worker.folder / "lines.txt"
    file.write_text("one\ntwo\nthree\n")
    return file


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text;version=1.0.0", "*/*"])
def test_metrics_are_text_for_every_scraper(worker: WorkerProcess, accept: str) -> None:
    answer = worker.call("GET", "/metrics", None, {"Accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "\nkafka_connect_connect_worker_metrics_connector_count 0\n" in answer.text


@pytest.mark.parametrize("path", ["/", "/nope", "/health"])
def test_every_answer_carries_the_headers_of_the_operator(worker: WorkerProcess, path: str) -> None:
    headers = worker.call("GET", path).headers
    assert (headers["x-frame-options"], headers["x-listed"]) == ("DENY", "a, b")
    ahead = parsedate_to_datetime(headers["expires"]) - parsedate_to_datetime(headers["date"])
    assert abs(ahead.total_seconds() - 3600) <= 60, "an hour; the date of an answer may be some seconds old"


def test_a_body_under_curls_type_makes_a_connector_and_its_scalars_are_text(worker: WorkerProcess, lines: Path) -> None:
    body = {
        "name": "from-curl",
        "config": {
            "connector.class": "FileStreamSource",
            "tasks.max": 1,
            "file": str(lines),
            "topic": "lines",
            "flag": True,
            "share": 1.5,
        },
        "initial_state": "stopped",
        "initial_offsets": [{"partition": {"filename": str(lines)}, "offset": {"position": 4}}],
    }
    data = json.dumps(body).encode()
    assert worker.call("POST", "/connectors", data, {**FORM, "Origin": "http://a.example"}).status == 415
    made = worker.call("POST", "/connectors", data, FORM)
    assert made.status == 201
    assert {name: made.json["config"][name] for name in ("tasks.max", "flag", "share")} == {
        "tasks.max": "1",
        "flag": "true",
        "share": "1.5",
    }
    assert worker.states("from-curl") == ["STOPPED"]
    assert worker.offsets("from-curl") == [{"partition": {"filename": str(lines)}, "offset": {"position": 4}}]

    assert worker.call("PUT", "/connectors/from-curl/resume").status == 202
    until(lambda: len(worker.consume("lines")) > 1, "the lines behind the initial offset")
    payloads = [json.loads(value)["payload"] for value in worker.consume("lines")]
    assert payloads == ["two", "three"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/connectors/nope", 404),
        ("POST", "/connectors/nope/restart", 404),
        ("PUT", "/connector-plugins/Nope/config/validate", 400),
        ("DELETE", "/connectors", 405),
        ("GET", "//connectors", 400),
        ("GET", "/connectors/a%7Fb", 400),
        ("GET", "/connectors/a%0ab", 400),
    ],
)
def test_an_error_answer_is_json_and_leaves_no_traceback(
    worker: WorkerProcess, method: str, path: str, status: int
) -> None:
    answer = worker.call(method, path, {} if method == "PUT" else None)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json["error_code"] == status
    assert answer.json["message"]
    assert "Traceback" not in worker.log


def test_a_client_that_goes_away_in_its_request_is_no_error_of_the_worker(worker: WorkerProcess) -> None:
    host, port = worker.url.removeprefix("http://").split(":")
    head = "POST /connectors HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode())
    for _ in range(3):
        assert worker.call("GET", "/health").status == 200
    assert " ERROR " not in worker.log


@pytest.fixture
def port() -> Iterator[int]:
    with held_port() as held:
        yield held


class HeldSettings:
    """A file of settings whose first reader waits until it is let go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)
        self._writing = os.open(path, os.O_RDWR)

    def let_go(self, text: str) -> None:
        """May be called again."""
        if self._writing >= 0:
            new = self._path.with_suffix(".new")
            new.write_text(text)
            new.rename(self._path)  # for who comes later
            os.write(self._writing, text.encode())
            os.close(self._writing)
            self._writing = -1


def test_while_it_starts_every_answer_is_a_503_that_says_when_to_ask_again(tmp_path: Path, port: int) -> None:
    starting = WorkerProcess(tmp_path / "starting", url=f"http://127.0.0.1:{port}")
    provider = "org.apache.kafka.common.config.provider.FileConfigProvider"
    starting.properties |= {
        "listeners": starting.url,
        "config.providers": "file",
        "config.providers.file.class": provider,
    }
    starting.folder.mkdir()
    settings = HeldSettings(starting.folder / "settings.properties")
    topic = f"${{file:{starting.folder}/settings.properties:topic}}"
    (starting.folder / "c.json").write_text(
        json.dumps({"name": "c", "connector.class": "FileStreamSource", "file": "none.txt", "topic": topic})
    )
    starting.arguments.append("c.json")
    starting.launch()
    answers: dict[str, list[Answer]] = {"/health": [], "/connectors": [], "/connectors/x/status": []}

    def ready() -> bool:
        try:
            for path, found in answers.items():
                found.append(starting.call("GET", path))
        except OSError:
            return False
        settings.let_go("topic=lines\n")
        return answers["/health"][-1].status == 200

    try:
        until(ready, "the worker to be ready")
    finally:
        settings.let_go("")
        starting.stop()
    early = [answer for found in answers.values() for answer in found if answer.status not in (200, 404)]
    assert {(answer.status, answer.headers["content-type"], answer.headers["retry-after"]) for answer in early} == {
        (503, "application/json", "1")
    }
    assert {json.loads(answer.text)["status"] for answer in answers["/health"][:-1]} == {"starting"}
    assert answers["/connectors/x/status"][-1].json["message"] == "No status found for connector x"


def test_admin_listeners_serve_the_levels_of_loggers_alone_and_the_others_no_longer_do(
    tmp_path: Path, port: int
) -> None:
    made = WorkerProcess(tmp_path / "apart")
    made.properties |= {"admin.listeners": f"http://127.0.0.1:{port}"}
    made.start()
    try:
        admin = Rest()
        admin.url = f"http://127.0.0.1:{port}"
        assert admin.call("GET", "/admin/loggers").status == 200
        assert admin.call("GET", "/connectors").status == 404
        assert made.call("GET", "/admin/loggers").status == 404
        assert made.call("GET", "/connectors").status == 200
    finally:
        made.stop()


def test_empty_admin_listeners_put_the_levels_of_loggers_away(tmp_path: Path) -> None:
    made = WorkerProcess(tmp_path / "without")
    made.properties |= {"admin.listeners": ""}
    made.start()
    try:
        assert made.call("GET", "/admin/loggers").status == 404
        assert made.call("GET", "/").status == 200
    finally:
        made.stop()
