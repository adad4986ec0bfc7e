"""From `millstream run` to the first answer of REST, and what the idle worker and its templates hold.

    python benchmarks/start.py [--runs N]

Each run is a new worker in a new folder, with bytecode cached.
Prints a table, and keeps it in benchmarks/results/start.json.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from machine import cache_bytecode, keep, machine, said

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from running import WorkerProcess, processes, until

ASKED_S, ASKED_MB = 0.7, 80
SETTLE_S = 3.0


def pss_mb(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path) -> dict[str, float]:
    worker = WorkerProcess(folder)
    load, began = os.getloadavg()[0], time.perf_counter()
    process = worker.launch()
    lines = lambda: [line for line in worker.log.splitlines() if "the REST API is at " in line]  # noqa: E731
    url = until(lines, "the worker's address")[0].split("the REST API is at ")[1].split()[0].rstrip(",")
    urllib.request.urlopen(url + "/connectors").read()
    seconds, cpu = time.perf_counter() - began, cpu_seconds(process.pid)
    try:
        time.sleep(SETTLE_S)  # the templates come to rest: what idle takes, not what starting takes
        memory = sum(pss_mb(pid) for pid in processes(worker))
    finally:
        worker.stop()
    return {"seconds": seconds, "cpu_seconds": cpu, "pss_mb": memory, "load": load}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=7)
    around = machine()
    print(said(around))
    print(f"{'run':>4}{'to REST s':>11}{'worker CPU s':>14}{'PSS worker + templates MB':>27}{'load':>7}")
    runs = []
    cache_bytecode()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder) / "worker")  # writes bytecode
    for number in range(options.parse_args().runs):
        with tempfile.TemporaryDirectory() as folder:
            run = measure(Path(folder) / "worker")
        runs.append(run)
        print(f"{number:>4}{run['seconds']:>11.2f}{run['cpu_seconds']:>14.2f}{run['pss_mb']:>27.1f}{run['load']:>7.2f}")
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    best = min(run["seconds"] for run in runs)
    print(f"to REST: median {median['seconds']:.2f} s, best {best:.2f} s, asked {ASKED_S} s")
    print(f"PSS: median {median['pss_mb']:.0f} MB, asked {ASKED_MB} MB")
    keep("start", around, asked={"seconds": ASKED_S, "pss_mb": ASKED_MB}, median=median, best_seconds=best, runs=runs)


if __name__ == "__main__":
    main()
