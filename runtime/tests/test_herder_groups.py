"""What retention is told of a sink."""

import re

import pytest

from millstream.broker.ports import SinkGroup
from millstream.herder.groups import reading_group


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"topics": "a, b"}, SinkGroup("connect-s", ("a", "b"))),
        ({"topics.regex": "x.*"}, SinkGroup("connect-s", (), re.compile("x.*"))),
        ({"topics": "a", "consumer.override.group.id": "g"}, SinkGroup("g", ("a",))),
        ({"topics": "${file:/f:topics}"}, SinkGroup("connect-s")),
        ({"topics.regex": "("}, SinkGroup("connect-s")),
        ({}, SinkGroup("connect-s")),
    ],
)
def test_a_sink_is_known_by_its_group_and_its_topics(settings: dict[str, str], told: SinkGroup) -> None:
    assert reading_group({"name": "s", **settings}) == told
