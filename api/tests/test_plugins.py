"""What a plugin has without overriding anything, and what it is told when it forgot what it must."""

from typing import Any

import pluggy
import pytest

from millstream_api import (
    NAMESPACE,
    ClientConfigPolicy,
    Config,
    ConfigProvider,
    Converter,
    HeaderConverter,
    OverrideRequest,
    PluginRef,
    Predicate,
    Provided,
    RestExtension,
    SinkConnector,
    SinkTask,
    SourceConnector,
    SourceTask,
    Subject,
    Support,
    TopicPartition,
    Transformation,
    hookimpl,
    hookspecs,
    key,
)

NOBODY: Any = None


class EmptySource(SourceConnector[Config]):
    config_class = Config


class EmptySink(SinkConnector[Config]):
    config_class = Config


def test_a_source_runs_one_task_and_a_sink_as_many_as_allowed() -> None:
    source, sink = EmptySource(Config(), NOBODY), EmptySink(Config(), NOBODY)
    assert source.task_configs(5) == [{}]
    assert sink.task_configs(3) == [{}, {}, {}]
    assert (source.exactly_once(), source.transaction_boundaries()) == (None, Support.UNSUPPORTED)
    for connector in (source, sink):
        assert list(connector.probe()) == []
        assert connector.alter_offsets([({"file": "a"}, None)]) is False


def test_a_sink_commits_what_was_put_unless_it_says_otherwise() -> None:
    offsets = {TopicPartition("t", 0): 5}
    assert SinkTask[Config](Config(), NOBODY).pre_commit(offsets) == offsets


@pytest.mark.parametrize(
    ("call", "forgotten"),
    [
        (lambda: SourceTask[Config](Config(), NOBODY).poll(), "SourceTask must override poll"),
        (lambda: SinkTask[Config](Config(), NOBODY).put(NOBODY), "SinkTask must override put"),
        (lambda: Converter(Config()).encoder(Subject("t", None, "value")), "Converter must override encoder"),
        (lambda: Converter(Config()).decoder(Subject("t", None, "value")), "Converter must override decoder"),
        (lambda: HeaderConverter(Config()).to_bytes("t", "h", 1, None), "HeaderConverter must override to_bytes"),
        (lambda: HeaderConverter(Config()).from_bytes("t", "h", b""), "HeaderConverter must override from_bytes"),
        (lambda: Transformation(Config()).apply(NOBODY), "Transformation must override apply"),
        (lambda: Transformation(Config()).apply_batch(NOBODY), "Transformation has no batch form"),
        (lambda: Predicate(Config()).test(NOBODY), "Predicate must override test"),
        (lambda: Predicate(Config()).test_batch(NOBODY), "Predicate has no batch form"),
        (lambda: ConfigProvider(Config()).get("p", frozenset()), "ConfigProvider must override get"),
        (lambda: ClientConfigPolicy(Config()).validate(NOBODY), "ClientConfigPolicy must override validate"),
    ],
)
def test_a_plugin_that_forgot_its_method_is_told_which(call: Any, forgotten: str) -> None:
    with pytest.raises(NotImplementedError, match=forgotten):
        call()


def test_an_extension_leaves_the_api_as_it_is_by_default() -> None:
    extension = RestExtension(Config())
    assert extension.guard(NOBODY) is NOBODY
    assert extension.resources(NOBODY) is None


def test_what_may_hold_secrets_shows_names_only() -> None:
    assert repr(Provided({"password": "hush"}, 5)) == "Provided(keys=['password'], ttl_ms=5)"
    request = OverrideRequest("orders", "sink", "FileStreamSink", "consumer", {"sasl.jaas.config": "hush"})
    assert repr(request) == "OverrideRequest('orders', sink, consumer: ['sasl.jaas.config'])"


class Declared:
    @hookimpl
    def register_sources(self) -> list[PluginRef]:
        return [PluginRef("a:B", ("org.example.B",), "4.3.1")]


class Misspelt:
    @hookimpl
    def register_sauces(self) -> list[PluginRef]:
        return []


def manager() -> pluggy.PluginManager:
    found = pluggy.PluginManager(NAMESPACE)
    found.add_hookspecs(hookspecs)
    return found


def test_hooks_are_found_by_pluggy_and_a_misspelt_one_is_refused() -> None:
    plugins = manager()
    plugins.register(Declared())
    plugins.check_pending()
    assert plugins.hook.register_sources() == [[PluginRef("a:B", aliases=("org.example.B",), stands_for="4.3.1")]]
    plugins.register(Misspelt())
    with pytest.raises(pluggy.PluginValidationError, match="unknown hook 'register_sauces'"):
        plugins.check_pending()


def test_every_hook_shows_how_it_is_used_and_is_tested_here() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    assert len(hooks) == 9
    for name in hooks:
        hook = getattr(hookspecs, name)
        assert "@hookimpl" in hook.__doc__
        assert f"def {name}() -> Iterable[PluginRef]:" in hook.__doc__
        assert list(hook()) == []


class KeyedTask(SourceTask[Config]):
    class OwnConfig(Config):
        file: str = key()

    config_class = OwnConfig


def test_a_task_may_have_settings_of_its_own() -> None:
    assert SourceTask.config_class is None
    assert KeyedTask.config_class is KeyedTask.OwnConfig
