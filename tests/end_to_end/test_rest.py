"""What the REST API of a running worker has beside the recorded exchanges: metrics, headers, bodies of curl, errors."""

import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from running import WorkerProcess, until

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
    assert abs(ahead.total_seconds() - 3600) <= 2


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
