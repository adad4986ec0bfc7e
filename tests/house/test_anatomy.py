"""Every package has the one anatomy, and tox knows each of them."""

import configparser
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


def test_the_tests_that_ci_runs_are_the_ones_the_readme_names() -> None:
    command = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert command in (ROOT / "README.md").read_text()
