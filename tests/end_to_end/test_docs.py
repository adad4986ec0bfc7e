"""The shell blocks of the documentation are run, as they stand, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import BIN

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("docs/tutorial/*.md"), *ROOT.glob("docs/how-to/*.md")])
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_the_other(page: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall(page.read_text())
    assert blocks
    script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(blocks)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=80
    )
    log = tmp_path / "worker.log"
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log.read_text() if log.exists() else ''}"
    if page.stem == "file-to-file":
        for line in ('"payload":"broker.id=0"}', '"payload":""}', "load-kafka-config"):
            assert line in done.stdout


@pytest.mark.timeout(90)
def test_the_example_of_the_readme_ends_with_identical_files(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "examples" / "file-to-file" / "run.py", tmp_path / "folder"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the two files are identical" in done.stdout
    assert "examples/file-to-file/run.py" in (ROOT / "README.md").read_text()
