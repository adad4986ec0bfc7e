"""kill -9 in the middle: the log and the file hold every line, the log each of them once. More: crash_rounds.py."""

from pathlib import Path

import pytest
from crashing import Round, run_round, text

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
