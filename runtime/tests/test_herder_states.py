"""States are kept for readers, and each change is a line in the operator's log."""

import logging
from collections.abc import Iterator

import pytest

from millstream.broker.embedded.log import open_embedded
from millstream.broker.ports import AdminSettings, ConsumerSettings, NewTopic, ProducerSettings
from millstream.herder.states import States
from millstream.identity import State, TaskId
from millstream.lifecycle import SystemClock
from millstream.storage.statuses import StatusStore

TASK = TaskId("orders", 0)


@pytest.fixture
def states() -> Iterator[States]:
    broker = open_embedded("sqlite::memory:states")
    admin = broker.admin(AdminSettings("a"))
    admin.create_topics([NewTopic("statuses", 1, -1, {"cleanup.policy": "compact"})])
    clients = broker.producer(ProducerSettings("p")), broker.consumer(ConsumerSettings("c"))
    store = StatusStore(clients, "statuses", SystemClock())
    store.start(1)
    yield States(store, "host:8083", SystemClock())
    store.close()
    admin.close()
    broker.close()


def test_each_change_of_a_state_is_told_once(states: States, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "millstream.herder.states"):
        states.tell("orders", State.RUNNING, "1")
        states.tell(TASK, State.RUNNING, "1")
        states.tell(TASK, State.RUNNING, "1")
        states.tell(TASK, State.PAUSED, "1")
    assert caplog.messages == ["[orders|worker] RUNNING", "[orders|task-0] RUNNING", "[orders|task-0] PAUSED"]


def test_a_failure_is_told_with_its_first_line_alone(states: States, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "millstream.herder.states"):
        states.tell(TASK, State.FAILED, "1", "ended by signal SIGSEGV\nits last lines:\n\tabc")
    assert [(each.levelname, each.message) for each in caplog.records] == [
        ("ERROR", "[orders|task-0] FAILED: ended by signal SIGSEGV")
    ]


def test_a_task_that_comes_again_under_a_used_name_is_told_anew(
    states: States, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "millstream.herder.states"):
        states.tell(TASK, State.RUNNING, "1")
        states.forget(TASK)
        states.tell(TASK, State.RUNNING, "1")
    assert caplog.messages == ["[orders|task-0] RUNNING"] * 2
