"""What a connector is given that nobody declares."""

from typing import Literal

import pytest

from millstream.settings.undeclared import MOST, undeclared

KNOWN = {
    *("name", "connector.class", "topics", "topics.regex", "tasks.max", "transforms", "errors.tolerance", "batch.size"),
    *("value.converter", "key.converter", "value.converter.schemas.enable"),
    *("transforms.mask.type", "transforms.mask.fields", "predicates.bob.type"),
}


def said(settings: dict[str, str | None], kind: Literal["source", "sink"] = "sink") -> dict[str, str]:
    return undeclared(kind, settings, KNOWN)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("batch.sise", "batch.size"),
        ("topic.regex", "topics.regex"),
        ("task.max", "tasks.max"),
        ("error.tolerance", "errors.tolerance"),
        ("transforms.mask.field", "transforms.mask.fields"),
        ("predicates.bob.typ", "predicates.bob.type"),
        ("max.poll.records", "consumer.override.max.poll.records"),
        ("consumer.max.poll.records", "consumer.override.max.poll.records"),
        ("producer.acks", "producer.override.acks"),
    ],
)
def test_a_slip_is_said_with_what_may_be_meant(name: str, meant: str) -> None:
    assert said({"name": "c", name: "x"}) == {name: f"did you mean {meant!r}?"}


def test_a_client_of_a_source_is_another_than_that_of_a_sink() -> None:
    assert said({"linger.ms": "5"}, "source") == {"linger.ms": "did you mean 'producer.override.linger.ms'?"}
    assert said({"linger.ms": "5"}) == {}


def test_a_setting_of_the_worker_is_said_to_be_one() -> None:
    assert said({"offset.flush.interval.ms": "5"}) == {
        "offset.flush.interval.ms": "it is the worker's: put it into the worker's file"
    }


def test_a_setting_of_a_converter_that_the_connector_does_not_name_is_said_to_lack_it() -> None:
    lacks = "it is for a converter that the connector names itself: add 'key.converter', or set it for the worker"
    assert said({"key.converter.schemas.enable": "false"}) == {"key.converter.schemas.enable": lacks}
    assert said({"key.converter": "A", "key.converter.schemas.enable": "false"}) == {}  # not the value's


@pytest.mark.parametrize(
    "name",
    [
        *("name", "_comment", "database.hostname", "transforms.dropped.type", "topic.creation.default.partitions"),
        *("producer.override.anything", "consumer.override.anything", "admin.override.anything", "predicates.ann.type"),
    ],
)
def test_of_anything_else_nothing_is_said(name: str) -> None:
    assert said({name: "x"}) == {}


def test_of_many_the_first_are_looked_at() -> None:
    found = said({f"batch.size{number}": "1" for number in range(MOST + 50)})
    assert list(found) == [f"batch.size{number}" for number in range(MOST)]
