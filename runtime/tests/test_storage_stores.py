"""The stores over a log in memory: offsets, configs, statuses, and what Java wrote before us."""

import json
import logging
import uuid
from collections.abc import Callable, Iterator

import pytest

from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.ports import (
    AdminSettings,
    Consumer,
    ConsumerSettings,
    NewTopic,
    Outgoing,
    Producer,
    ProducerSettings,
)
from millstream.errors import BrokerError, ConfigError, DataError, WorkerError
from millstream.identity import State, Status, TargetState, TaskId
from millstream.lifecycle import SystemClock
from millstream.storage.config_state import (
    ConnectorChanged,
    ConnectorRemoved,
    Event,
    LoggerLevel,
    RestartRequest,
    SessionKey,
    TargetChanged,
    TasksChanged,
)
from millstream.storage.configs import ConfigStore, ConfigTopic, task_configs_changed
from millstream.storage.offsets import OffsetStore, normalised
from millstream.storage.statuses import StatusStore, TopicStatus
from millstream.storage.topic_log import InternalTopic, TopicLog, ensure_topic

CLOCK = SystemClock()


class Log:
    """A log in memory with the three topics, and clients that are closed with it."""

    def __init__(self) -> None:
        self.broker: EmbeddedBroker = open_embedded(f"sqlite::memory:{uuid.uuid4()}")
        self.admin = self.broker.admin(AdminSettings("a"))
        self.closing: list[Callable[[], None]] = [self.broker.close, self.admin.close]
        for name, partitions in (("offsets", 25), ("configs", 1), ("statuses", 5)):
            self.admin.create_topics([NewTopic(name, partitions, -1, {"cleanup.policy": "compact"})])

    def clients(self) -> tuple[Producer, Consumer]:
        return self.broker.producer(ProducerSettings("p")), self.broker.consumer(ConsumerSettings("c"))

    def write(self, topic: str, *rows: tuple[str, str | None]) -> None:
        producer, consumer = self.clients()
        consumer.close()
        values = [None if value is None else value.encode() for _, value in rows]
        producer.send(Outgoing(topic, values, [key.encode() for key, _ in rows]), lambda told: None)
        producer.close(1)

    def stored(self, topic: str) -> dict[str, str | None]:
        producer, consumer = self.clients()
        found: dict[str, str | None] = {}

        def apply(row: object) -> None:
            key, value = row.key.decode(), row.value  # type: ignore[attr-defined]
            found[key] = None if value is None else value.decode()

        log = TopicLog(consumer, topic, CLOCK, apply)
        log.start(producer.partitions(topic))
        log.close()
        producer.close(1)
        return found

    def offsets(self) -> OffsetStore:
        producer, consumer = self.clients()
        producer.close(1)
        store = OffsetStore(consumer, "offsets", CLOCK)
        self.closing.append(store.close)
        store.start(25)
        return store

    def configs(self, whole: bool = False, follow: bool = False) -> tuple[ConfigStore, list[Event]]:
        events: list[Event] = []
        store = ConfigStore(self.clients(), ConfigTopic("configs", whole), CLOCK, events.append)
        self.closing.append(store.close)
        store.start(follow)
        return store, events

    def statuses(self) -> StatusStore:
        store = StatusStore(self.clients(), "statuses", CLOCK)
        self.closing.append(store.close)
        store.start(5)
        return store

    def close(self) -> None:
        for close in reversed(self.closing):
            close()


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.close()


def commit(log: Log, batch: Outgoing) -> None:
    producer, consumer = log.clients()
    consumer.close()
    producer.begin()
    producer.send(batch, lambda told: None)
    producer.commit()
    producer.close(1)


# offsets


def test_offsets_are_stored_in_javas_bytes_and_read_back(log: Log) -> None:
    store = log.offsets()
    partition = {"filename": "/tmp/in.txt"}
    commit(log, store.rows("local-file-source", [(partition, {"position": 42})]))
    assert log.stored("offsets") == {'["local-file-source",{"filename":"/tmp/in.txt"}]': '{"position":42}'}
    assert store.read("local-file-source", [partition, {"filename": "other"}]) == [{"position": 42}, None]
    assert store.read("someone-else", [partition]) == [None]
    ends = log.admin.end_offsets([])
    assert ends == {}


def test_a_partition_that_java_wrote_in_another_order_keeps_its_key_bytes(log: Log) -> None:
    javas = '["go",{"a":null,"b":1,"task":"0","t":true,"f":1.5}]'
    log.write("offsets", (javas, '{"n":5}'))
    store = log.offsets()
    ours = {"f": 1.5, "t": True, "task": "0", "b": 1, "a": None}
    assert store.read("go", [ours]) == [{"n": 5}]
    assert store.rows("go", [(ours, None)]).keys == [javas.encode()]
    commit(log, store.rows("go", [(ours, None)]))
    assert store.read("go", [ours]) == [None]
    assert store.all("go") == []
    assert store.rows("go", [(ours, {"n": 6})]).keys == [javas.encode()]  # a tombstone keeps the spelling


def test_numbers_and_booleans_of_equal_value_are_different_partitions(log: Log) -> None:
    store = log.offsets()
    commit(log, store.rows("c", [({"p": 1}, {"o": 1}), ({"p": 1.0}, {"o": 2}), ({"p": True}, {"o": 3})]))
    assert store.read("c", [{"p": True}, {"p": 1.0}, {"p": 1}]) == [{"o": 3}, {"o": 2}, {"o": 1}]


def test_all_offsets_of_a_connector_are_listed(log: Log) -> None:
    log.write("offsets", ('["a-b",{"p":1}]', '{"o":1}'), ('["a",{"p":2}]', '{"o":2.5}'), ('["a",null]', '{"o":3}'))
    assert log.offsets().all("a") == [({"p": 2}, {"o": 2.5})]


def test_bytes_are_base64_and_a_null_partition_is_legal(log: Log) -> None:
    store = log.offsets()
    commit(log, store.rows("c", [(None, {"b": b"\x00\xff"})]))
    assert store.read("c", [None]) == [{"b": "AP8="}]


def test_keys_that_are_no_offsets_are_passed_over_with_a_warning(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.write(
        "offsets", ("{", "1"), ('["c"]', "1"), ('["c",5]', "1"), ('["c",{"p":[1]}]', "{}"), ('["c",{}]', '{"o":1}')
    )
    assert log.offsets().all("c") == [({}, {"o": 1})]
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sorted(text.removeprefix("Ignoring a key ") for text in texts) == [
        "in the stored offsets of 'offsets' that is not [connector, partition]",
        "in the stored offsets of 'offsets' whose partition is no object",
        "in the stored offsets of 'offsets': Offsets may only contain primitive types as values, but field p contains "
        "ARRAY; they are None, bool, int, float, str and bytes",
        "that is not JSON in the stored offsets of 'offsets'",
    ]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({1: 2}, "Offsets may only use String keys"),
        ({"f": [1]}, "Offsets may only contain primitive types as values, but field f contains ARRAY"),
        ({"f": {}}, "^Offsets may only contain primitive types as values, but field f contains MAP"),
        ([], "Offsets must be specified as a Map"),
        ({"f": 2**63}, "integers of 64 bits, but field f"),
    ],
)
def test_an_offset_that_is_not_json_clean_is_refused(log: Log, place: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        log.offsets().rows("c", [({"p": 1}, place)])  # type: ignore[list-item]


def test_a_stored_offset_that_is_not_json_says_what_to_do(log: Log) -> None:
    log.write("offsets", ('["c",{}]', "x"), ('["c",{"p":1}]', "5"))
    store = log.offsets()
    with pytest.raises(DataError, match=r"is not JSON: .*; reset the connector's offsets"):
        store.read("c", [{}])
    with pytest.raises(DataError, match="is not a JSON object"):
        store.read("c", [{"p": 1}])


def test_a_patched_offset_is_normalised_as_javas_hash_map() -> None:
    assert list(normalised({"topic": 1, "file": b"\x00", "name": 2.0}) or {}) == ["file", "name", "topic"]
    assert normalised(None) is None


# configs


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


# statuses


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


# topics


def test_an_internal_topic_is_made_compacted_or_refused(log: Log) -> None:
    wanted = InternalTopic(NewTopic("x", 3), "offset.storage.topic", "source connector offsets")
    assert ensure_topic(log.admin, wanted).partitions == 3
    assert ensure_topic(log.admin, wanted).cleanup_policy == "compact"
    log.admin.create_topics([NewTopic("plain")])
    with pytest.raises(ConfigError, match=r"Topic 'plain' .* required to have 'cleanup.policy=compact'"):
        ensure_topic(log.admin, InternalTopic(NewTopic("plain"), "offset.storage.topic", "source connector offsets"))


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
