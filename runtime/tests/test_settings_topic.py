"""Settings of topics, as brokers take them."""

import pytest

from millstream.settings.topic import offset_topic, unknown_config, wrong_config


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("retention.ms", "-1", None),
        ("retention.ms", " 5000 ", None),
        ("retention.ms", "-5", "retention.ms is -5; expected at least -1"),
        ("retention.ms", "1_000", "Invalid value 1_000 for configuration retention.ms: Not a number of type LONG"),
        ("retention.bytes", "-7", None),
        ("max.message.bytes", "-1", "max.message.bytes is -1; expected at least 0"),
        ("max.message.bytes", "3000000000", "configuration max.message.bytes: Not a number of type INT"),
        ("min.insync.replicas", "0", "min.insync.replicas is 0; expected at least 1"),
        ("min.cleanable.dirty.ratio", "0.5", None),
        ("min.cleanable.dirty.ratio", "1.1", "min.cleanable.dirty.ratio is 1.1; expected at most 1"),
        ("segment.bytes", "1048575", "segment.bytes is 1048575; expected at least 1048576"),
        ("segment.bytes", "1048576", None),
        ("compression.gzip.level", "0", "compression.gzip.level is '0'; expected one of -1, 1, 2"),
        ("compression.gzip.level", "9", None),
        ("compression.lz4.level", "18", "compression.lz4.level is 18; expected at most 17"),
        ("compression.zstd.level", "-131073", "compression.zstd.level is -131073; expected at least -131072"),
        ("preallocate", "perhaps", "Expected value to be either true or false"),
        ("message.timestamp.type", "LogAppendTime", None),
        ("message.timestamp.type", "now", "message.timestamp.type is 'now'; expected one of CreateTime, LogAppendTime"),
        ("com.example.anything", "x", None),
    ],
)
def test_what_brokers_refuse_of_a_topic_is_known(name: str, text: str, problem: str | None) -> None:
    found = wrong_config({name: text})
    assert list(found) == ([] if problem is None else [name])
    assert problem is None or problem in found[name]


def test_a_name_that_no_topic_has_is_known_with_the_nearest() -> None:
    given = {"retention.mss": "1", "com.example.anything": "x", "retention.ms": "1", "cleanup.policy": "compact"}
    assert unknown_config(given) == {"retention.mss": "retention.ms", "com.example.anything": ""}


def test_source_offsets_have_a_topic_whatever_blanks_stand_around_its_name() -> None:
    assert [offset_topic(each) for each in ({}, {"offset.storage.topic": " own "}, {"offset.storage.topic": " "})] == [
        "connect-offsets",
        "own",
        "connect-offsets",
    ]
