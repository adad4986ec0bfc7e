import importlib
import logging
import sys
from importlib.metadata import Distribution, version

import pytest

from millstream.errors import PluginError
from millstream.inventory.discovery import discover, tell_failures
from millstream.inventory.inventory import Plugin
from millstream.inventory.loading import load
from millstream.lifecycle import Interrupted
from millstream.settings.plugins import Kind

HEADER = "from millstream_api.hookspecs import PluginRef, hookimpl\n"
GOOD = HEADER + (
    "@hookimpl\n"
    "def register_sources():\n"
    "    yield PluginRef('{module}_code:Source', ('org.example.{module}.GoodSourceConnector',), '9.9')\n"
)


class Environment:
    """Distributions written to a folder on the import path."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))

    def write(self, module, source):
        """A folder that was looked into a moment ago, by whoever imports something, is looked into again."""
        (self.folder / f"{module}.py").write_text(source)
        importlib.invalidate_caches()

    def add(self, name, source, requires=("millstream-api>=0",), entry_points=None, version="1.2"):
        module = name.replace("-", "_")
        self.write(module, source.format(module=module) if "{module}" in source else source)
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        lines = [f"Name: {name}", f"Version: {version}", "Metadata-Version: 2.1"]
        info.joinpath("METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires)]) + "\n")
        entry_points = entry_points or f"[millstream]\nmain = {module}\n"
        info.joinpath("entry_points.txt").write_text(entry_points)
        return module

    def discover(self, disabled=frozenset()):
        return discover(disabled, list(Distribution.discover(path=[str(self.folder)])))

    def forget(self):
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(f"{self.folder}/"):
                del sys.modules[name]


@pytest.fixture
def environment(tmp_path, monkeypatch):
    environment = Environment(tmp_path, monkeypatch)
    yield environment
    environment.forget()


def test_plugins_are_found_with_the_version_of_their_distribution_and_without_their_code(environment):
    environment.add("good-one", GOOD)
    inventory = environment.discover()
    assert inventory.plugins == (
        Plugin(
            Kind.SOURCE,
            "good_one_code:Source",
            ("org.example.good_one.GoodSourceConnector",),
            "good-one",
            "1.2",
            "9.9",
        ),
    )
    assert inventory.failures == {}
    assert "good_one_code" not in sys.modules


BROKEN = {
    "misspelt-hook": (
        HEADER + "@hookimpl\ndef register_source(): return ()\n",
        "unknown hook 'register_source' in module 'misspelt_hook'; did you mean register_sources?",
    ),
    "unheard-of-hook": (
        HEADER + "@hookimpl\ndef on_start(): return ()\n",
        "unknown hook 'on_start' in module 'unheard_of_hook'; there are register_sources, register_sinks, ",
    ),
    "hook-of-others": (
        HEADER + "@hookimpl\ndef register_metrics(): return ()\n",
        "unknown hook 'register_metrics' in module 'hook_of_others'; there are register_sources, register_sinks, ",
    ),
    "missing-driver": (
        "import a_driver_that_is_not_there\n",
        "the entry point `main = missing_driver` cannot be loaded: ModuleNotFoundError: No module named"
        " 'a_driver_that_is_not_there'",
    ),
    "ends-process": ("raise SystemExit(3)\n", "the entry point `main = ends_process` cannot be loaded: SystemExit: 3"),
    "without-hooks": (HEADER, "the module 'without_hooks' has no hook; mark a function such as register_sources"),
    "without-mark": (
        HEADER + "def register_sinks(): return ()\n",
        "the module 'without_mark' has no hook; put @hookimpl above register_sinks",
    ),
    "gives-nothing": (
        HEADER + "@hookimpl\ndef register_sinks(): pass\n",
        "register_sinks gave None; it must yield references: yield PluginRef('module:Class')",
    ),
    "gives-one": (
        HEADER + "@hookimpl\ndef register_sinks(): return PluginRef('a:B')\n",
        "register_sinks gave PluginRef(target='a:B', aliases=(), stands_for=None); it must yield references",
    ),
    "text-for-aliases": (
        HEADER + "@hookimpl\ndef register_sinks(): yield PluginRef('a:B', 'FooSink')\n",
        "register_sinks yielded aliases='FooSink' for 'a:B'; expected a tuple of names: ('FooSource',)",
    ),
    "bad-syntax": ("def (\n", "invalid syntax"),
    "wrong-yield": (
        HEADER + "@hookimpl\ndef register_sinks(): return ['a:B']\n",
        "register_sinks yielded 'a:B'; expected PluginRef('module:Class')",
    ),
    "no-colon": (
        HEADER + "@hookimpl\ndef register_sinks(): return [PluginRef('a.B')]\n",
        "register_sinks yielded the target 'a.B'; expected 'module:Class'",
    ),
    "fails-half-way": (
        HEADER + "@hookimpl\ndef register_sinks():\n    yield PluginRef('a:B')\n    raise OSError('disk')\n",
        "disk",
    ),
    "ends-process-in-its-hook": (HEADER + "@hookimpl\ndef register_sinks(): raise SystemExit(4)\n", "4"),
    "with-argument": (
        HEADER + "@hookimpl\ndef register_sinks(worker): return ()\n",
        "the hook register_sinks takes arguments; it must take none: `def register_sinks() -> …`",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_distribution_is_a_row_and_one_line_in_the_log_and_the_others_go_on(name, environment, caplog):
    source, reason = BROKEN[name]
    environment.add(name, source)
    environment.add("good-one", GOOD)
    inventory = environment.discover()
    assert [plugin.distribution for plugin in inventory.plugins] == ["good-one"]
    assert list(inventory.failures) == [f"{name} 1.2"]
    assert reason in str(inventory.failures[f"{name} 1.2"])
    assert caplog.records == []  # each child looks as well
    with caplog.at_level(logging.WARNING):
        tell_failures(inventory)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"the plugins of {name} 1.2 cannot be used: ")


IN_AN_IMPORT = "from millstream.lifecycle import Interrupted\nraise Interrupted(15)\n"


def test_a_signal_that_comes_while_a_distribution_is_imported_is_no_failure_of_it(environment):
    environment.add("interrupted-import", IN_AN_IMPORT)
    with pytest.raises(Interrupted):
        environment.discover()


def test_a_signal_that_comes_while_hooks_are_asked_ends_the_command(environment):
    environment.add(
        "interrupted-hook", HEADER + "@hookimpl\ndef register_sources():\n    " + IN_AN_IMPORT.replace("\n", "\n    ")
    )
    with pytest.raises(Interrupted):
        environment.discover()


def test_a_signal_that_comes_while_a_class_is_loaded_ends_the_command(environment):
    environment.write("x_code", IN_AN_IMPORT)
    with pytest.raises(Interrupted):
        load(source("x_code:Source"))


@pytest.mark.parametrize(
    ("entry_point", "reason"),
    [
        (
            "main = no_such_module",
            "the entry point `main = no_such_module` cannot be loaded: ModuleNotFoundError: No module named"
            " 'no_such_module'; is it spelt as the module's file, and is that in the distribution?",
        ),
        (
            "main = wrong_entry:Nope",
            "the entry point `main = wrong_entry:Nope` cannot be loaded: AttributeError: module 'wrong_entry' has no"
            " attribute 'Nope'",
        ),
        (
            "main = wrong_entry:Hooks",
            "the entry point `main = wrong_entry:Hooks` gives a type; name the module that has the hooks:"
            " `main = wrong_entry`",
        ),
    ],
)
def test_a_wrong_entry_point_is_shown_as_it_is_written(entry_point, reason, environment):
    environment.add("wrong-entry", GOOD + "class Hooks: pass\n", entry_points=f"[millstream]\n{entry_point}\n")
    assert str(environment.discover().failures["wrong-entry 1.2"]) == reason


@pytest.mark.parametrize("group", ["milstream", "millstream.plugins", "millstream_plugins"])
def test_entry_points_in_a_group_that_is_nearly_the_right_one_are_a_row(group, environment):
    environment.add("wrong-group", GOOD, entry_points=f"[{group}]\nmain = wrong_group\n")
    environment.add("of-others", GOOD, entry_points="[console_scripts]\nmain = of_others:main\n[pytest11]\na = b\n")
    inventory = environment.discover()
    assert inventory.plugins == ()
    assert {name: str(error) for name, error in inventory.failures.items()} == {
        "wrong-group 1.2": f"its entry points are in the group {group!r}, which nobody reads; in pyproject.toml it is"
        " [project.entry-points.millstream]"
    }


def test_an_api_range_that_excludes_the_installed_one_is_refused_before_import(environment):
    environment.add("of-the-future", "raise AssertionError('imported')\n", ["other", "millstream-api>=900,<901"])
    inventory = environment.discover()
    error = inventory.failures["of-the-future 1.2"]
    assert isinstance(error, PluginError)
    assert str(error) == (
        f"needs millstream-api <901,>=900, and {version('millstream-api')} is installed; install a version of"
        f" of-the-future that was made for millstream-api {version('millstream-api')}"
    )


def test_a_requirement_under_a_condition_that_does_not_hold_does_not_count(environment):
    environment.add("good-one", GOOD, ["millstream-api>=900; extra == 'new'", "Millstream_API>=0"])
    assert environment.discover().failures == {}


def test_metadata_that_cannot_be_read_is_a_failure_of_its_own(environment):
    environment.add("good-one", GOOD, ["millstream-api (("])
    environment.add("odd", GOOD, entry_points="[millstream]\nthis is no entry point\n")
    environment.add("fine", GOOD)
    inventory = environment.discover()
    assert [plugin.distribution for plugin in inventory.plugins] == ["fine"]
    assert str(inventory.failures["good-one 1.2"]).startswith("the requirement 'millstream-api ((' in its metadata")
    assert len(inventory.failures) == 2


@pytest.mark.parametrize("disabled", ["good-one", "Good_One", "main"])
def test_a_distribution_or_entry_point_can_be_disabled(environment, disabled):
    environment.add("good-one", GOOD)
    environment.add("other", GOOD, entry_points="[millstream]\nother = other\n")
    inventory = environment.discover({disabled})
    assert [plugin.distribution for plugin in inventory.plugins] == ["other"]


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(environment, tmp_path_factory):
    environment.add("good-one", GOOD)
    older = tmp_path_factory.mktemp("older")
    info = older / "good_one-0.1.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Name: Good.One\nVersion: 0.1\n")
    info.joinpath("entry_points.txt").write_text("[millstream]\nmain = gone\n")
    inventory = discover(found=Distribution.discover(path=[str(environment.folder), str(older)]))
    assert [plugin.version for plugin in inventory.plugins] == ["1.2"]
    assert inventory.failures == {}


CODE = """
from millstream_api import Config, SinkTask, SourceConnector, SourceTask
class Source(SourceConnector[Config]):
    config_class, task_class = Config, SourceTask
    class Inner(SourceConnector[Config]):
        config_class, task_class = Config, SourceTask
class Settled(SourceConnector[Config]):
    task_class = SourceTask
class Idle(SourceConnector[Config]):
    config_class = Config
class Crossed(Idle):
    task_class = SinkTask
class Other:
    pass
"""


def source(target):
    return Plugin(Kind.SOURCE, target, (), "good-one", "1.2")


def test_a_class_is_loaded_by_its_target(environment):
    environment.add("good-one", GOOD)
    environment.write("good_one_code", CODE)
    (plugin,) = environment.discover().plugins
    assert load(plugin).__name__ == "Source"
    assert load(source("good_one_code:Source.Inner")).__name__ == "Inner"


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        (
            "gone_code:Source",
            CODE,
            "there is no module 'gone_code'; correct the PluginRef in its hook, or ship the module",
        ),
        (
            "x_code:Source",
            "import absent_driver",
            "there is no module 'absent_driver'; install what brings it, or the extra of this distribution that does",
        ),
        ("x_code:Source", "import sys; sys.exit('bye')", "its module ended the process on import: SystemExit('bye')"),
        ("x_code:Source", "raise ValueError('broken')", "ValueError: broken"),
        (
            "x_code:Settled",
            CODE,
            "its config_class is None; declare `config_class = …` in the class, a subclass of millstream_api.Config",
        ),
        (
            "x_code:Idle",
            CODE,
            "its task_class is None; declare `task_class = …` in the class, a subclass of millstream_api.SourceTask",
        ),
        (
            "x_code:Crossed",
            CODE,
            "its task_class is <class 'millstream_api.sink.SinkTask'>; declare `task_class = …` in the class, a"
            " subclass of millstream_api.SourceTask",
        ),
        ("x_code:Missing", CODE, "AttributeError: module 'x_code' has no attribute 'Missing'"),
        ("x_code:Other", CODE, "<class 'x_code.Other'> is not a subclass of millstream_api.SourceConnector"),
        ("x_code:CODE", "CODE = 1", "1 is not a subclass of millstream_api.SourceConnector"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_named_with_distribution_version_and_kind(environment, target, code, reason):
    environment.write("x_code", code)
    with pytest.raises(PluginError) as caught:
        load(source(target))
    assert str(caught.value) == f"cannot load source '{target}' of good-one 1.2: {reason}"
