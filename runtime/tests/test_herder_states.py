"""States are kept for readers, and each change is a line in the operator's log."""

import logging
from collections.abc import Iterator

import pytest

from millstream.broker.embedded.log import open_embedded
from millstream.broker.ports import AdminSettings, ConsumerSettings, NewTopic, ProducerSettings
from millstream.errors import LAST_LINES, headline_of
from millstream.herder.states import States, Told
from millstream.identity import State, Status, TaskId
from millstream.lifecycle import SystemClock
from millstream.storage.statuses import StatusStore

TASK = TaskId("orders", 0)


@pytest.fixture
def store() -> Iterator[StatusStore]:
    broker = open_embedded("sqlite::memory:states")
    admin = broker.admin(AdminSettings("a"))
    admin.create_topics([NewTopic("statuses", 1, -1, {"cleanup.policy": "compact"})])
    clients = broker.producer(ProducerSettings("p")), broker.consumer(ConsumerSettings("c"))
    store = StatusStore(clients, "statuses", SystemClock())
    store.start(1)
    yield store
    store.close()
    admin.close()
    broker.close()


@pytest.fixture
def states(store: StatusStore) -> States:
    return States(store, "host:8083", SystemClock())


def test_each_change_of_a_state_is_told_once(states: States, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "millstream.herder.states"):
        states.tell("orders", Told(State.RUNNING, "1"))
        states.tell(TASK, Told(State.RUNNING, "1"))
        states.tell(TASK, Told(State.RUNNING, "1"))
        states.tell(TASK, Told(State.PAUSED, "1"))
    assert caplog.messages == ["[orders|worker] RUNNING", "[orders|task-0] RUNNING", "[orders|task-0] PAUSED"]


@pytest.mark.parametrize("rest", ["", f"\n{LAST_LINES}\n\tabc", "\n\tat x.py:1 in f"])
def test_what_the_worker_does_about_a_failure_is_in_the_status_where_its_headline_has_it(
    states: States, caplog: pytest.LogCaptureFixture, rest: str
) -> None:
    states.tell(TASK, Told(State.FAILED, "1", f"a.B: killed{rest}", "Started again in 2 s"))
    status = states.get(TASK)
    assert status is not None
    assert status.trace == f"a.B: killed\nStarted again in 2 s.{rest}"
    assert headline_of(status.trace) == "a.B: killed; Started again in 2 s."
    assert caplog.messages == ["[orders|task-0] FAILED: a.B: killed. Started again in 2 s"]


def test_a_failure_is_one_line_with_its_causes_and_what_to_do_and_without_frames(
    states: States, caplog: pytest.LogCaptureFixture
) -> None:
    traces = (
        f"ended by signal SIGSEGV\n{LAST_LINES}\n\tabc",
        "a.B: exceeded\n\tthe record at t-0, offset 7\n\tat x.py:1 in f\nCaused by: a.C: no schema\n\tat y.py:2 in g",
    )
    with caplog.at_level(logging.INFO, "millstream.herder.states"):
        for trace in traces:
            states.tell(TASK, Told(State.RUNNING, "1"))
            states.tell(TASK, Told(State.FAILED, "1", trace))
    stays = "It stays so until POST /connectors/orders/tasks/0/restart"
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        f"[orders|task-0] FAILED: ended by signal SIGSEGV. {stays}",
        f"[orders|task-0] FAILED: a.B: exceeded; the record at t-0, offset 7; caused by a.C: no schema. {stays}",
    ]


def test_a_task_that_comes_again_under_a_used_name_is_told_anew(
    states: States, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "millstream.herder.states"):
        states.tell(TASK, Told(State.RUNNING, "1"))
        states.forget(TASK)
        states.tell(TASK, Told(State.RUNNING, "1"))
    assert caplog.messages == ["[orders|task-0] RUNNING"] * 2


@pytest.mark.parametrize("former", [State.RUNNING, State.RESTARTING, State.PAUSED])
def test_after_a_start_nothing_runs_until_it_says_so(store: StatusStore, former: State) -> None:
    before = States(store, "host:8083", SystemClock())
    before.tell("orders", Told(former, "1"))
    before.tell(TASK, Told(former, "1"))
    after = States(store, "host:8084", SystemClock())
    after.adopt({"orders": {}})
    for subject in ("orders", TASK):
        assert after.get(subject) == Status(State.UNASSIGNED, "host:8084", version="1")


def test_after_a_start_a_failure_is_shown_until_there_is_news(store: StatusStore) -> None:
    before = States(store, "host:8083", SystemClock())
    before.tell(TASK, Told(State.FAILED, "1", "a.B: exceeded"))
    after = States(store, "host:8083", SystemClock())
    after.adopt({"orders": {}})
    assert after.get(TASK) == Status(State.FAILED, "host:8083", "a.B: exceeded", version="1")


def test_a_headline_has_one_mark_between_a_message_and_its_cause() -> None:
    trace = "a.B: Exiting due to an error.\n\tat x.py:1 in put\nCaused by: ValueError: no.\n\tat y.py:2 in f"
    assert headline_of(trace) == "a.B: Exiting due to an error; caused by ValueError: no."
