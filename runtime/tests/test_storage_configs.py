"""Connector configs in their topic, and what Java wrote before us."""

import logging
from collections.abc import Iterator

import pytest
from storage_bench import Log

from millstream.broker.ports import NewTopic
from millstream.errors import BrokerError, ConfigError, WorkerError
from millstream.identity import TargetState, TaskId
from millstream.storage.config_state import (
    ConnectorChanged,
    ConnectorRemoved,
    LoggerLevel,
    RestartRequest,
    SessionKey,
    TargetChanged,
    TasksChanged,
)
from millstream.storage.configs import task_configs_changed
from millstream.storage.topic_log import InternalTopic, ensure_topic


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.close()


def test_a_connector_is_written_in_javas_form_and_told(log: Log) -> None:
    store, events = log.configs()
    store.put_connector("c", {"name": "c", "nul": None}, TargetState.STOPPED)
    assert log.stored("configs") == {
        "target-state-c": '{"state":"PAUSED","state.v2":"STOPPED"}',
        "connector-c": '{"properties":{"name":"c","nul":null}}',
    }
    assert events == [ConnectorChanged("c")]
    state = store.snapshot()
    assert state.connectors == {"c": {"name": "c", "nul": None}}
    assert state.targets == {"c": TargetState.STOPPED}
    assert state.offset == 2


@pytest.mark.parametrize("whole", [False, True])
def test_task_configs_take_effect_together(log: Log, whole: bool) -> None:
    store, events = log.configs(whole)
    store.put_connector("c-1", {"name": "c-1"})
    store.put_task_configs("c-1", [{"n": "0"}, {"n": "1"}])
    assert log.stored("configs")["commit-c-1"] == '{"tasks":2}'
    tasks = [TaskId("c-1", 0), TaskId("c-1", 1)]
    assert events[-1] == TasksChanged("c-1", tuple(tasks))
    state = store.snapshot()
    assert state.tasks_of("c-1") == tasks
    assert state.tasks[tasks[1]] == {"n": "1"}
    assert (state.generations, state.applied, state.pending_fencing) == ({"c-1": 0}, {"c-1": {"name": "c-1"}}, {"c-1"})
    store.put_task_configs("c-1", [])
    assert store.snapshot().tasks_of("c-1") == []
    assert store.snapshot().generations == {"c-1": 0}


def test_an_incomplete_set_of_tasks_is_none_until_the_next_commit(log: Log) -> None:
    log.write(
        "configs", ("connector-c", '{"properties":{}}'), ("task-c-0", '{"properties":{}}'), ("commit-c", '{"tasks":2}')
    )
    store, events = log.configs()
    assert events == []
    state = store.snapshot()
    assert (state.tasks_of("c"), state.inconsistent, state.task_counts) == ([], {"c"}, {"c": 2})
    store.put_task_configs("c", [{"a": "1"}])
    assert store.snapshot().tasks_of("c") == [TaskId("c", 0)]
    assert store.snapshot().inconsistent == set()


def test_extra_tasks_left_by_compaction_do_no_harm(log: Log) -> None:
    rows = [("connector-c", '{"properties":{}}'), *((f"task-c-{n}", '{"properties":{}}') for n in range(3))]
    log.write("configs", *rows, ("commit-c", '{"tasks":1}'))
    assert log.configs()[0].snapshot().tasks_of("c") == [TaskId("c", 0)]


def test_a_removed_connector_leaves_only_what_java_leaves(log: Log) -> None:
    store, events = log.configs()
    store.put_connector("c", {"name": "c"})
    store.put_task_configs("c", [{}])
    store.put_task_count("c", 1)
    events.clear()
    store.remove_connector("c")
    assert events == [ConnectorRemoved("c")]
    state = store.snapshot()
    assert (state.connectors, state.targets, state.tasks, state.task_counts, state.applied) == ({}, {}, {}, {}, {})
    assert (state.fenced_counts, state.generations) == ({"c": 1}, {"c": 0})
    left = log.stored("configs")
    assert (left["connector-c"], left["target-state-c"]) == (None, None)
    assert {"task-c-0", "commit-c"} <= left.keys()


def test_a_commit_of_a_connector_that_compaction_removed_is_ignored(log: Log) -> None:
    log.write("configs", ("task-c-0", '{"properties":{}}'), ("commit-c", '{"tasks":1}'))
    state = log.configs()[0].snapshot()
    assert (state.tasks, state.task_counts, state.deferred, state.offset) == ({}, {}, {}, 2)


def test_a_target_state_is_told_when_it_changes_for_a_known_connector(log: Log) -> None:
    store, events = log.configs()
    store.put_target_state("unknown", TargetState.PAUSED)
    store.put_connector("c", {})
    events.clear()
    for target in (TargetState.STARTED, TargetState.PAUSED, TargetState.PAUSED, TargetState.STOPPED):
        store.put_target_state("c", target)
    assert events == [TargetChanged("c"), TargetChanged("c")]
    log.write("configs", ("target-state-c", None))
    store.refresh()
    assert store.snapshot().targets["c"] is TargetState.STARTED
    log.write("configs", ("target-state-c", '{"state":"PAUSED"}'))  # by a worker before 3.5
    store.refresh()
    assert store.snapshot().targets["c"] is TargetState.PAUSED


def test_requests_that_live_once_are_told_live_and_passed_over_at_start(log: Log) -> None:
    store, events = log.configs()
    store.put_restart("c", True, False)
    store.put_logger_level("org.apache", "DEBUG")
    store.put_session_key(SessionKey("a2V5", "HmacSHA256", 5))
    key = SessionKey("a2V5", "HmacSHA256", 5)
    assert events == [RestartRequest("c", True, False), LoggerLevel("org.apache", "DEBUG"), key]
    again, unheard = log.configs()
    assert unheard == []
    assert again.snapshot().session_key == key
    assert again.snapshot().offset == store.snapshot().offset


MEANINGLESS = [
    ("what", "{}", "record 'what' at offset 1 of the config topic: unknown kind of key"),
    ("connector-c", '{"a":"hidden"}', "config of connector 'c': it has no 'properties'"),
    ("task-c-x", "{}", "task config 'c-x': its key does not end in -<number>"),
    ("task-c-0", '["hidden"]', "config of task c-0: it has no 'properties'"),
    ("commit-known", "[]", "commit of the tasks of connector 'known': it has no whole number 'tasks'"),
    ("tasks-fencing-c", "{}", "task count of connector 'c': it has no whole number 'task-count'"),
    ("target-state-c", '{"state":"NAP"}', "target state of connector 'c': 'NAP' is none of STARTED, PAUSED, STOPPED"),
    ("session-key", '{"key":"hidden"}', "Ignoring a session key: it lacks one of key, algorithm, creation-timestamp"),
]  # fmt: skip


def test_records_that_mean_nothing_are_logged_and_passed_over(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    connector = ("connector-known", '{"properties":{}}')
    log.write("configs", connector, *((key, text) for key, text, _ in MEANINGLESS), ("connector-d", "{"))
    state = log.configs()[0].snapshot()
    assert state.offset == len(MEANINGLESS) + 1  # the record that is not JSON does not advance it
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [text.removeprefix("Ignoring the ") for text in texts] == [
        *(said for _, _, said in MEANINGLESS),
        f"record 'connector-d' at offset {len(MEANINGLESS) + 1} of the config topic: it is not JSON",
    ]
    assert "hidden" not in "".join(texts)


def test_a_write_that_fails_says_so_in_javas_words(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = log.configs()

    def full() -> None:
        raise BrokerError("cannot write the log: the disk is full", retriable=True)

    monkeypatch.setattr(store._producer, "commit", full)
    with pytest.raises(WorkerError, match=r"Error writing connector configuration to Kafka: .*disk is full"):
        store.put_connector("c", {})
    monkeypatch.undo()
    store.put_connector("c", {})
    assert store.snapshot().connectors == {"c": {}}


def test_a_follower_hears_of_what_others_write(log: Log) -> None:
    follower, events = log.configs(follow=True)
    other, _ = log.configs()
    other.put_connector("c", {"name": "c"})
    follower.refresh()
    assert events == [ConnectorChanged("c")]


def test_task_configs_are_published_only_when_something_changed(log: Log) -> None:
    store, _ = log.configs()
    store.put_connector("c", {"converter": "a"})
    same = [{"t": "0"}]

    def changed(configs: list[dict[str, str]]) -> bool:
        return task_configs_changed(store.snapshot(), "c", configs, lambda settings: settings)

    assert changed(same)
    store.put_task_configs("c", same)
    assert not changed(same)
    assert changed([{"t": "1"}])
    assert changed([*same, *same])
    store.put_connector("c", {"converter": "b"})
    assert changed(same)  # a change of the connector alone restarts its tasks


def test_an_internal_topic_is_made_compacted_or_refused(log: Log) -> None:
    wanted = InternalTopic(NewTopic("x", 3), "offset.storage.topic", "source connector offsets")
    assert ensure_topic(log.admin, wanted).partitions == 3
    assert ensure_topic(log.admin, wanted).cleanup_policy == "compact"
    log.admin.create_topics([NewTopic("plain")])
    with pytest.raises(ConfigError, match=r"Topic 'plain' .* required to have 'cleanup.policy=compact'"):
        ensure_topic(log.admin, InternalTopic(NewTopic("plain"), "offset.storage.topic", "source connector offsets"))
