"""What no request can mean, asked of the API: numbers and depths beyond all bounds, names as they are encoded."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from herding import Herding

HUGE = "9" * 5_000


def offset_of(value: str) -> str:
    return f'{{"offsets": [{{"partition": {{"a": {value}}}, "offset": null}}]}}'


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PATCH", "/connectors/x/offsets", offset_of(HUGE),
         "The body is not JSON: Number value length (5000) exceeds the maximum allowed (1000)"),
        ("PUT", "/connectors/x/config", f'{{"tasks.max": {HUGE}}}', "Number value length (5000) exceeds"),
        ("PATCH", "/connectors/x/offsets", offset_of("-1e999"), "-1e999 is beyond a number of 64 bits"),
        ("PATCH", "/connectors/x/offsets", offset_of("[" * 700 + "]" * 700), "nested too deep"),
        ("POST", "/connectors", f'{{"name": "x", "config": {"[" * 3_000}{"]" * 3_000}}}', "The body is not JSON: "),
    ],
    ids=["long offset", "long setting", "infinite offset", "deep offset", "deep body"],
)  # fmt: skip
def test_numbers_and_depths_that_cannot_be_meant_are_the_clients_fault(
    herd: Herding, method: str, path: str, body: str, said: str
) -> None:
    if path != "/connectors":
        herd.create("x", initial_state="STOPPED")
    answer = herd.rest.send(method, path, body.encode())
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["message"]


def test_a_sinks_offset_of_many_digits_is_the_clients_fault(herd: Herding) -> None:
    herd.create("deep", "FileStreamSink", topics="t", file="/dev/null", initial_state="STOPPED")
    place = {"kafka_topic": "t", "kafka_partition": 0}
    body = {"offsets": [{"partition": place, "offset": {"kafka_offset": HUGE}}]}
    answer = herd.rest.request("PATCH", "/connectors/deep/offsets", body)
    assert (answer.status_code, answer.json()["message"][:60]) == (
        400,
        "Failed to parse the following Kafka offset value in the prov",
    )


def test_a_task_of_many_digits_is_an_unknown_path(herd: Herding) -> None:
    answer = herd.rest.get(f"/connectors/x/tasks/{HUGE}/status")
    assert (answer.status_code, answer.json()["message"]) == (404, "HTTP 404 Not Found")


def test_the_name_of_a_logger_may_be_percent_encoded(herd: Herding) -> None:
    matched = herd.rest.request("PUT", "/admin/loggers/a.b%24c", {"level": "DEBUG"})
    assert matched.json() == ["a.b$c"]
    assert herd.rest.get("/admin/loggers/a.b%24c").json()["level"] == "DEBUG"


def test_a_scope_that_there_is_not_is_the_workers_and_is_said(herd: Herding, caplog: pytest.LogCaptureFixture) -> None:
    answer = herd.rest.request("PUT", "/admin/loggers/none.such?scope=everywhere", {"level": "WARN"})
    assert answer.status_code == 200  # 204 for the cluster
    assert "scope='everywhere' is not known; expected worker or cluster: taken as worker" in caplog.text
