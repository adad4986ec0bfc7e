"""What the herder decides without asking anybody: offsets, restarts, stages, turns, levels."""

import logging
from concurrent.futures import Future
from importlib.util import find_spec
from typing import Any

import pytest

from millstream.errors import NotFoundError
from millstream.herder.herder import StateView
from millstream.herder.levels import JAVA_PREFIXES, level_name, ours
from millstream.herder.offsets import OffsetsError, as_json, outcome, sink_offsets
from millstream.herder.procedures import Agenda, Procedure
from millstream.herder.restart import announced, plan
from millstream.herder.stages import Stages
from millstream.herder.turns import Turns
from millstream.herder.validation import no_class
from millstream.identity import State, Status
from millstream.lifecycle import ManualClock, SystemClock
from millstream_api import TopicPartition

PLACE = {"kafka_topic": "t", "kafka_partition": 1}
PATIENCE_S = 60.0


def test_a_sinks_offsets_are_read_with_numbers_or_texts() -> None:
    given = [(PLACE, {"kafka_offset": "7"}), ({"kafka_topic": "t", "kafka_partition": "2"}, None)]
    assert sink_offsets(given) == {TopicPartition("t", 1): 7, TopicPartition("t", 2): None}


def test_the_last_of_two_offsets_for_one_partition_counts() -> None:
    assert sink_offsets([(PLACE, {"kafka_offset": 1}), (PLACE, {"kafka_offset": 2})]) == {TopicPartition("t", 1): 2}


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ((None, None), "The partition for a sink connector offset cannot be null or missing"),
        (({}, None), "The partition for a sink connector offset cannot be null or missing"),
        (({"kafka_topic": "t"}, None), "must contain the keys 'kafka_topic' and 'kafka_partition'"),
        (({"kafka_topic": None, "kafka_partition": 1}, None), "Kafka topic names must be valid strings"),
        (({"kafka_topic": "t", "kafka_partition": None}, None), "Kafka partitions must be valid numbers"),
        (({"kafka_topic": "t", "kafka_partition": "x"}, None), "'x'. Partition values for sink connectors"),
        (({"kafka_topic": "t", "kafka_partition": 2**31}, None), "Partition values for sink connectors"),
        ((PLACE, {}), "should either be null or contain the key 'kafka_offset'"),
        ((PLACE, {"kafka_offset": None}), "provided offsets: 'null'. Offset values for sink connectors"),
        ((PLACE, {"kafka_offset": 1.5}), "'1.5'. Offset values for sink connectors"),
        ((PLACE, {"kafka_offset": True}), "'true'. Offset values for sink connectors need to be integers"),
    ],
)
def test_what_cannot_be_an_offset_is_refused_in_javas_words(pair: Any, sentence: str) -> None:
    with pytest.raises(OffsetsError) as refused:
        sink_offsets([pair])
    assert sentence in str(refused.value)


def test_a_sinks_offsets_are_told_partition_before_topic_as_java_does() -> None:
    told = as_json({TopicPartition("t", 1): 5})
    assert told == [({"kafka_partition": 1, "kafka_topic": "t"}, {"kafka_offset": 5})]
    assert list(told[0][0]) == ["kafka_partition", "kafka_topic"]


def test_the_sentence_after_success_says_whether_the_connector_looked() -> None:
    assert outcome("altered", True) == "The offsets for this connector have been altered successfully"
    assert "framework-managed offsets for this connector have been reset" in outcome("reset", False)


def view(connector: State, *tasks: State) -> StateView:
    return StateView(Status(connector, "w:1", "trace"), {n: Status(state, "w:1") for n, state in enumerate(tasks)})


@pytest.mark.parametrize(
    ("state", "include_tasks", "only_failed", "connector", "tasks"),
    [
        (view(State.RUNNING, State.RUNNING), False, False, True, ()),
        (view(State.RUNNING, State.RUNNING), True, False, True, (0,)),
        (view(State.RUNNING, State.FAILED), True, True, False, (0,)),
        (view(State.FAILED, State.RUNNING), True, True, True, ()),
        (view(State.FAILED, State.FAILED), False, True, True, ()),
        (view(State.RUNNING, State.RUNNING), True, True, False, ()),
    ],
)
def test_a_restart_concerns_what_was_asked_for(
    state: StateView, include_tasks: bool, only_failed: bool, connector: bool, tasks: tuple[int, ...]
) -> None:
    chosen = plan(state, include_tasks, only_failed)
    assert (chosen.connector, chosen.tasks) == (connector, tasks)
    told = announced(state, chosen)
    assert (told.connector.state is State.RESTARTING) is connector
    assert {n for n, status in told.tasks.items() if status.state is State.RESTARTING} == set(tasks)
    assert told.connector.trace == "trace"


def test_a_stage_is_told_while_it_goes_on_and_after_it_has_ended() -> None:
    clock = ManualClock(1_000)
    stages = Stages(clock)
    assert stages.summary() is None
    with stages.of("starting the connector"):
        clock.advance(1.5)
        assert stages.summary() == (
            "The worker is currently starting the connector, which began at 1970-01-01T00:00:01Z."
        )
    assert stages.summary() == (
        "The last operation the worker completed was starting the connector, which began at 1970-01-01T00:00:01Z"
        " and completed at 1970-01-01T00:00:02.500Z."
    )


def test_what_goes_on_with_a_connector_is_told_before_what_began_last() -> None:
    stages = Stages(ManualClock(1_000))
    mine = stages.begin("starting the connector", "mine")
    with stages.of("stopping connector other", "other"):
        assert "starting the connector" in (stages.summary("mine") or "")
        assert "stopping connector other" in (stages.summary("third") or "")
        assert "stopping connector other" in (stages.summary() or "")
        assert stages.concerning("third") is None
    stages.complete(mine)
    stages.complete(mine)
    assert stages.concerning("mine") is None
    assert (stages.summary("mine") or "").startswith("The last operation the worker completed was starting")


def test_settings_without_a_class_are_quoted_as_java_does_and_secrets_are_not() -> None:
    config = {"tasks.max": None, "name": "x", "database.password": "hush", "sasl.jaas.config": "hush", "my.key": "hush"}
    said = str(no_class(config))
    assert said.startswith("Connector config {")
    assert said.endswith("} contains no connector type")
    assert "tasks.max=null" in said
    assert "name=x" in said
    assert "hush" not in said
    assert str(no_class({"name": "x", "topic": "t"})) == "Connector config {name=x, topic=t} contains no connector type"


def test_of_what_takes_too_long_no_more_is_waited_for() -> None:
    clock = ManualClock(1_000)
    agenda = Agenda(clock)
    agenda.start("agenda", lambda error: None)
    never: Future[None] = Future()

    def patient() -> Procedure:
        yield agenda.at_most(never, 10)
        return "enough"

    def quick() -> Procedure:
        done: Future[None] = Future()
        done.set_result(None)
        yield agenda.at_most(done, 10)
        return "done"

    waiting = agenda.perform(patient())
    assert agenda.perform(quick()).result(PATIENCE_S) == "done"
    assert not waiting.done()
    clock.advance(10)
    agenda.post(lambda: None)
    assert waiting.result(PATIENCE_S) == "enough"
    agenda.close(PATIENCE_S)


def test_procedures_go_on_when_what_they_wait_for_is_done_and_errors_reach_them() -> None:
    agenda = Agenda(SystemClock())
    agenda.start("agenda", lambda error: None)
    first: Future[int] = Future()
    broken: Future[int] = Future()

    def procedure() -> Procedure:
        number = yield first
        try:
            yield broken
        except NotFoundError:
            return number + 1

    done = agenda.perform(procedure())
    first.set_result(41)
    broken.set_exception(NotFoundError("gone"))
    assert done.result(PATIENCE_S) == 42
    agenda.close(PATIENCE_S)


def test_a_procedure_that_raises_fails_its_future_and_the_thread_lives_on() -> None:
    agenda = Agenda(SystemClock())
    agenda.start("agenda", lambda error: None)

    def wrong() -> Procedure:
        yield from ()
        raise NotFoundError("no such thing")

    with pytest.raises(NotFoundError):
        agenda.perform(wrong()).result(PATIENCE_S)

    def right() -> Procedure:
        yield from ()
        return "here"

    assert agenda.perform(right()).result(PATIENCE_S) == "here"
    agenda.close(PATIENCE_S)


def test_one_procedure_at_a_time_has_a_connector() -> None:
    agenda = Agenda(SystemClock())
    agenda.start("agenda", lambda error: None)
    turns, gate, seen = Turns(), Future[None](), list[str]()

    def waiting() -> Procedure:
        seen.append("first begins")
        yield gate
        seen.append("first ends")

    def following() -> Procedure:
        seen.append("second")
        yield from ()

    first = agenda.perform(turns.take("x", waiting()))
    second = agenda.perform(turns.take("x", following()))
    other = agenda.perform(turns.take("y", following()))
    other.result(PATIENCE_S)
    assert seen == ["first begins", "second"]
    gate.set_result(None)
    first.result(PATIENCE_S)
    second.result(PATIENCE_S)
    assert seen == ["first begins", "second", "first ends", "second"]
    agenda.close(PATIENCE_S)


def test_java_loggers_have_their_like_here() -> None:
    assert ours("org.apache.kafka.connect") == "millstream"
    assert ours("org.apache.kafka.connect.runtime.rest.RestServer") == "millstream.rest.RestServer"
    assert ours("org.apache.kafka.connect.file.FileStreamSourceTask") == "millstream_file.FileStreamSourceTask"
    assert ours("my.own") == "my.own"
    assert [name for name in JAVA_PREFIXES.values() if find_spec(name) is None] == []
    assert level_name(logging.WARNING) == "WARN"
    assert level_name(35) == "WARN"
    assert level_name(100) == "OFF"
