"""The packaging suite: `pytest --certify=DISTRIBUTION` runs it; no code from the author."""

import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from millstream_conformance import distribution as distributions
from millstream_conformance.distribution import GROUP, Listing
from millstream_conformance.harness import load
from millstream_conformance.kinds import KINDS


@pytest.fixture(scope="module")
def distribution(request: pytest.FixtureRequest) -> metadata.Distribution:
    name = request.config.getoption("--certify")
    return metadata.distribution(name)


@pytest.fixture(scope="module")
def listing(distribution: metadata.Distribution) -> Listing:
    found = distributions.listing(distribution)
    assert not found.error, f"listing the plugins failed:\n{found.error}"
    return found


def test_it_registers_an_entry_point(distribution: metadata.Distribution) -> None:
    assert distribution.entry_points.select(group=GROUP), f"no entry point in the group {GROUP!r}"


def test_it_declares_the_api_it_was_made_for(distribution: metadata.Distribution) -> None:
    declared = [text for text in distribution.requires or () if text.replace("_", "-").startswith("millstream-api")]
    assert declared, "requires no millstream-api: declare millstream-api>=X,<Y"
    assert all(">=" in text and "<" in text for text in declared), f"{declared[0]!r} is not a range >=X,<Y"


def test_listing_imports_only_the_plugin_itself(distribution: metadata.Distribution, listing: Listing) -> None:
    own = {entry.value.partition(".")[0] for entry in distribution.entry_points.select(group=GROUP)}
    allowed = own | {"millstream_api", "pluggy"} | set(sys.stdlib_module_names)
    strangers = sorted({name.partition(".")[0] for name in listing.imported} - allowed)
    assert not strangers, (
        f"listing imports {strangers}: import them in the module of the class, not in that of the hooks"
    )


def test_every_hook_is_marked_and_known_to_the_api(listing: Listing) -> None:
    assert not listing.problem, listing.problem
    assert not listing.unmarked, f"{listing.unmarked} lack @hookimpl, or no such hook is known: nobody calls them"


def test_every_reference_is_a_class_of_its_kind(listing: Listing) -> None:
    assert any(listing.refs.values()), "the entry points yield no plugin"
    for hook, refs in listing.refs.items():
        for target, _ in refs:
            assert issubclass(load(target), KINDS[hook].base), f"{target} is no {KINDS[hook].base.__name__}"


def test_no_alias_is_claimed_by_another(distribution: metadata.Distribution, listing: Listing) -> None:
    own = {alias for refs in listing.refs.values() for _, aliases in refs for alias in aliases}
    others = {entry.dist.name: entry.dist for entry in metadata.entry_points(group=GROUP) if entry.dist is not None}
    others.pop(distribution.name, None)
    for name, other in others.items():
        for refs in distributions.listing(other).refs.values():
            taken = own & {alias for _, aliases in refs for alias in aliases}
            assert not taken, f"{name} has the aliases {sorted(taken)} already"


def test_it_is_typed(distribution: metadata.Distribution) -> None:
    for package in {entry.module.partition(".")[0] for entry in distribution.entry_points.select(group=GROUP)}:
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        assert any(Path(place, "py.typed").exists() for place in places), (
            f"the package {package!r} ships no py.typed: put an empty file of that name beside its __init__.py"
        )


def test_every_setting_is_documented(listing: Listing) -> None:
    for refs in listing.refs.values():
        for target, _ in refs:
            config_class = getattr(load(target), "config_class", None)
            for each in config_class.definitions() if config_class is not None else ():
                assert each.documentation.strip(), f"{target}: the setting {each.name!r} has no documentation"
