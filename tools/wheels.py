"""Build the wheels of this repository, and install them the way a user would: from a wheel, never from the source.

    python tools/wheels.py build            all of them, into .wheels/
    python tools/wheels.py install api json  those, with what they require, replacing what is installed

A tox environment with a path in `deps` keeps the package of its first run; so `wheels` builds and the others install.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / ".wheels"
FOLDERS = {
    "api": "api",
    "runtime": "runtime",
    "file": "plugins/file",
    "json": "converters/json",
    "conformance": "conformance",
    "heartbeat": "examples/millstream-heartbeat",
    "golden": "tests/golden/plugin",
    "hostile": "tests/conformance/hostile",
}


def distribution(short: str) -> str:
    """The distribution's name as its pyproject.toml has it."""
    return str(tomllib.loads((ROOT / FOLDERS[short] / "pyproject.toml").read_text())["project"]["name"])


def build() -> None:
    shutil.rmtree(WHEELS, ignore_errors=True)
    for folder in FOLDERS.values():
        if (ROOT / folder / "pyproject.toml").exists():
            _uv("build", "--quiet", "--wheel", "--out-dir", str(WHEELS), str(ROOT / folder))


def install(shorts: list[str]) -> None:
    arguments: list[str] = []
    for name in map(distribution, shorts):
        (wheel,) = WHEELS.glob(f"{name.replace('-', '_')}-*.whl")
        arguments += ["--reinstall-package", name, str(wheel)]
    _uv("pip", "install", "--quiet", "--python", sys.executable, *arguments)


def _uv(*arguments: str) -> None:
    subprocess.run([find_uv_bin(), *arguments], check=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["build"]:
            build()
        case ["install", *shorts] if shorts and set(shorts) <= set(FOLDERS):
            install(shorts)
        case _:
            sys.exit(f"{__doc__}\nknown names: {', '.join(FOLDERS)}")
