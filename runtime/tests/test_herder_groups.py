"""What a sink reads and in which group, as retention and whoever moves its position are told."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.broker.ports import SinkGroup
from millstream.herder.groups import reading_group
from millstream.herder.moving import Moving
from millstream.settings.plugins import Kind
from millstream_api import TopicPartition


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"topics": "a, b"}, SinkGroup("connect-s", ("a", "b"))),
        ({"topics.regex": "x.*"}, SinkGroup("connect-s", (), re.compile("x.*"))),
        ({"topics.regex": " x.* "}, SinkGroup("connect-s", (), re.compile("x.*"))),
        ({"topics": "a", "topics.regex": "  "}, SinkGroup("connect-s", ("a",))),
        ({"topics": "a", "consumer.override.group.id": "g"}, SinkGroup("g", ("a",))),
        ({"topics": "${file:/f:topics}"}, SinkGroup("connect-s")),
        ({"topics.regex": "("}, SinkGroup("connect-s")),
        ({}, SinkGroup("connect-s")),
    ],
)
def test_a_sink_is_known_by_its_group_and_its_topics(settings: dict[str, str], told: SinkGroup) -> None:
    assert reading_group({"name": "s", **settings}, {}) == told


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
    assert reading_group(config, worker).group == group
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
