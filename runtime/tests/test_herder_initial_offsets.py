"""Offsets that a connector is created with: kept, refused, and waiting for its first start."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

import hosted
from herding import Herding, come, until

FILE_SOURCE = "FileStreamSource"
FILE_SINK = "FileStreamSink"


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree\n")
    return path


def at(path: Path, position: object) -> list[Any]:
    return [{"partition": {"filename": str(path)}, "offset": position}]


def test_a_source_begins_at_the_offsets_that_it_was_created_with(herd: Herding, lines: Path) -> None:
    made = herd.create("later", FILE_SOURCE, file=str(lines), topic="later", initial_offsets=at(lines, {"position": 8}))
    assert made.status_code == 201
    until(lambda: herd.offsets("later") == at(lines, {"position": 14}), "the rest of the file to be read")
    sink = herd.create("seen", FILE_SINK, file=str(lines.with_name("seen.txt")), topics="later")
    assert sink.status_code == 201
    seen = lines.with_name("seen.txt")
    until(lambda: seen.exists() and seen.read_text() == "three\n", "what was read to be only the third line")


def test_initial_offsets_of_a_stopped_connector_wait_for_its_start(herd: Herding, lines: Path) -> None:
    given = at(lines, {"position": 4})
    made = herd.create(
        "waits", FILE_SOURCE, file=str(lines), topic="waits", initial_state="STOPPED", initial_offsets=given
    )
    assert made.status_code == 201
    assert herd.offsets("waits") == given


@pytest.mark.parametrize(
    ("offsets", "status", "said"),
    [
        ({"position": -1}, 500, "should be a non-negative value"),
        ({"line": 3}, 500, "should either be null or contain the key 'position'"),
        ({"position": [1]}, 500, "field position contains ARRAY"),
        ("text", 400, 'Cannot deserialize value of "offset"'),
    ],
)
def test_wrong_initial_offsets_refuse_the_creation(
    herd: Herding, lines: Path, offsets: object, status: int, said: str
) -> None:
    refused = herd.create("never", FILE_SOURCE, file=str(lines), topic="t", initial_offsets=at(lines, offsets))
    assert (refused.status_code, said in refused.json()["message"]) == (status, True), refused.text
    assert "never" not in herd.rest.get("/connectors").json()
    made = herd.create("never", FILE_SOURCE, file=str(lines), topic="t", initial_state="STOPPED")
    assert (made.status_code, herd.offsets("never")) == (201, [])
    herd.rest.delete("/connectors/never")


@pytest.mark.parametrize("given", [{}, "x", [3], [{"partition": {}, "x": 1}]])
def test_initial_offsets_that_cannot_be_read_are_the_clients_fault(herd: Herding, lines: Path, given: object) -> None:
    refused = herd.create("never", FILE_SOURCE, file=str(lines), topic="t", initial_offsets=given)
    assert refused.status_code == 400, refused.text
    assert "initial_offsets" in refused.text or "Unrecognized field" in refused.text


def test_the_offsets_of_a_connector_that_exists_stay_when_it_is_created_again(herd: Herding, lines: Path) -> None:
    stopped = {"file": str(lines), "topic": "t", "initial_state": "STOPPED"}
    given = at(lines, {"position": 4})
    assert herd.create("twice", FILE_SOURCE, **stopped, initial_offsets=given).status_code == 201
    again = herd.create("twice", FILE_SOURCE, **stopped, initial_offsets=at(lines, {"position": 0}))
    assert (again.status_code, again.json()["message"]) == (409, "Connector twice already exists")
    assert herd.offsets("twice") == given


def test_of_two_creations_at_once_the_offsets_of_the_one_that_wins_are_kept(
    herd: Herding, lines: Path, gate: str
) -> None:
    def body(position: int) -> Any:
        config = {"connector.class": "hosted:Staying", "deed": "gate", "where": "alter_offsets", "path": gate}
        return {"name": "raced", "config": config, "initial_state": "STOPPED",
                "initial_offsets": at(lines, {"position": position})}  # fmt: skip

    answers: list[Any] = []
    asking = [
        threading.Thread(target=lambda n=n: answers.append((n, herd.rest.post("/connectors", json=body(n)))))
        for n in (1, 2)
    ]
    for each in asking:
        each.start()
    come(gate)  # one of them is asked about its offsets
    hosted.GATES[gate].set()
    for each in asking:
        each.join()
    (winner,) = [position for position, answer in answers if answer.status_code == 201]
    assert sorted(answer.status_code for _, answer in answers) == [201, 409]
    assert herd.offsets("raced") == at(lines, {"position": winner})


def test_a_sink_begins_at_the_offsets_that_it_was_created_with(herd: Herding, lines: Path) -> None:
    herd.create("fill", FILE_SOURCE, file=str(lines), topic="filled")
    until(lambda: herd.offsets("fill"), "the topic to be filled")
    place = {"kafka_topic": "filled", "kafka_partition": 0}
    copy = lines.with_name("copy.txt")
    given = [{"partition": place, "offset": {"kafka_offset": 1}}]
    made = herd.create("drain", FILE_SINK, file=str(copy), topics="filled", initial_offsets=given)
    assert made.status_code == 201
    until(lambda: copy.exists() and copy.read_text() == "two\nthree\n", "all but the first line")


@pytest.mark.parametrize(
    ("place", "offset", "status", "said"),
    [
        ({"kafka_topic": "nowhere", "kafka_partition": 0}, {"kafka_offset": 1}, 500,
         "Failed to alter consumer group offsets for connector deaf: topic 'nowhere' does not exist"),
        ({"kafka_topic": "t", "kafka_partition": 0}, {"kafka_offset": -1}, 500,
         "Failed to modify offsets for sink connector deaf: offset -1 of t-0 is negative"),
        ({"kafka_topic": "t", "kafka_partition": 0}, {"kafka_offset": None}, 400, "provided offsets: 'null'."),
        ({"kafka_topic": "t"}, {"kafka_offset": 1}, 400, "must contain the keys 'kafka_topic' and 'kafka_partition'"),
    ],
)  # fmt: skip
def test_wrong_initial_offsets_of_a_sink_refuse_its_creation(
    herd: Herding, tmp_path: Path, place: object, offset: object, status: int, said: str
) -> None:
    given = [{"partition": place, "offset": offset}]
    refused = herd.create("deaf", FILE_SINK, file=str(tmp_path / "x"), topics="t", initial_offsets=given)
    assert refused.status_code == status
    assert said in refused.json()["message"]
    assert "deaf" not in herd.rest.get("/connectors").json()
