"""50 connectors with 200 tasks on a Kafka: what they cost at rest and at work, and what an hour of churn leaves behind.

    python benchmarks/many_tasks.py [--connectors 50] [--tasks 200] [--minutes 60] [--seconds 60] [--flow 20]
        [--set producer.enable.idempotence=false]

One broker, one standalone worker, half of the connectors sources and half sinks, all made by REST. First the figures:
seconds until all run, memory, threads, descriptors, idle CPU, how long REST takes while nothing flows and while rows
flow through all. Then the churn: pause and resume, stop and resume, restart, a failing plugin, `kill -9` of a task,
delete and create again, another config, at random from a seed, with a census of the worker's processes after every
25 operations; growth is what a line through the censuses says, the first fifth left out.

Prints what it finds with the load beside it, and keeps it in benchmarks/results/many_tasks.json. Needs Java and Maven,
see CONTRIBUTING.md, and `pip install -r requirements/services.txt`.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import psutil
from crowd import Census, Crowd, Stage, asked, await_, census, staged
from machine import keep, machine, said

EVERY = 25
RATE = 20.0
FLOW = "20"  # rows a second and task
WARM_SHARE = 0.2
GROWING = ("rss_worker", "pss_worker", "pss_templates", "pss_tasks", "fds_worker", "fds_sockets", "fds_templates")
GROWING += ("threads_worker", "threads_templates", "threads_tasks", "maps_worker", "others", "tasks", "zombies")


def figures(stage: Stage, seconds: float, flow: str | None) -> dict[str, Any]:
    """What the crowd costs."""
    empty = census(stage.worker)
    load, began = os.getloadavg()[0], time.monotonic()
    stage.create_all()
    created = time.monotonic() - began
    during = {"created_s": round(created, 2), "load_before": round(load, 2)}
    await_(lambda: stage.count("RUNNING") == stage.crowd.tasks, "all tasks to run")
    during |= {"running_s": round(time.monotonic() - began, 2), "load_after": round(os.getloadavg()[0], 2)}
    show("start", during)
    settled(stage)
    at_rest = rest_and_cpu(stage, seconds)
    show("at rest", at_rest)
    found = {"worker_alone": asdict(empty), "start": during, "at_rest": at_rest}
    if flow is None:
        return found
    stage.tell("flow", flow)
    await_(lambda: stage.read() > 0, "the first rows")
    time.sleep(5)
    before, moment = (stage.written(), stage.read()), time.monotonic()
    flowing = rest_and_cpu(stage, seconds)
    passed = time.monotonic() - moment
    flowing["rows_written_a_s"] = round((stage.written() - before[0]) / passed)
    flowing["rows_read_a_s"] = round((stage.read() - before[1]) / passed)
    show("rows flow through all", flowing)
    stage.tell("flow", None)
    return {**found, "flowing": flowing}


def settled(stage: Stage) -> None:
    """Groups are formed and idle clients are idle."""
    time.sleep(15)


def rest_and_cpu(stage: Stage, seconds: float) -> dict[str, Any]:
    """CPU with nobody asking, then how long REST takes, and a census."""
    load, before, began = os.getloadavg()[0], census(stage.worker), time.monotonic()
    time.sleep(seconds)
    found = census(stage.worker)
    cpu = (found.cpu_s - before.cpu_s) / (time.monotonic() - began) * 100
    name = stage.crowd.names()[0]
    rest = asked(stage.worker, name, stage.configs[name], seconds, RATE)
    tasks = max(found.tasks, 1)
    return {
        "cpu_percent_of_a_core": round(cpu, 1),
        "rest_ms": rest,
        "pss_mb_in_all": round(found.pss_worker + found.pss_templates + found.pss_tasks, 1),
        "pss_mb_a_task": round(found.pss_tasks / tasks, 2),
        "threads_a_task": round(found.threads_tasks / tasks, 2),
        "pids": found.pids,
        "census": asdict(found),
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
    }


@dataclass
class Churn:
    """Operations by chance, each until what it asks for is so."""

    stage: Stage
    flow: str | None
    chance: random.Random = field(default_factory=lambda: random.Random(20))
    done: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)

    def once(self) -> None:
        name = self.chance.choice(self.stage.crowd.names())
        operation = self.chance.choice(OPERATIONS)
        began = time.monotonic()
        operation(self, name)
        self.running(name)
        what = operation.__name__
        self.done[what] += 1
        self.slowest[what] = round(max(self.slowest.get(what, 0.0), time.monotonic() - began), 2)

    def running(self, name: str) -> None:
        self.states(name, "RUNNING")

    def states(self, name: str, state: str) -> None:
        wanted = [state] * (1 + self.stage.crowd.tasks_of(name))
        await_(lambda: self.stage.worker.states(name) == wanted, f"{name} to be {state}")

    def call(self, method: str, path: str, body: Any = None) -> None:
        answer = self.stage.worker.call(method, path, body)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.text}"

    def pause(self, name: str) -> None:
        self.call("PUT", f"/connectors/{name}/pause")
        self.states(name, "PAUSED")
        self.call("PUT", f"/connectors/{name}/resume")

    def stop(self, name: str) -> None:
        self.call("PUT", f"/connectors/{name}/stop")
        await_(lambda: self.stage.worker.states(name) == ["STOPPED"], f"{name} to stop")
        self.call("PUT", f"/connectors/{name}/resume")

    def restart(self, name: str) -> None:
        self.call("POST", f"/connectors/{name}/restart?includeTasks=true")

    def restart_task(self, name: str) -> None:
        self.call("POST", f"/connectors/{name}/tasks/0/restart")

    def fail(self, name: str) -> None:
        """The plugin raises; a sink's when a row comes."""
        flow = f"flow-source-{name.rpartition('-')[2]}"
        self.stage.tell(f"fail-{name}", "")
        self.stage.tell(flow, FLOW)
        await_(lambda: "FAILED" in self.stage.worker.states(name)[1:], f"{name} to fail")
        self.stage.tell(f"fail-{name}", None)
        self.stage.tell(flow, None)
        time.sleep(0.2)
        self.call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")

    def kill(self, name: str) -> None:
        """kill -9 of a task's process, whichever it is: it is FAILED, and started again."""
        assert self.stage.worker.process is not None
        templates = psutil.Process(self.stage.worker.process.pid).children()
        victims = [child.pid for template in templates for child in template.children()]
        os.kill(self.chance.choice(victims), signal.SIGKILL)
        failed = await_(lambda: [n for n, told in self.stage.states().items() if "FAILED" in told], "a task to fail")
        for one in failed:
            self.call("POST", f"/connectors/{one}/restart?includeTasks=true&onlyFailed=true")
            self.running(one)

    def recreate(self, name: str) -> None:
        self.call("DELETE", f"/connectors/{name}")
        await_(lambda: name not in self.stage.worker.call("GET", "/connectors").json, f"{name} to be gone")
        self.stage.create(name)

    def configure(self, name: str) -> None:
        more = {"bytes": str(self.chance.randrange(50, 150))} if name.startswith("source") else {"bytes": "100"}
        self.call("PUT", f"/connectors/{name}/config", self.stage.config(name, **more))

    def validate(self, name: str) -> None:
        config = self.stage.config(name)
        self.call("PUT", f"/connector-plugins/{config['connector.class']}/config/validate", {"name": name, **config})


OPERATIONS: list[Callable[[Churn, str], None]] = [
    Churn.pause,
    Churn.stop,
    Churn.restart,
    Churn.restart_task,
    Churn.fail,
    Churn.kill,
    Churn.recreate,
    Churn.configure,
    Churn.validate,
]


def churn(stage: Stage, minutes: float, flow: str | None) -> dict[str, Any]:
    """Operations for so long, with censuses in between."""
    stage.tell("flow", flow)
    work, deadline, load = Churn(stage, flow), time.monotonic() + 60 * minutes, os.getloadavg()[0]
    censuses: list[tuple[int, Census]] = []
    problems: list[str] = []
    while time.monotonic() < deadline:
        for _ in range(EVERY):
            try:
                work.once()
            except (TimeoutError, AssertionError, OSError, psutil.Error) as problem:
                problems.append(f"{type(problem).__name__}: {problem}"[:500])
                print("problem:", problems[-1], flush=True)
                if len(problems) > 20:
                    deadline = 0.0
            assert stage.worker.process is not None
            if stage.worker.process.poll() is not None:
                sys.exit(f"the worker ended with {stage.worker.process.returncode}:\n{stage.worker.log[-5000:]}")
            if time.monotonic() > deadline:
                break
        await_(lambda: stage.count("RUNNING") == stage.crowd.tasks, "all tasks to run")
        time.sleep(2)
        found = census(stage.worker)
        censuses.append((sum(work.done.values()), found))
        show(f"{censuses[-1][0]} operations", {**asdict(found), "load": round(os.getloadavg()[0], 2)})
    first = int(len(censuses) * WARM_SHARE)
    return {
        "minutes": minutes,
        "operations": dict(work.done),
        "slowest_s": work.slowest,
        "problems": problems,
        "growth_per_100_operations": {
            what: round(100 * slope([(at, getattr(one, what)) for at, one in censuses[first:]]), 3) for what in GROWING
        },
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "censuses": [{"operations": at, **asdict(one)} for at, one in censuses],
    }


def slope(points: list[tuple[float, float]]) -> float:
    """Of the line that fits best."""
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    across = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / across if across else 0.0


def show(what: str, found: dict[str, Any]) -> None:
    flat = {name: value for name, value in found.items() if name != "census"}
    print(f"{what}: " + ", ".join(f"{name} {value}" for name, value in flat.items()), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--connectors", type=int, default=50)
    options.add_argument("--tasks", type=int, default=200)
    options.add_argument("--minutes", type=float, default=60.0, help="of churn; 0: figures alone")
    options.add_argument("--seconds", type=float, default=60.0, help="of each figure")
    options.add_argument("--flow", default=FLOW, help="rows a second and source task; 0: as many as go; none: no rows")
    options.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the worker")
    options.add_argument("--keep", default="many_tasks", help="name of the results")
    chosen = options.parse_args()
    settings = dict(one.split("=", 1) for one in chosen.set)
    crowd = Crowd(chosen.connectors, chosen.tasks)
    flow = None if chosen.flow == "none" else chosen.flow
    around = machine()
    print(said(around), flush=True)
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder), crowd, **settings) as stage:
        found = figures(stage, chosen.seconds, flow)
        kept = {"connectors": chosen.connectors, "tasks": chosen.tasks, "flow": flow, "settings": settings, **found}
        keep(chosen.keep, around, **kept)
        if chosen.minutes:
            kept["churn"] = churn(stage, chosen.minutes, flow)
            show("growth per 100 operations", kept["churn"]["growth_per_100_operations"])
            keep(chosen.keep, around, **kept)


if __name__ == "__main__":
    main()
