import pytest

from millstream.broker.ports import NewTopic
from millstream.errors import ConfigError
from millstream.pipeline.topics import ActiveTopics, topic_creation

DEFAULTS = {"topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "-1"}
GROUPS = {
    **DEFAULTS,
    "topic.creation.groups": "logs, wide",
    "topic.creation.logs.include": "log.*, trace",
    "topic.creation.logs.exclude": "log-secret.*",
    "topic.creation.logs.cleanup.policy": "compact",
    "topic.creation.wide.include": ".*",
    "topic.creation.wide.exclude": "small",
    "topic.creation.wide.partitions": "50",
    "topic.creation.wide.replication.factor": "2",
}


def new(settings: dict[str, str], topic: str) -> NewTopic:
    creation, _ = topic_creation(settings)
    assert creation is not None
    return creation.new_topic(topic)


def test_without_settings_the_broker_makes_topics() -> None:
    assert topic_creation({"topic": "lines"}) == (None, ())


def test_the_first_group_that_matches_the_whole_name_decides() -> None:
    assert new(GROUPS, "logs-eu") == NewTopic("logs-eu", 3, -1, {"cleanup.policy": "compact"})
    assert new(GROUPS, "trace") == NewTopic("trace", 3, -1, {"cleanup.policy": "compact"})
    assert new(GROUPS, "tracer") == NewTopic("tracer", 50, 2, {})


def test_exclude_wins_over_include() -> None:
    assert new(GROUPS, "log-secret-1") == NewTopic("log-secret-1", 50, 2, {})


def test_what_no_group_takes_goes_by_the_default_group() -> None:
    settings = {**GROUPS, "topic.creation.default.retention.ms": "1000"}
    assert new(settings, "small") == NewTopic("small", 3, -1, {"retention.ms": "1000"})


def test_the_default_group_takes_every_topic_and_its_patterns_are_ignored_with_a_warning() -> None:
    settings = {**DEFAULTS, "topic.creation.groups": "default", "topic.creation.default.exclude": ".*"}
    creation, warnings = topic_creation(settings)
    assert creation is not None
    assert creation.new_topic("any") == NewTopic("any", 3, -1, {})
    assert set(warnings) == {
        "topic.creation.groups names the group 'default', which always exists and is tried last; remove it there",
        "topic.creation.default.exclude is ignored: the default group takes every topic",
    }


def test_settings_of_a_group_that_is_not_named_are_ignored_with_a_warning() -> None:
    _, warnings = topic_creation({**DEFAULTS, "topic.creation.lost.include": "x"})
    assert list(warnings) == [
        "topic.creation.lost.include is ignored: topic.creation.groups does not name the group 'lost'"
    ]


@pytest.mark.parametrize(
    ("settings", "key", "sentence"),
    [
        (
            {"topic.creation.default.partitions": "1"},
            "topic.creation.default.replication.factor",
            'is missing; with any "topic.creation." setting it is required, -1 for the broker\'s',
        ),
        (
            {**DEFAULTS, "topic.creation.default.partitions": "0"},
            "topic.creation.default.partitions",
            "is '0'; it must be -1 (the broker's default) or a whole number from 1",
        ),
        (
            {**DEFAULTS, "topic.creation.default.partitions": "1_0"},
            "topic.creation.default.partitions",
            "is '1_0'; it must be -1 (the broker's default) or a whole number from 1",
        ),
        (
            {**DEFAULTS, "topic.creation.default.partitions": "many"},
            "topic.creation.default.partitions",
            "is 'many'; it must be -1",
        ),
        ({**GROUPS, "topic.creation.groups": "logs,logs"}, "topic.creation.groups", "names 'logs' more than once"),
        ({**GROUPS, "topic.creation.logs.include": "("}, "topic.creation.logs.include", "has '(', which is no regular"),
        ({**GROUPS, "topic.creation.logs.include": ""}, "topic.creation.logs.include", "is missing; give the regular"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(settings: dict[str, str], key: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        topic_creation(settings)
    assert f"{key} {sentence}" in caught.value.problems[key]


def test_active_topics_are_told_once_each() -> None:
    active = ActiveTopics()
    assert active.new(["a", "b", "a"]) == ["a", "b"]
    assert active.new(["b", "c"]) == ["c"]


def test_a_topic_says_which_settings_ask_for_it() -> None:
    creation, _ = topic_creation(
        {
            "topic.creation.groups": "wide",
            "topic.creation.default.partitions": "1",
            "topic.creation.default.replication.factor": "2",
            "topic.creation.wide.include": "w.*",
            "topic.creation.wide.partitions": "9",
            "topic.creation.wide.retention.ms": "7",
        }
    )
    assert creation is not None
    assert creation.new_topic("any").asked_for == (
        "topic.creation.default.partitions=1, topic.creation.default.replication.factor=2"
    )
    assert creation.new_topic("wet").asked_for == (
        "topic.creation.wide.partitions=9, topic.creation.default.replication.factor=2, "
        "topic.creation.wide.retention.ms=7"
    )


def test_a_name_that_only_begins_as_an_excluded_one_is_not_excluded() -> None:
    settings = {
        **GROUPS,
        "topic.creation.groups": "g",
        "topic.creation.g.include": ".*",
        "topic.creation.g.exclude": "a",
    }
    settings["topic.creation.g.partitions"] = "9"
    assert new(settings, "ab").partitions == 9
    assert new(settings, "a").partitions != 9
