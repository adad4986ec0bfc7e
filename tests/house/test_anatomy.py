"""Every package has the one anatomy, and tox knows each of them."""

import configparser
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(
    path.parent.relative_to(ROOT)
    for pattern in ("*/pyproject.toml", "plugins/*/pyproject.toml", "converters/*/pyproject.toml")
    for path in ROOT.glob(pattern)
    if not path.parent.name.startswith(".")
)


def test_there_are_packages() -> None:
    assert {"api", "runtime", "plugins/file", "converters/json", "conformance"} <= {str(path) for path in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_has_what_every_package_has(package: Path) -> None:
    folder = ROOT / package
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    name = project["project"]["name"].replace("-", "_")
    for part in ("README.md", "CHANGELOG.md", "changelog.d", "LICENSE", "tests", f"src/{name}/py.typed"):
        assert (folder / part).exists(), f"{package} lacks {part}"
    assert set(project) <= {"build-system", "project", "tool"}
    assert set(project.get("tool", {})) <= {"hatch"}, f"{package}: tool configuration is at the root"
    assert project["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_tox_runs_the_tests_of_every_package(package: Path) -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert f"PACKAGE = {package}\n" in tox["testenv"]["set_env"] + "\n", f"one line for {package} in tox.ini, set_env"
    assert package.name in tox["tox"]["env_list"], f"one word for {package} in tox.ini, env_list"


FRAGMENTS = sorted(path for package in PACKAGES for path in (ROOT / package / "changelog.d").glob("+*"))


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_says_what_is_new_in_it(package: Path) -> None:
    written = (ROOT / package / "CHANGELOG.md").read_text()
    assert "## " in written or list((ROOT / package / "changelog.d").glob("+*")), f"a fragment in {package}/changelog.d"


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_a_fragment_is_one_sentence_of_a_known_kind(path: Path) -> None:
    kinds = {
        kind["directory"] for kind in tomllib.loads((ROOT / "towncrier.toml").read_text())["tool"]["towncrier"]["type"]
    }
    assert path.name.split(".")[1] in kinds
    text = path.read_text()
    assert text.count("\n") == 1
    assert re.fullmatch(r"[A-Z`/].{20,}\.\n", text), "a sentence, with a capital and a full stop"
    assert not re.search(r"(?<!\w)_\w|#\d", text), "for users: no private names, no numbers of issues"


def test_the_tests_that_ci_runs_are_the_ones_the_readme_names() -> None:
    command = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert command in (ROOT / "README.md").read_text()
