"""What children cost: start of a bare task, memory of idle ones. `python benchmarks/children.py [--tasks 200]`.

Results in benchmarks/results/children.json.

Prints start times (from `start_task` to RUNNING heard), PSS a task, worker and templates, and idle CPU, with the
machine's load beside them. Tasks poll a plugin that waits; each has a producer on an embedded log of its own folder.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import keep, machine, said

from millstream_api import Config, SourceConnector, SourceRecord, SourceTask

STRINGS = "org.apache.kafka.connect.storage.StringConverter"


class IdleConfig(Config):
    """Nothing can be set."""


class IdleTask(SourceTask[IdleConfig]):
    def poll(self) -> Sequence[SourceRecord]:
        self.context.wait(3600)
        return []


class Idle(SourceConnector[IdleConfig]):
    config_class = IdleConfig
    task_class = IdleTask


def pss_mb(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(tasks: int) -> dict[str, Any]:
    from millstream.broker.connect import open_broker
    from millstream.host.channel import PluginTarget, RunTask, StateChanged
    from millstream.worker.worker import Worker, WorkerSetup

    with tempfile.TemporaryDirectory() as folder:
        log = f"sqlite:{folder}/log.db"
        broker = open_broker(log)
        own = broker.own()
        settings = {"bootstrap.servers": log, "key.converter": STRINGS, "value.converter": STRINGS}
        worker = Worker(WorkerSetup(settings, epoch=own.epoch))
        worker.start()
        plugin = PluginTarget("children:Idle", kind="source", distribution="children", version="1")

        def start(number: int) -> float:
            running = threading.Event()
            told: list[str | None] = []

            def hear(event: object) -> None:
                if isinstance(event, StateChanged):
                    told.append(event.trace)
                    running.set()

            began = time.perf_counter()
            worker.start_task(RunTask("idle", number, plugin, task_count=1), hear)
            assert running.wait(30), "the task did not start"
            assert told == [None], told
            return (time.perf_counter() - began) * 1000

        first = start(0)
        times = []
        for number in range(1, tasks):
            time.sleep(0.1)  # one at a time: what one start takes, not what two share
            times.append(start(number))
        time.sleep(2)
        views = worker.describe()
        children = [view.pid for view in views if view.kind == "task"]
        templates = [view.pid for view in views if view.kind == "template"]
        pss = [pss_mb(pid) for pid in children]
        before = sum(map(cpu_seconds, children))
        time.sleep(5)
        idle = (sum(map(cpu_seconds, children)) - before) / 5 * 100
        result = {
            "tasks": len(children),
            "start_first_ms": first,
            "start_median_ms": statistics.median(times),
            "start_best_ms": min(times),
            "start_worst_ms": max(times),
            "pss_task_median_mb": statistics.median(pss),
            "pss_tasks_mb": sum(pss),
            "pss_worker_mb": pss_mb(os.getpid()),
            "pss_templates_mb": [round(pss_mb(pid), 1) for pid in templates],
            "threads_a_task": statistics.median(threads(pid) for pid in children),
            "threads_worker": threads(os.getpid()),
            "idle_cpu_percent_of_a_core": idle,
            "load_after": round(os.getloadavg()[0], 2),
        }
        worker.close()
        own.release()
        broker.close()
    return result


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tasks", type=int, default=50)
    around = machine()
    print(said(around))
    result = measure(arguments.parse_args().tasks)
    asked = {"start_median_ms": 10, "pss_task_median_mb": 4}
    for name, value in result.items():
        shown = f"{value:.1f}" if isinstance(value, float) else str(value)
        print(f"{name:<32}{shown:>14}{f'asked {asked[name]}' if name in asked else '':>12}")
    keep("children", around, asked=asked, **result)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
