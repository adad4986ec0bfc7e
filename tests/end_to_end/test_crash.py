"""kill -9 in the middle: the log and the file hold every line, the log each of them once. More: crash_rounds.py."""

import urllib.error
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from crashing import Round, run_round, text
from running import WorkerProcess, until

LINES = 150_000
WHOLE, TORN = 20, 4  # seeds of rounds in which the file's last line is whole, and is torn


@pytest.mark.timeout(600)  # each try has its deadlines, and a kill that came too late another one
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
@pytest.mark.parametrize(
    "victim",
    [
        "worker",
        "worker of threads",
        "template",
        "source",
        "sink",
        "source.commit.before",
        "sink.put.after",
        "sink.commit.after",
    ],
)
def test_killed_in_the_middle_every_line_arrives_and_the_log_has_each_once(tmp_path: Path, victim: str) -> None:
    done = run_round(tmp_path, Round(1, WHOLE, victim), text(LINES))
    assert not done.problems
    assert done.lost == 0
    assert done.logged == LINES


@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
def test_a_line_that_was_torn_by_the_kill_is_cut_and_comes_again(tmp_path: Path) -> None:
    done = run_round(tmp_path, Round(1, TORN, "sink.put.after"), text(LINES))
    assert not done.problems
    assert done.cut > 0


HOOKS = """from millstream_api import PluginRef, hookimpl


@hookimpl
def register_sources():
    yield PluginRef("hanging.source:Source")
"""
HANGS = """import os, pathlib, time

here = pathlib.Path(os.environ["HANGS"])
here.with_suffix(".new").write_text(str(os.getpid()))
here.with_suffix(".new").rename(here)
time.sleep(3600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
def test_a_process_that_hangs_in_an_import_goes_with_its_worker(worker: WorkerProcess, tmp_path: Path) -> None:
    site, said = tmp_path / "site", tmp_path / "pid"
    for name, content in {
        "hanging/__init__.py": "",
        "hanging/plugin.py": HOOKS,
        "hanging/source.py": HANGS,
        "hanging-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n",
        "hanging-1.0.dist-info/entry_points.txt": "[millstream]\nhanging = hanging.plugin\n",
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(content)
    worker.environment |= {"PYTHONPATH": str(site), "HANGS": str(said)}
    worker.start()

    def ask() -> None:
        with suppress(OSError, urllib.error.URLError):  # nobody answers it
            worker.create("c", **{"connector.class": "hanging.source:Source"})

    with ThreadPoolExecutor(1) as asking:
        asking.submit(ask)
        until(said.exists, "the import to begin")
        process = Path("/proc", said.read_text(), "stat")
        assert process.exists()
        worker.kill()
        until(lambda: ended(process), "the process to end, which nobody can ask to")


def ended(stat: Path) -> bool:
    """Whether a process is gone, or waits to be reaped by whoever does so on this machine."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
