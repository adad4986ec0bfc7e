"""The packaging suite: `pytest --certify=DISTRIBUTION` runs it; no code from the author."""

import json
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from millstream_api import (
    ClientConfigPolicy,
    ConfigProvider,
    Converter,
    HeaderConverter,
    Predicate,
    RestExtension,
    SinkConnector,
    SourceConnector,
    Transformation,
)
from millstream_conformance.harness import load

GROUP = "millstream"
BASES: dict[str, type[Any]] = {
    "register_sources": SourceConnector,
    "register_sinks": SinkConnector,
    "register_converters": Converter,
    "register_header_converters": HeaderConverter,
    "register_transformations": Transformation,
    "register_predicates": Predicate,
    "register_config_providers": ConfigProvider,
    "register_rest_extensions": RestExtension,
    "register_client_policies": ClientConfigPolicy,
}
#: run in a fresh process: what listing the plugins of these entry points imports, and what they yield
LISTING = """
import json, sys
from importlib import import_module, metadata
import millstream_api.hookspecs, pluggy
before = set(sys.modules)
refs = {}
for name in sys.argv[2:]:
    module = import_module(name)
    for hook in json.loads(sys.argv[1]):
        if hasattr(module, hook):
            refs.setdefault(hook, []).extend([[r.target, list(r.aliases)] for r in getattr(module, hook)()])
print(json.dumps({"refs": refs, "imported": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def distribution(request: pytest.FixtureRequest) -> metadata.Distribution:
    name = request.config.getoption("--certify")
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        pytest.fail(f"no distribution is called {name!r} here: install it into this environment first")


@pytest.fixture(scope="module")
def listing(distribution: metadata.Distribution) -> dict[str, Any]:
    modules = [entry.value for entry in distribution.entry_points.select(group=GROUP)]
    command = [sys.executable, "-c", LISTING, json.dumps(list(BASES)), *modules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"listing the plugins failed:\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_it_registers_an_entry_point(distribution: metadata.Distribution) -> None:
    assert distribution.entry_points.select(group=GROUP), f"no entry point in the group {GROUP!r}"


def test_it_declares_the_api_it_was_made_for(distribution: metadata.Distribution) -> None:
    declared = [text for text in distribution.requires or () if text.replace("_", "-").startswith("millstream-api")]
    assert declared, "requires no millstream-api: declare millstream-api>=X,<Y"
    assert all(">=" in text and "<" in text for text in declared), f"{declared[0]!r} is not a range >=X,<Y"


def test_listing_imports_only_the_plugin_itself(distribution: metadata.Distribution, listing: dict[str, Any]) -> None:
    own = {entry.value.partition(".")[0] for entry in distribution.entry_points.select(group=GROUP)}
    allowed = own | {"millstream_api", "pluggy"} | set(sys.stdlib_module_names)
    strangers = sorted({name.partition(".")[0] for name in listing["imported"]} - allowed)
    assert not strangers, (
        f"listing imports {strangers}: import them in the module of the class, not in that of the hooks"
    )


def test_every_reference_is_a_class_of_its_kind(listing: dict[str, Any]) -> None:
    assert any(listing["refs"].values()), "the entry points yield no plugin"
    for hook, refs in listing["refs"].items():
        for target, _ in refs:
            assert issubclass(load(target), BASES[hook]), f"{target} is no {BASES[hook].__name__}"


def test_no_alias_is_claimed_by_another(distribution: metadata.Distribution, listing: dict[str, Any]) -> None:
    own = {alias for refs in listing["refs"].values() for _, aliases in refs for alias in aliases}
    for entry in metadata.entry_points(group=GROUP):
        if entry.dist is None or entry.dist.name == distribution.name:
            continue
        module = entry.load()
        for hook in BASES:
            for ref in getattr(module, hook)() if hasattr(module, hook) else ():
                taken = own & set(ref.aliases)
                assert not taken, f"{entry.dist.name} has the aliases {sorted(taken)} already"


def test_it_is_typed(distribution: metadata.Distribution) -> None:
    files = [str(file) for file in distribution.files or ()]
    editable = any(file.endswith((".pth", "direct_url.json")) for file in files)
    assert editable or any(file.endswith("py.typed") for file in files), "ships no py.typed"


def test_every_setting_is_documented(listing: dict[str, Any]) -> None:
    for refs in listing["refs"].values():
        for target, _ in refs:
            config_class = getattr(load(target), "config_class", None)
            for each in config_class.definitions() if config_class is not None else ():
                assert each.documentation.strip(), f"{target}: the setting {each.name!r} has no documentation"
