"""50 connectors with 200 tasks on a Kafka: what they cost at rest and at work.

    python benchmarks/many_tasks.py [--connectors 50] [--tasks 200] [--seconds 60] [--flow 20]
        [--set producer.enable.idempotence=false]

One broker, one standalone worker, half of the connectors sources and half sinks, all made by REST: seconds until all
run, memory, threads, descriptors, idle CPU, how long REST takes while nothing flows and while rows flow through all.
What an hour of starts, stops and failures leaves behind is `churn.py`.

Prints what it finds with the load beside it, and keeps it in benchmarks/results/many_tasks.json. Needs Java and Maven,
see CONTRIBUTING.md, and `pip install -r requirements/services.txt`.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from crowd import EVERY_S, PATIENCE_S, Crowd, Stage, asked, census, staged
from machine import keep, machine, said
from running import until

RATE = 20.0
FLOW = "20"  # rows a second and task


def figures(stage: Stage, seconds: float, flow: str | None) -> dict[str, Any]:
    """What the crowd costs."""
    empty = census(stage.worker)
    load, began = os.getloadavg()[0], time.monotonic()
    stage.create_all()
    created = time.monotonic() - began
    during = {"created_s": round(created, 2), "load_before": round(load, 2)}
    until(lambda: stage.count("RUNNING") == stage.crowd.tasks, "all tasks to run", PATIENCE_S, EVERY_S)
    during |= {"running_s": round(time.monotonic() - began, 2), "load_after": round(os.getloadavg()[0], 2)}
    show("start", during)
    settled(stage)
    at_rest = rest_and_cpu(stage, seconds)
    show("at rest", at_rest)
    found = {"worker_alone": asdict(empty), "start": during, "at_rest": at_rest}
    if flow is None:
        return found
    stage.tell("flow", flow)
    until(lambda: stage.read() > 0, "the first rows", PATIENCE_S, EVERY_S)
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


def show(what: str, found: dict[str, Any]) -> None:
    flat = {name: value for name, value in found.items() if name != "census"}
    print(f"{what}: " + ", ".join(f"{name} {value}" for name, value in flat.items()), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--connectors", type=int, default=50)
    options.add_argument("--tasks", type=int, default=200)
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


if __name__ == "__main__":
    main()
