"""Children without a template, an interpreter each."""

import sys
from pathlib import Path

import pytest

from millstream.worker.worker import Worker, WorkerSetup

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import Ears, connector


def test_a_spawned_child_imports_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trace = tmp_path / "trace"
    (tmp_path / "queue.py").write_text(f"open({str(trace)!r}, 'w').close()\nraise ImportError('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    worker = Worker(WorkerSetup({}, start="spawn"))
    worker.start()
    try:
        ears = Ears()
        worker.start_connector(connector("spawned"), ears)
        ears.wait(lambda: bool(ears.states()))
        assert not trace.exists(), "it imported the file that lies beside it"
        assert ears.states() == ["RUNNING"]
    finally:
        worker.close()
