"""What a sink reads and in which group, as retention and whoever moves its position are told."""

import re
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.broker.ports import SinkGroup
from millstream.errors import BrokerError, RemoteError
from millstream.herder.groups import EVERY, ROUNDS, Readings, reading_group
from millstream.herder.moving import Moving
from millstream.herder.stages import Stages
from millstream.host.channel import RunProbe
from millstream.lifecycle import ManualClock
from millstream.settings.plugins import Kind
from millstream_api import TopicPartition

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from herding import Herding, herding, until

SECRET = "group-of-the-vault"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"topics": "a, b"}, SinkGroup("connect-s", ("a", "b"))),
        ({"topics.regex": "x.*"}, SinkGroup("connect-s", (), re.compile("x.*"))),
        ({"topics.regex": " x.* "}, SinkGroup("connect-s", (), re.compile("x.*"))),
        ({"topics": "a", "topics.regex": "  "}, SinkGroup("connect-s", ("a",))),
        ({"topics": "a", "consumer.override.group.id": "g"}, SinkGroup("g", ("a",))),
        ({"topics": "${file:/f:topics}"}, SinkGroup("connect-s")),
        ({"topics": "a", "consumer.override.group.id": "${f:/f:g}"}, SinkGroup("${f:/f:g}", ("a",))),
        ({"topics": "${f:/f:t}", "consumer.override.group.id": "${f:/f:g}"}, SinkGroup("${f:/f:g}", (), EVERY)),
        ({"topics.regex": "("}, SinkGroup("connect-s")),
        ({}, SinkGroup("connect-s")),
    ],
)
def test_a_sink_is_known_by_its_group_and_its_topics(settings: dict[str, str], told: SinkGroup) -> None:
    assert reading_group("s", settings, {}) == told


@pytest.mark.parametrize(
    ("settings", "worker", "group"),
    [
        ({"consumer.override.group.id": " g "}, {}, "g"),
        ({}, {"consumer.group.id": "shared "}, "shared"),
        ({"consumer.override.group.id": "g"}, {"consumer.group.id": "shared"}, "g"),
        ({"consumer.override.group.id": " "}, {"consumer.group.id": "shared"}, "connect-s"),
    ],
)
def test_the_group_is_the_one_that_its_tasks_read_with(
    settings: dict[str, str], worker: dict[str, str], group: str
) -> None:
    config = {"name": "s", "connector.class": "any", **settings}
    assert reading_group("s", config, worker).group == group
    at = TopicPartition("t", 0)
    crew: Any = SimpleNamespace(
        worker=SimpleNamespace(settings=worker),
        inventory=SimpleNamespace(find_connector=lambda _: SimpleNamespace(kind=Kind.SINK)),
        stores=SimpleNamespace(
            remote=False,
            admin=SimpleNamespace(group_offsets=lambda asked: {at: 7} if asked == group else {}),
            configs=SimpleNamespace(snapshot=lambda: SimpleNamespace(connectors={"s": config})),
        ),
    )
    with pytest.raises(StopIteration) as told:
        next(Moving(crew).offsets_of("s"))
    assert told.value.value == [({"kafka_partition": 0, "kafka_topic": "t"}, {"kafka_offset": 7})]


class Children:
    """Is asked, and answers when and what the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[RunProbe, Future[Any]]] = []

    def __call__(self, question: RunProbe) -> "Future[Any]":
        self.asked.append((question, Future()))
        return self.asked[-1][1]

    def answer(self, **said: str) -> None:
        self.asked[-1][1].set_result({name.replace("_", "."): text for name, text in said.items()})


SAID = {"topics": "${f:/f:topics}", "name": "s"}


def test_of_what_a_child_resolves_a_sink_holds_up_everything_until_it_has_answered() -> None:
    children = Children()
    readings = Readings(children, {"consumer.group.id": "${f:/f:group}"})
    unknown = [SinkGroup("${f:/f:group}", (), EVERY)]
    for _ in range(3):
        assert readings.of({"s": SAID}) == unknown
    ((question, _),) = children.asked
    assert (question.what, question.connector, question.settings) == ("reading", "s", {"topics": "${f:/f:topics}"})
    children.answer(consumer_override_group_id="g", topics="a,b")
    assert readings.of({"s": SAID}) == [SinkGroup("g", ("a", "b"))]
    assert len(children.asked) == 1


def test_a_child_is_asked_again_when_settings_change_and_after_so_many_rounds() -> None:
    children = Children()
    readings = Readings(children, {})
    readings.of({"s": SAID})
    children.answer(consumer_override_group_id="connect-s", topics="a")
    for _ in range(ROUNDS - 1):
        assert readings.of({"s": SAID}) == [SinkGroup("connect-s", ("a",))]
    assert len(children.asked) == 1
    assert readings.of({"s": SAID}) == [SinkGroup("connect-s")]  # by what it has read so far
    assert len(children.asked) == 2
    children.answer(consumer_override_group_id="connect-s", topics="b")
    assert readings.of({"s": SAID}) == [SinkGroup("connect-s", ("b",))]
    readings.of({"s": {**SAID, "topics": "${f:/f:others}"}})
    assert len(children.asked) == 3


def test_a_child_that_failed_is_followed_by_another_in_the_next_round() -> None:
    children = Children()
    readings = Readings(children, {"consumer.group.id": "${f:/f:group}"})
    for asked in range(1, 3):
        assert readings.of({"s": SAID}) == [SinkGroup("${f:/f:group}", (), EVERY)]
        assert len(children.asked) == asked
        children.asked[-1][1].set_exception(RemoteError("ConfigError", "no such file", ""))


@pytest.fixture
def provided(tmp_path: Path) -> Iterator[tuple[Herding, str]]:
    """A herder with a config provider, and a variable that stands for SECRET; its worker's group is another one."""
    held = tmp_path / "held.properties"
    held.write_text(f"group={SECRET}\nworkers={SECRET}-too\n")
    provider = "org.apache.kafka.common.config.provider.FileConfigProvider"
    declared = {"config.providers": "file", "config.providers.file.class": provider}
    with herding(None, {**declared, "consumer.group.id": f"${{file:{held}:workers}}"}) as made:
        yield made, f"${{file:{held}:group}}"


@pytest.mark.parametrize("whose", ["the worker's", "its own"])
def test_an_operator_moves_the_group_that_a_provider_names_and_is_not_told_its_name(
    provided: tuple[Herding, str], tmp_path: Path, whose: str, caplog: pytest.LogCaptureFixture
) -> None:
    herd, variable = provided
    lines, copy = tmp_path / "lines.txt", tmp_path / "copy.txt"
    lines.write_text("one\ntwo\n")
    herd.create("fill", "FileStreamSource", file=str(lines), topic="filled")
    own = {"consumer.override.group.id": variable} if whose == "its own" else {}
    herd.create("drain", "FileStreamSink", file=str(copy), topics="filled", **own)
    place = {"kafka_topic": "filled", "kafka_partition": 0}
    until(lambda: herd.offsets("drain") == [{"partition": place, "offset": {"kafka_offset": 2}}], "its position")
    herd.rest.request("PUT", "/connectors/drain/stop")
    until(lambda: herd.states("drain") == ["STOPPED"], "it to stop")
    moved = {"offsets": [{"partition": place, "offset": {"kafka_offset": 1}}]}
    assert herd.rest.request("PATCH", "/connectors/drain/offsets", moved).status_code == 200
    assert herd.offsets("drain") == moved["offsets"]
    herd.rest.request("PUT", "/connectors/drain/resume")
    until(lambda: copy.read_text() == "one\ntwo\ntwo\n", "the second line once more")
    herd.rest.request("PUT", "/connectors/drain/stop")
    until(lambda: herd.states("drain") == ["STOPPED"], "it to stop again")
    assert herd.rest.delete("/connectors/drain/offsets").status_code == 200
    assert herd.offsets("drain") == []
    assert SECRET not in caplog.text


def refusing(group: str) -> Mapping[TopicPartition, int]:
    raise BrokerError(f"reading the positions of group {group!r}: not authorized", retriable=True)


def test_what_brokers_say_of_a_group_that_a_provider_names_is_told_without_its_name() -> None:
    config = {"name": "s", "connector.class": "any", "consumer.override.group.id": "${f:/f:g}"}
    children = Children()
    crew: Any = SimpleNamespace(
        worker=SimpleNamespace(settings={}, probe=lambda question, _: children(question)),
        inventory=SimpleNamespace(find_connector=lambda _: SimpleNamespace(kind=Kind.SINK)),
        stages=Stages(ManualClock()),
        stores=SimpleNamespace(
            remote=False,
            admin=SimpleNamespace(group_offsets=refusing),
            configs=SimpleNamespace(snapshot=lambda: SimpleNamespace(connectors={"s": config})),
        ),
    )
    asking = Moving(crew).offsets_of("s")
    next(asking)
    with pytest.raises(BrokerError) as told:
        asking.send({"consumer.override.group.id": SECRET})
    assert str(told.value) == "reading the positions of group '${f:/f:g}': not authorized"
    assert told.value.retriable
