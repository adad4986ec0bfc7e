"""A task's body: what it hears while the task is being put together."""

import re
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.broker.ports import ConsumerSettings
from millstream.builtin.converters import StringConverter, StringConverterConfig
from millstream.errors import ConfigError
from millstream.host import task
from millstream.host.channel import PluginTarget, Reshare, RunTask, Surroundings
from millstream.pipeline.chain import Chain
from millstream.pipeline.conversion import Converters
from millstream.pipeline.reporting import Counters
from millstream.pipeline.tolerance import Tolerance


def test_the_newest_share_of_the_topics_counts_though_it_comes_while_the_former_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares: list[tuple[int, int]] = []
    listening: list[threading.Thread] = []

    def reshare(member: int, members: int) -> None:
        if not listening:  # the listening thread hears of the next one right now
            listening.append(threading.Thread(target=body.hear, args=(Reshare(0, 3),)))
            listening[0].start()
            listening[0].join(0.2)
        shares.append((member, members))

    consumer = SimpleNamespace(reshare=reshare)
    bench = SimpleNamespace(loop=lambda: SimpleNamespace(run=lambda: None), consumer=consumer, close=lambda: None)
    monkeypatch.setattr(task, "Workbench", lambda *_: bench)
    end: Any = SimpleNamespace()  # nothing is told
    body = task.TaskBody(RunTask("c", 0, PluginTarget("hosted:Sink", "sink", "hosted", "1")), end)
    body.hear(Reshare(0, 2))
    body.run()
    listening[0].join(60)
    assert shares == [(0, 2), (0, 3)]


STRINGS = dict.fromkeys(("key.converter", "value.converter"), "org.apache.kafka.connect.storage.StringConverter")


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        (
            {},
            "neither the connector nor the worker names a key.converter; set it in one of them, such as",
        ),
        (STRINGS, "bootstrap.servers is missing; set it, such as sqlite:millstream.db"),
    ],
)
def test_a_worker_that_lacks_a_setting_fails_its_task_with_it(worker: dict[str, str], said: str) -> None:
    end: Any = SimpleNamespace()  # nothing is told
    plugin = PluginTarget("hosted:Staying", kind="source", distribution="hosted", version="1")
    body = task.TaskBody(RunTask("c", 0, plugin, around=Surroundings(dict(worker))), end)
    with pytest.raises(ConfigError, match=said):
        body.run()


def workbench(worker: dict[str, str]) -> Any:
    return task.Workbench(
        RunTask("c", 0, PluginTarget("hosted:Sink", "sink", "hosted", "1")),
        task.Places(Surroundings({"bootstrap.servers": "127.0.0.1:9092", **worker})),
        *(SimpleNamespace(wait=None),) * 3,
    )


@pytest.mark.parametrize(
    ("worker", "connector", "reset", "group", "rows"),
    [
        ({}, {}, "earliest", "connect-c", 500),
        ({}, {"auto.offset.reset": "latest", "group.id": "own", "max.poll.records": "7"}, "latest", "own", 7),
        ({"consumer.auto.offset.reset": "latest", "consumer.max.poll.records": "9"}, {}, "latest", "connect-c", 9),
        ({"consumer.auto.offset.reset": "latest"}, {"auto.offset.reset": "earliest"}, "earliest", "connect-c", 500),
        ({}, {"auto.offset.reset": " LATEST "}, "latest", "connect-c", 500),
        ({}, {"auto.offset.reset": "none"}, "none", "connect-c", 500),
        ({"consumer.group.id": "shared"}, {"max.poll.records": " 9 "}, "earliest", "shared", 9),
        ({"consumer.group.id": "shared"}, {"group.id": " own "}, "earliest", "own", 500),
    ],
)
def test_a_sink_reads_as_its_connector_overrides_the_worker(
    worker: dict[str, str], connector: dict[str, str], reset: str, group: str, rows: int
) -> None:
    asked: list[ConsumerSettings] = []
    bench = workbench(worker)
    bench._broker = SimpleNamespace(consumer=asked.append)
    bench._counters = Counters()
    overrides = {f"consumer.override.{name}": text for name, text in connector.items()}
    parts = bench._sink({"topics": "t", **overrides}, None, SimpleNamespace())
    assert [(each.reset, each.group) for each in asked] == [(reset, group)]
    assert parts.settings.max_poll_rows == rows


@pytest.mark.parametrize(
    ("worker", "connector", "setting"),
    [
        ({}, {"consumer.override.auto.offset.reset": "by_duration:PT1H"}, "consumer.override.auto.offset.reset"),
        ({"consumer.auto.offset.reset": "by_duration:PT1H"}, {}, "consumer.auto.offset.reset"),
    ],
)
def test_a_reset_that_is_not_there_is_refused_under_its_whole_name(
    worker: dict[str, str], connector: dict[str, str], setting: str
) -> None:
    bench = workbench(worker)
    bench._broker = SimpleNamespace(consumer=None)
    with pytest.raises(ConfigError) as caught:
        bench._sink({"topics": "t", **connector}, None, SimpleNamespace())
    said = f"{setting} is 'by_duration:PT1H'; expected earliest, latest or none, as there is no by_duration here"
    assert caught.value.problems == {setting: said}


def test_blanks_around_the_expression_of_a_sinks_topics_are_none_of_it() -> None:
    asked = workbench({})._sink_settings
    assert asked({"topics.regex": " a.* "}, {}).pattern == re.compile("a.*")
    assert asked({"topics": "t", "topics.regex": "  "}, {}).topics == ["t"]


def test_on_the_embedded_log_a_connectors_own_settings_of_clients_are_looked_at_where_brokers_would(
    caplog: pytest.LogCaptureFixture,
) -> None:
    embedded = {"bootstrap.servers": "sqlite:log.db", "consumer.fetch.min.bytes": "5", "consumer.max.pol.records": "1"}
    bench = workbench(embedded)
    assert bench._overrides("consumer", {}) == {"fetch.min.bytes": "5", "max.pol.records": "1"}
    with pytest.raises(ConfigError) as caught:
        bench._overrides("consumer", {"consumer.override.max.poll.records": "0"})
    setting = "consumer.override.max.poll.records"
    assert caught.value.problems == {setting: f"{setting} is 0; expected at least 1"}
    assert caplog.messages == []
    elsewhere = {"consumer.override.bootstrap.servers": "other:9092", "consumer.override.interceptor.classes": None}
    for number in (0, 1):  # it is said once, and not by each task
        bench._run = replace(bench._run, task=number)
        assert bench._overrides("consumer", elsewhere)["bootstrap.servers"] == "other:9092"
    assert caplog.messages == [
        "consumer.override.bootstrap.servers is not followed as it is written: connectors write to the embedded log,"
        " and read from it"
    ]


@pytest.mark.parametrize(
    ("bootstrap", "boundary", "number", "is_said"),
    [
        ("broker:9092", "interval", 0, True),
        ("broker:9092", " Connector ", 0, True),
        ("broker:9092", "connector", 1, False),  # of its first task alone
        ("broker:9092", "poll", 0, False),
        ("broker:9092", None, 0, False),
        ("sqlite::memory:bounds", "interval", 0, False),
    ],
)
def test_where_transactions_would_end_is_said_to_be_of_no_use_where_there_are_none(
    bootstrap: str, boundary: str | None, number: int, is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    bench = workbench({"bootstrap.servers": bootstrap})
    bench._run = replace(bench._run, task=number)
    bench._broker = SimpleNamespace(shared=True)
    bench._source_settings({"transaction.boundary": boundary})
    said = [f"transaction.boundary={boundary.strip().lower()} is not followed: "] if is_said and boundary else []
    assert [line[: len(said[0])] if said else line for line in caplog.messages] == said


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({}, Tolerance(False, 0, 60_000)),
        (
            {"errors.tolerance": " ALL", "errors.retry.timeout": "-1", "errors.retry.delay.max.ms": "50"},
            Tolerance(True, -1, 50),
        ),
    ],
)
def test_what_a_connector_says_of_errors_is_what_its_rows_are_handled_by(
    settings: dict[str, str], tolerance: Tolerance
) -> None:
    text = StringConverter(StringConverterConfig.parse({"converter.type": "value"}))
    composer: Any = SimpleNamespace(converters=lambda: Converters(text, text, text), chain=Chain)
    for sink in (True, False):
        assert workbench({})._pipeline(settings, composer, sink)._handling.tolerance == tolerance


@pytest.mark.parametrize(
    ("worker", "interval_ms"),
    [
        ({"bootstrap.servers": "sqlite:log.db"}, 1_000),
        ({"bootstrap.servers": "127.0.0.1:9092"}, 60_000),
        ({"bootstrap.servers": "sqlite:log.db", "offset.flush.interval.ms": "250"}, 250),
        ({"bootstrap.servers": "127.0.0.1:9092", "offset.flush.interval.ms": "250"}, 250),
    ],
)
def test_offsets_are_committed_each_second_on_the_embedded_log_and_each_minute_on_kafka_unless_told_otherwise(
    worker: dict[str, str], interval_ms: int
) -> None:
    bench = workbench(worker)
    bench._broker = SimpleNamespace(shared=True)
    assert bench._sink_settings({"topics": "t"}, {}).offset_flush_interval_ms == interval_ms
    assert bench._source_settings({}).offset_flush_interval_ms == interval_ms
