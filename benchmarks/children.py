"""What children cost: start of a bare task, memory of idle ones. `python benchmarks/children.py [--tasks 200]`.

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


def measure(tasks: int) -> None:
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
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {len(children)} idle tasks")
        print(f"start: first {first:.0f} ms (with its template), then median {statistics.median(times):.1f} ms, "
              f"best {min(times):.1f} ms, worst {max(times):.1f} ms")  # fmt: skip
        print(f"PSS a task: median {statistics.median(pss):.1f} MB, all {sum(pss):.0f} MB")
        print(f"PSS worker {pss_mb(os.getpid()):.0f} MB, templates {[round(pss_mb(pid)) for pid in templates]} MB")
        print(f"idle CPU of all tasks: {idle:.1f} % of a core")
        worker.close()
        own.release()
        broker.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tasks", type=int, default=50)
    sys.path.insert(0, str(Path(__file__).parent))
    measure(arguments.parse_args().tasks)
