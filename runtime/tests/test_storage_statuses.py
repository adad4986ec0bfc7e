"""Statuses and active topics in their topic, and what is no status."""

import json
import logging
from collections.abc import Iterator

import pytest
from storage_bench import Log

from millstream.errors import BrokerError, WorkerError
from millstream.identity import State, Status, TaskId
from millstream.storage.statuses import TopicStatus
from millstream.storage.topic_log import TopicLog


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.close()


def status(state: State = State.RUNNING, worker: str = "w:1", generation: int = 1) -> Status:
    return Status(state, worker, None, generation, "4.3.1")


def test_a_status_is_written_in_javas_form(log: Log) -> None:
    store = log.statuses()
    store.put("c", status())
    store.put(TaskId("c-d", 0), Status(State.FAILED, "w:1", "trace\n", 2))
    assert log.stored("statuses") == {
        "status-connector-c": '{"state":"RUNNING","trace":null,"worker_id":"w:1","generation":1,"version":"4.3.1"}',
        "status-task-c-d-0": '{"state":"FAILED","trace":"trace\\n","worker_id":"w:1","generation":2,"version":null}',
    }
    assert (
        log.statuses().all()
        == store.all()
        == {
            "c": status(),
            TaskId("c-d", 0): Status(State.FAILED, "w:1", "trace\n", 2),
        }
    )


def test_a_safe_write_never_covers_a_later_generation_of_another_worker(log: Log) -> None:
    store = log.statuses()
    task = TaskId("c", 0)
    store.put(task, status(generation=5))
    store.put_safe(task, status(State.FAILED, "other:1", 4))
    assert store.get(task) == status(generation=5)
    store.put_safe(task, status(State.FAILED, "w:1", 4))
    assert store.get(task) == status(State.FAILED, "w:1", 4)
    store.put_safe(task, status(State.FAILED, "other:1", 4))
    assert store.get(task) == status(State.FAILED, "other:1", 4)


def test_a_late_unassigned_does_not_cover_running(log: Log) -> None:
    store = log.statuses()
    store.put(TaskId("c", 0), status(generation=5))
    store.put("c", status(generation=5))
    for subject in (TaskId("c", 0), "c"):
        store.put(subject, status(State.UNASSIGNED, "other:1", 5))
    assert store.get(TaskId("c", 0)) == status(generation=5)
    assert store.get("c") == status(State.UNASSIGNED, "other:1", 5)
    store.put(TaskId("c", 0), status(State.UNASSIGNED, "other:1", 6))
    assert store.get(TaskId("c", 0)) == status(State.UNASSIGNED, "other:1", 6)


def test_a_deleted_connector_takes_its_tasks_with_it(log: Log) -> None:
    store = log.statuses()
    for subject in ("c", TaskId("c", 0), TaskId("d", 0)):
        store.put(subject, status())
    store.delete("c")
    assert list(store.all()) == [TaskId("d", 0)]
    assert log.stored("statuses")["status-connector-c"] is None


def test_topics_of_a_connector_are_kept_and_reset(log: Log) -> None:
    store = log.statuses()
    found = TopicStatus("t", "c:1", 0, 1690000000000)
    store.put_topic(found)
    text = json.dumps({"topic": {"name": "t", "connector": "c:1", "task": 0, "discoverTimestamp": 1690000000000}})
    assert log.stored("statuses") == {"status-topic-t:connector-c:1": text.replace(" ", "")}
    assert store.topics("c:1") == [found]
    store.delete_topic("t", "c:1")
    assert store.topics("c:1") == []


def test_what_a_full_disk_refused_is_written_later_unless_outdated(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = log.statuses()

    def full() -> None:
        raise BrokerError("the disk is full", retriable=True)

    monkeypatch.setattr(store._producer, "commit", full)
    store.put("old", status(generation=1))
    store.put("c", status(generation=2))
    assert (store.get("c"), store.retry()) == (None, 1)
    assert caplog.text.count("the disk is full") == 1
    monkeypatch.undo()
    assert store.retry() == 0
    assert store.all() == {"c": status(generation=2)}


OF_NO_MEANING = [
    ("status-connector-c", "{", "status 'status-connector-c' at offset 0: it is not JSON"),
    ("what", "{}", "record 'what' of the status topic: unknown kind of key"),
    ("status-connector-d", "{}", "status of d: it is not readable"),
    ("status-topic-x", "{}", "record 'status-topic-x' of the status topic: it names no topic and connector"),
    *(
        (f"status-topic-t:connector-{name}", text, f"record 'status-topic-t:connector-{name}' of the status topic: "
         "it has no 'topic' with whole numbers 'task' and 'discoverTimestamp'")
        for name, text in (("c", "{}"), ("d", '{"topic":{"task":"x"}}'))
    ),
]  # fmt: skip


def test_records_of_no_meaning_are_passed_over(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.write("statuses", *((key, text) for key, text, _ in OF_NO_MEANING))
    store = log.statuses()
    assert (store.all(), store.topics("c"), store.topics("d")) == ({}, [], [])
    texts = sorted(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert texts == sorted(f"Ignoring the {said}" for _, _, said in OF_NO_MEANING)


def test_of_a_status_with_a_trace_or_version_that_is_no_text_the_state_is_kept(log: Log) -> None:
    log.write("statuses", ("status-connector-c", '{"state":"FAILED","trace":{"a":1},"worker_id":"w:1","version":[1]}'))
    assert log.statuses().all() == {"c": Status(State.FAILED, "w:1")}


def test_a_status_that_cannot_be_read_back_in_time_is_told_and_written_again(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = log.statuses()
    status = Status(State.RUNNING, "w")
    with monkeypatch.context() as patch:

        def late(*_: object) -> None:
            raise WorkerError("Timed out after 30 s reading topic 'statuses' to its end")

        patch.setattr(TopicLog, "read_to_end", late)
        store.put("c", status)
        assert store.retry() == 1
    assert "could not write the status 'status-connector-c'; it is written later: Timed out after 30 s" in caplog.text
    assert store.retry() == 0
    assert store.get("c") == status
