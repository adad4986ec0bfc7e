"""Plugins as authors write them are clean under `mypy --strict`, and wrong ones are not."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy checks the example plugins: pip install mypy")

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "millstream-heartbeat" / "src" / "millstream_heartbeat" / "__init__.py"


def mypy(*files: Path, cache: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_plugins_are_clean_and_their_mistakes_are_found(tmp_path: Path) -> None:
    clean = sorted((HERE / "typing").glob("*.py"))
    assert len(clean) >= 3
    code, output = mypy(*clean, cache=tmp_path)
    assert code == 0, output

    mistakes = HERE / "typing" / "mistakes.txt"
    wrong = tmp_path / "mistakes.py"
    wrong.write_text(mistakes.read_text())
    expected = {number for number, line in enumerate(mistakes.read_text().splitlines(), 1) if line.endswith("# wrong")}
    code, output = mypy(wrong, cache=tmp_path)
    found = {int(line.split(":")[1]) for line in output.splitlines() if ": error:" in line}
    assert found == expected, output


def test_the_example_is_the_plugin_checked_here() -> None:
    assert EXAMPLE.read_text() == (HERE / "typing" / "heartbeat.py").read_text()


def test_the_example_is_as_small_as_promised() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 34


def test_the_readme_shows_that_plugin() -> None:
    code = EXAMPLE.read_text().partition('"""\n\n')[2]
    assert code in (HERE.parent / "README.md").read_text()
