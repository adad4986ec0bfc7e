from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import ConfigError
from millstream.settings.substitution import ProviderSpec, declared_providers, resolve, variables


@dataclass
class Given:
    data: dict
    ttl_ms: int | None = None


class Shelf:
    """A provider of what it is made with; remembers what it was asked."""

    def __init__(self, data, ttl_ms=None):
        self.data, self.ttl_ms, self.asked = data, ttl_ms, []

    def get(self, path, keys):
        self.asked.append((path, keys))
        return Given({k: v for k, v in self.data.get(path, {}).items() if k in keys}, self.ttl_ms)


def test_variables_are_replaced_and_the_text_around_them_stays():
    vault = Shelf({"db": {"user": "ada", "password": "s3cr3t"}, "": {"HOME": "/root"}})
    settings = {
        "url": "jdbc://${vault:db:user}:${vault:db:password}@host",
        "home": "${vault:HOME}",
        "none": None,
        "plain": "x",
        "${vault:HOME}": "keys are not looked at",
    }
    resolved = resolve(settings, {"vault": vault})
    assert resolved.settings == {
        "url": "jdbc://ada:s3cr3t@host",
        "home": "/root",
        "none": None,
        "plain": "x",
        "${vault:HOME}": "keys are not looked at",
    }
    assert sorted(vault.asked) == [("", frozenset({"HOME"})), ("db", frozenset({"user", "password"}))]
    assert resolved.ttls == {}


@pytest.mark.parametrize(
    "text",
    ["${unknown:a:b}", "${vault:a:missing}", "${vault}", "${}", "$ {vault:a:b}", "{vault:a:b}", "${vault:a:b"],
)
def test_what_cannot_be_replaced_stays_as_it_is_written(text):
    vault = Shelf({"a": {"b": "1"}})
    assert resolve({"k": text}, {"vault": vault}).settings == {"k": text}


def test_what_is_put_in_is_not_looked_at_again():
    vault = Shelf({"a": {"b": "${vault:a:c}", "c": "1"}})
    assert resolve({"k": "${vault:a:b}"}, {"vault": vault}).settings == {"k": "${vault:a:c}"}
    given = {"k": "${vault:a:b}", "other": "${vault:a:c}"}
    assert resolve(given, {"vault": vault}).settings == {"k": "${vault:a:c}", "other": "1"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("${p:k}", ("p", "", "k")),
        ("${p:a:k}", ("p", "a", "k")),
        ("${p:a:k:l}", ("p", "a", "k:l")),
        ("${p::k}", ("p", "", "k")),
        ("${p:}", ("p", "", "")),
        ("${p:/etc/x.properties:db.user}", ("p", "/etc/x.properties", "db.user")),
    ],
)
def test_the_first_colon_ends_the_provider_the_second_the_path(text, parts):
    assert variables(text) == [parts]


def test_a_ttl_is_told_for_its_path_and_a_negative_one_is_none():
    settings = {"a": "${x:p:k}", "b": "${y:q:k}", "c": "${z:r:k}"}
    providers = {"x": Shelf({"p": {"k": "1"}}, 5), "y": Shelf({}, -1), "z": Shelf({}, 0)}
    assert resolve(settings, providers).ttls == {"p": 5, "r": 0}


def test_a_provider_that_fails_is_named_with_every_setting_that_needs_it():
    class Down:
        def get(self, path, keys):
            raise OSError("connection refused")

    with pytest.raises(ConfigError) as caught:
        resolve({"db.user": "${vault:db:u}", "db.password": "${vault:db:p}", "x": "1"}, {"vault": Down()})
    sentence = "cannot resolve ${vault:db:…}: config provider 'vault' failed: connection refused"
    assert caught.value.problems == {"db.user": sentence, "db.password": sentence}
    assert isinstance(caught.value.__cause__, OSError)


def test_providers_are_declared_with_class_and_parameters():
    settings = {
        "config.providers": "file, env",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "config.providers.file.param.allowed.paths": "/etc",
        "config.providers.env.class": "EnvVarConfigProvider",
        "config.providers.other.class": "not listed",
    }
    assert declared_providers(settings) == [
        ProviderSpec("file", "org.apache.kafka.common.config.provider.FileConfigProvider", {"allowed.paths": "/etc"}),
        ProviderSpec("env", "EnvVarConfigProvider", {}),
    ]
    assert declared_providers({}) == []


def test_a_provider_without_a_class_is_refused_by_name():
    with pytest.raises(ConfigError) as caught:
        declared_providers({"config.providers": "file"})
    assert caught.value.problems["config.providers.file.class"] == (
        "config.providers lists 'file', and there is no config.providers.file.class; name its class there,"
        " such as org.apache.kafka.common.config.provider.FileConfigProvider"
    )


@given(st.text(alphabet="ab${}: "))
def test_text_without_known_providers_never_changes(text):
    assert resolve({"k": text}, {}).settings == {"k": text}
