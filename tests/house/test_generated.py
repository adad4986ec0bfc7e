"""What the documentation says of settings, commands, metrics and REST is what the code has."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", HERE / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generated = load()
PAGES = list(generated.pages())
REST = generated.ROOT / "docs" / "reference" / "rest.md"


def test_there_are_such_pages() -> None:
    assert {
        "plugins/file/README.md",
        "converters/json/README.md",
        "docs/reference/worker-settings.md",
        "docs/reference/connector-settings.md",
        "docs/reference/command-line.md",
        "docs/reference/metrics.md",
    } <= {str(path.relative_to(generated.ROOT)) for path in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(generated.ROOT)))
def test_a_page_says_what_the_code_has(path: Path) -> None:
    text = path.read_text()
    assert generated.renewed(text) == text, "python tests/house/generated.py writes it anew"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(generated.ROOT)))
def test_a_changed_page_is_noticed(path: Path) -> None:
    text = path.read_text()
    place = generated.PLACE.search(text)
    assert place is not None
    row = text.index("`", place.start())
    changed = f"{text[:row]}`x{text[row + 1 :]}"
    assert generated.renewed(changed) == text


def test_every_route_is_on_the_page_of_rest_and_no_other() -> None:
    from millstream.rest.app import PATHS

    written = re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) ([^ `?]+)[^`]*` \|", REST.read_text(), re.MULTILINE)
    assert sorted(written) == sorted((method, path) for path, methods in PATHS.items() for method in methods)


PLUGINS = [
    path.parent
    for kind in ("plugins", "converters", "examples")
    for path in generated.ROOT.glob(f"{kind}/*/pyproject.toml")
]


@pytest.mark.parametrize("package", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_package_has_a_table_of_each_of_its_settings_classes(package: Path) -> None:
    targets = set()
    for path in package.glob("src/**/*.py"):
        module = ".".join(path.relative_to(package / "src").with_suffix("").parts).removesuffix(".__init__")
        for name in re.findall(r"^class (\w+)\((?:\w+)?Config\):", path.read_text(), re.MULTILINE):
            targets.add(f"{module}:{name}")
    named = set(re.findall(r"<!-- settings (\S+) ", (package / "README.md").read_text()))
    assert targets <= named, f"{package.name}/README.md lacks <!-- settings {min(targets - named, default='')} -->"


DOCS = generated.ROOT / "docs"


@pytest.mark.parametrize(
    "page", [p for p in sorted(DOCS.glob("*/*.md")) if p.parent.name != "decisions"], ids=lambda page: page.stem
)
def test_every_page_is_found_from_the_first_one(page: Path) -> None:
    name = page.relative_to(DOCS).as_posix()
    assert f"]({name})" in (DOCS / "README.md").read_text(), f"a link to {name} in docs/README.md"
