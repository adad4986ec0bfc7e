"""200 tasks in a cgroup of 2 GB and 1,024 pids: which start, which are refused, and that none is killed.

    python benchmarks/small_machine.py [--connectors 50] [--tasks 200] [--memory 2048] [--pids 1024] [--seconds 20]

As root on Linux, with cgroups v1 or v2 that may be written. Half of the connectors are sources and half sinks. Then
rows flow as fast as they go; the sinks stall in `put`, so that their queues fill; no byte of the broker's moves any
more, so that the producers' buffers fill; it is healed, and half of what runs is deleted, so that refused tasks can be
restarted.

Prints what the kernel counted at most, and keeps it in benchmarks/results/small_machine.json.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from crowd import EVERY_S, MB, PATIENCE_S, Crowd, Stage, census, staged
from machine import keep, machine, said
from running import until

ROOT = Path("/sys/fs/cgroup")
NAME = "millstream-small-machine"


@dataclass(frozen=True)
class Group:
    """A cgroup: one folder for memory and one for pids, which are the same in v2."""

    memory: Path
    pids: Path
    version: int

    def limit(self, memory: int, pids: int) -> None:
        (self.memory / ("memory.max" if self.version == 2 else "memory.limit_in_bytes")).write_text(str(memory))
        (self.pids / "pids.max").write_text(str(pids))

    def command(self) -> list[str]:
        """What goes before a command that is to run in it."""
        files = " ".join(f"{folder}/cgroup.procs" for folder in {self.memory, self.pids})
        return ["sh", "-c", f'for file in {files}; do echo $$ > $file; done; exec "$@"', "sh"]

    def counted(self) -> dict[str, int]:
        """The most it had, and what was refused or killed."""
        peak = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        events = "memory.events" if self.version == 2 else "memory.oom_control"
        return {
            "memory_peak_mb": int((self.memory / peak).read_text()) // MB,
            "memory_anonymous_mb": _value(self.memory / "memory.stat", "anon" if self.version == 2 else "rss") // MB,
            "oom_kills": _value(self.memory / events, "oom_kill"),
            "pids_now": int((self.pids / "pids.current").read_text()),
            "pids_peak": int((self.pids / "pids.peak").read_text()) if (self.pids / "pids.peak").exists() else 0,
            "forks_refused": _value(self.pids / "pids.events", "max"),
        }


def _value(file: Path, name: str) -> int:
    found = (line.split() for line in file.read_text().splitlines())
    return next((int(fields[1]) for fields in found if fields[0] == name), 0)


@contextmanager
def group(memory: int, pids: int) -> Iterator[Group]:
    """A new one, gone at the end."""
    if (ROOT / "cgroup.controllers").exists():
        (ROOT / "cgroup.subtree_control").write_text("+memory +pids")
        made = Group(ROOT / NAME, ROOT / NAME, 2)
    else:
        made = Group(ROOT / "memory" / NAME, ROOT / "pids" / NAME, 1)
    for folder in {made.memory, made.pids}:
        folder.mkdir(exist_ok=True)
    made.limit(memory, pids)
    try:
        yield made
    finally:
        for folder in {made.memory, made.pids}:
            until(lambda folder=folder: not (folder / "cgroup.procs").read_text(), "the cgroup to be empty", 60)
            folder.rmdir()


def measure(stage: Stage, where: Group, seconds: float) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    anonymous = [0]

    def note(what: str, for_s: float) -> None:
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            anonymous[0] = max(anonymous[0], where.counted()["memory_anonymous_mb"])
            time.sleep(0.5)
        states = {state: stage.count(state) for state in ("RUNNING", "FAILED")}
        rows[what] = {**states, **where.counted(), "anonymous_peak_mb": anonymous[0], "load": os.getloadavg()[0]}
        print(f"{what}: {rows[what]}", flush=True)

    began = time.monotonic()
    stage.create_all()
    until(
        lambda: stage.count("RUNNING") + stage.count("FAILED") == stage.crowd.tasks,
        "all tasks to start or fail",
        PATIENCE_S,
        EVERY_S,
    )
    rows["start_s"] = round(time.monotonic() - began, 2)
    note("started", 5)
    rows["refusals"] = refusals(stage)
    print(*rows["refusals"], sep="\n", flush=True)
    rows["census"] = asdict(census(stage.worker))
    stage.tell("flow", "0")
    note("rows flow through all", seconds)
    stage.tell("stall", "")
    note("sinks stall in put", seconds)
    stage.kafka.proxy.freeze()
    note("the broker is frozen", seconds)
    stage.kafka.proxy.heal()
    stage.tell("stall", None)
    stage.tell("flow", None)
    note("healed", seconds)
    rows["rows"] = {"written": stage.written(), "read": stage.read()}
    rows["restarted"] = restarted(stage)
    note("refused ones restarted after half were deleted", 5)
    return rows


def refusals(stage: Stage) -> list[str]:
    """The sentences with which tasks were refused, without the task's name; other failures are among them."""
    found = set()
    for name, states in stage.states().items():
        for task, state in enumerate(states[1:]):
            if state == "FAILED":
                found.add(stage.worker.trace(name, task).splitlines()[0].partition(f"task {name}-{task}: ")[2])
    return sorted(found)


def restarted(stage: Stage) -> dict[str, int]:
    """Delete every second connector that runs whole, and restart what failed."""
    whole = [name for name, states in stage.states().items() if "FAILED" not in states]
    for name in whole[::2]:
        stage.worker.call("DELETE", f"/connectors/{name}")
    failed = {name: states[1:].count("FAILED") for name, states in stage.states().items() if "FAILED" in states}
    for name in failed:
        stage.worker.call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
    return {"deleted": len(whole[::2]), "failed_before": sum(failed.values())}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--connectors", type=int, default=50)
    options.add_argument("--tasks", type=int, default=200)
    options.add_argument("--memory", type=int, default=2048, help="MB")
    options.add_argument("--pids", type=int, default=1024)
    options.add_argument("--limit", help="worker.memory.limit")
    options.add_argument("--seconds", type=float, default=20.0, help="of each condition")
    chosen = options.parse_args()
    around = machine()
    print(said(around), flush=True)
    settings = {"worker_memory_limit": chosen.limit} if chosen.limit else {}
    crowd = Crowd(chosen.connectors, chosen.tasks)
    with tempfile.TemporaryDirectory() as folder, group(chosen.memory * MB, chosen.pids) as where:
        with staged(Path(folder), crowd, where.command(), "PROXIED", **settings) as stage:
            found = measure(stage, where, chosen.seconds)
        found["log"] = [line for line in stage.worker.log.splitlines() if "ERROR" in line][:5]
    keep("small_machine", around, **vars(chosen), version=where.version, **found)


if __name__ == "__main__":
    main()
