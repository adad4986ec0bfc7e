import pytest

from millstream.errors import ConfigError
from millstream.settings.client import check_types, client_definitions, overrides, validated_clients
from millstream_api.config import ConfigType


@pytest.mark.parametrize("client", ["producer", "consumer", "admin"])
def test_each_client_has_its_settings_once_and_secrets_among_them(client):
    definitions = client_definitions(client)
    names = [one.name for one in definitions]
    assert len(names) == len(set(names))
    types = {one.name: one.type for one in definitions}
    assert types["sasl.jaas.config"] is types["ssl.keystore.password"] is ConfigType.PASSWORD
    assert "bootstrap.servers" in types


@pytest.mark.parametrize(
    ("kind", "settings", "own_offsets", "clients"),
    [
        ("source", {}, False, ["producer"]),
        ("source", {"topic.creation.groups": "a"}, False, ["producer", "admin"]),
        ("source", {}, True, ["producer", "consumer", "admin"]),
        ("sink", {}, False, ["consumer"]),
        ("sink", {"errors.deadletterqueue.topic.name": " "}, False, ["consumer"]),
        ("sink", {"errors.deadletterqueue.topic.name": "d"}, False, ["producer", "consumer", "admin"]),
    ],
)
def test_overrides_are_validated_for_the_clients_that_tasks_will_have(kind, settings, own_offsets, clients):
    assert validated_clients(kind, settings, own_offsets) == clients


def test_overrides_are_those_under_the_prefix():
    settings = {
        "producer.override.acks": "1",
        "producer.override.": "x",
        "producer.override.linger.ms": None,
        "acks": "2",
    }
    assert overrides("producer", settings) == {"acks": "1"}


def test_an_override_of_the_wrong_type_is_refused_and_an_unknown_one_is_not():
    check_types("consumer", {"consumer.override.max.poll.records": "5", "consumer.override.abc": "x"})
    with pytest.raises(ConfigError) as caught:
        check_types("consumer", {"consumer.override.max.poll.records": "x"})
    assert str(caught.value) == "Invalid value x for configuration max.poll.records: Not a number of type INT"
