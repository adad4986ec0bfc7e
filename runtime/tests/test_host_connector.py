"""What a connector gives for its tasks."""

from typing import Any

import pytest

from millstream.errors import ConfigError, PluginError
from millstream.host.connector import complete, own_configs
from millstream.host.report import probed
from millstream_api import Problem


class Given:
    def __init__(self, given: Any) -> None:
        self.given = given

    def task_configs(self, max_tasks: int) -> Any:
        return self.given


def test_a_list_of_mappings_is_taken_and_no_list_is_no_task() -> None:
    given: Any = Given(({"a": "1"}, {}))
    assert own_configs(given, 2) == [{"a": "1"}, {}]
    nothing: Any = Given([])
    assert own_configs(nothing, 2) == []


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            None,
            PluginError,
            "Given.task_configs gave a NoneType; it must give a list of mappings, one a task, [] for none",
        ),
        (
            {"a": "b"},
            PluginError,
            "Given.task_configs gave a dict; it must give a list of mappings, one a task, [] for none",
        ),
        ("ab", PluginError, "Given.task_configs gave a str; it must give a list of mappings, one a task, [] for none"),
        (["ab"], ConfigError, "Given.task_configs gave str; expected mappings"),
        ([{"a": 1}], ConfigError, "Given.task_configs gave int for 'a'; settings are text"),
    ],
    ids=["nothing", "a mapping", "text", "a list of texts", "a number"],
)
def test_anything_else_is_refused_with_what_would_be_right(given: Any, error: type[Exception], said: str) -> None:
    connector: Any = Given(given)
    with pytest.raises(error) as raised:
        own_configs(connector, 1)
    assert said in str(raised.value)


def test_what_came_from_config_providers_is_a_variable_again_in_task_configs() -> None:
    raw = {"password": "${file:/s:p}", "topic": "t", "odd": "$no"}
    made = complete(raw, {"password": "hunter2", "topic": "u", "task": "0"}, "a.Task")
    assert made == {"password": "${file:/s:p}", "topic": "u", "odd": "$no", "task": "0", "task.class": "a.Task"}


class Probed:
    def __init__(self, given: Any) -> None:
        self.given = given

    def probe(self) -> Any:
        return self.given


def test_problems_and_pairs_of_texts_are_what_a_probe_finds() -> None:
    found: Any = Probed(iter([Problem("topic", "is not there"), ("url", "does not answer")]))
    assert probed(found) == [Problem("topic", "is not there"), Problem("url", "does not answer")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "Probed.probe gave a NoneType; yield Problem(setting, sentence), or return ()"),
        ("bad", "Probed.probe gave a str; yield Problem(setting, sentence), or return ()"),
        (["bad"], "Probed.probe gave a str among its problems; yield Problem(setting, sentence), or return ()"),
    ],
)
def test_anything_else_that_a_probe_gives_is_refused(given: Any, said: str) -> None:
    connector: Any = Probed(given)
    with pytest.raises(PluginError) as raised:
        probed(connector)
    assert str(raised.value) == said
