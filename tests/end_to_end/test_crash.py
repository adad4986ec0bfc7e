"""kill -9 in the middle: the log and the file hold every line, the log each of them once."""

import os
import random
import signal
from pathlib import Path

import pytest
from running import WorkerProcess, processes, until

LINES = 300_000
TEXT = "".join(f"{number:08d} {'abcdefghij' * 9}\n" for number in range(LINES))
SURVIVAL_S = 1.0
PATIENCE_S = 60.0


def victim(worker: WorkerProcess, what: str) -> int:
    """A pid to kill: the worker, a template, or the busiest child of one, which is the task at work."""
    assert worker.process is not None
    if what == "worker":
        return worker.process.pid
    running = processes(worker)
    templates = [pid for pid, (parent, _) in running.items() if parent == worker.process.pid]
    children = [pid for pid, (parent, _) in running.items() if parent in templates]
    if what == "template":
        return max(templates, key=lambda pid: sum(parent == pid for parent, _ in running.values()))
    return max(children, key=busy)


def busy(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.timeout(180)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
@pytest.mark.parametrize("what", ["worker", "task", "template"])
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_in_the_middle_every_line_arrives_and_the_log_has_each_once(
    worker: WorkerProcess, what: str, seed: int
) -> None:
    original, copy = worker.folder / "in.txt", worker.folder / "out.txt"
    original.write_text(TEXT)
    worker.start()
    worker.create("load", **{"connector.class": "FileStreamSource", "file": str(original), "topic": "lines"})
    worker.create("dump", **{"connector.class": "FileStreamSink", "file": str(copy), "topics": "lines"})
    share = random.Random(seed).uniform(0.1, 0.7)
    until(lambda: copy.exists() and copy.stat().st_size >= share * len(TEXT), "a share of the lines", PATIENCE_S)
    before = set(processes(worker))
    os.kill(victim(worker, what), signal.SIGKILL)
    done = copy.stat().st_size / len(TEXT)
    assert 0.05 <= done <= 0.95, f"the kill came at {done:.0%} of the data"

    if what == "worker":
        assert worker.process is not None
        worker.process.wait(10)
        until(lambda: not before & set(processes(worker)), "its children to be gone", SURVIVAL_S)
        worker.start()
    else:
        until(lambda: "FAILED" in worker.states("load") + worker.states("dump"), "the task to be FAILED")
        for name in ("load", "dump"):
            answer = worker.call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
            assert answer.status == 202

    def arrived() -> bool:
        offsets = worker.offsets("dump")
        return bool(offsets) and offsets[0]["offset"]["kafka_offset"] == LINES

    until(arrived, f"the sink to have read each line once ({worker.states('load')})", PATIENCE_S)
    assert worker.offsets("load")[0]["offset"]["position"] == len(TEXT)
    written = copy.read_text().splitlines()
    wanted = TEXT.splitlines()
    assert set(written) == set(wanted)
    assert list(dict.fromkeys(written)) == wanted, "the lines are in their order, repeats left out"
