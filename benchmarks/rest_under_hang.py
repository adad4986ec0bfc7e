"""How long REST takes to answer while a connector hangs: in each method, in each way, and all of them at once.

    python benchmarks/rest_under_hang.py [--seconds N] [--rate N]

One worker with default settings a row: a good connector runs, the hostile one is created, then `GET /` and
`GET /connectors/good/status` are asked in turn, at a steady rate over one connection; meanwhile another good connector
is created, timed to RUNNING. Prints a table with the load beside each row, and keeps it in
benchmarks/results/rest_under_hang.json. Wants `millstream-hostile` (tests/conformance/hostile) installed.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from running import WorkerProcess, until  # noqa: E402 - the tests' own worker

DEEDS = ("sleep", "spin", "hold_the_gil")
PLACES = ("start", "task_configs", "monitor", "probe")
PATHS = ("/", "/connectors/good/status")
HANGING = [(deed, place) for place in PLACES for deed in DEEDS]
ROWS: list[tuple[str, list[tuple[str, str]]]] = [
    ("nothing hangs", []),
    *((f"{deed} in {place}", [(deed, place)]) for deed, place in HANGING),
    ("all at once", HANGING),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=10.0, help="of asking, a row")
    options.add_argument("--rate", type=float, default=100.0, help="requests a second")
    chosen = options.parse_args()
    columns = ("p50", "p99", "max")
    print(f"milliseconds, {chosen.rate:.0f} requests/s for {chosen.seconds:.0f} s a row, {os.cpu_count()} cores")
    print(f"{'':<28}{'GET /':>24}{'GET status':>24}{'other starts':>14}{'load before':>13}{'after':>7}")
    print(f"{'':<28}" + "".join(f"{column:>8}" for column in (*columns, *columns)))
    rows = []
    for what, hanging in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(Path(folder), what, hanging, chosen.seconds, chosen.rate)
        rows.append(row)
        figures = "".join(f"{row[path][column]:>8.2f}" for path in PATHS for column in columns)
        print(f"{what:<28}{figures}{row['other_s']:>12.2f} s{row['load_before']:>13.2f}{row['load_after']:>7.2f}")
    results = HERE / "results" / "rest_under_hang.json"
    kept = {"seconds": chosen.seconds, "rate": chosen.rate, "cores": os.cpu_count(), "rows": rows}
    results.write_text(json.dumps(kept, indent=2) + "\n")


def measure(folder: Path, what: str, hanging: Sequence[tuple[str, str]], seconds: float, rate: float) -> dict[str, Any]:
    before = os.getloadavg()[0]
    worker = WorkerProcess(folder / "worker").start()
    try:
        good(worker, "good")
        for deed, place in hanging:
            threading.Thread(target=hang, args=(worker, deed, place), daemon=True).start()
        if hanging:
            until(lambda: begun(worker, hanging), f"{what} to hang")
        other: list[float] = []
        meanwhile = threading.Thread(target=lambda: other.append(timed_start(worker)))
        meanwhile.start()
        taken = ask(worker.url, seconds, rate)
        meanwhile.join()
    finally:
        worker.kill()
    figures = {path: summary(times) for path, times in taken.items()}
    return {"what": what, **figures, "other_s": other[0], "load_before": before, "load_after": os.getloadavg()[0]}


def good(worker: WorkerProcess, name: str) -> None:
    (worker.folder / "in.txt").touch()
    worker.create(name, **{"connector.class": "FileStreamSource", "file": "in.txt", "topic": "lines"})
    until(lambda: worker.states(name) == ["RUNNING", "RUNNING"], f"{name} to run")


def timed_start(worker: WorkerProcess) -> float:
    began = time.perf_counter()
    good(worker, "other")
    return time.perf_counter() - began


def hang(worker: WorkerProcess, deed: str, place: str) -> None:
    """Create a connector that hangs; whether and what is answered does not matter."""
    config = {
        "connector.class": "millstream_hostile.connectors:HostileSource",
        "deed": deed,
        "place": f"connector.{place}",
        "topic": "none",
    }
    address = http.client.HTTPConnection(worker.url.partition("//")[2].rstrip("/"), timeout=100)
    body = json.dumps({"name": f"{deed}-{place}", "config": config})
    try:
        address.request("POST", "/connectors", body, {"Content-Type": "application/json"})
        address.getresponse().read()
    except OSError:  # the worker is killed at the end of the row
        return


def begun(worker: WorkerProcess, hanging: Sequence[tuple[str, str]]) -> bool:
    """Whether all connectors that come into being are there; a validation that hangs leaves none."""
    made = worker.call("GET", "/connectors").json
    return all(f"{deed}-{place}" in made for deed, place in hanging if place != "probe")


def ask(url: str, seconds: float, rate: float) -> dict[str, list[float]]:
    """Milliseconds of each request, by path, from the moment at which it was due; a late one makes others late."""
    connection = http.client.HTTPConnection(url.partition("//")[2].rstrip("/"), timeout=100)
    taken: dict[str, list[float]] = {path: [] for path in PATHS}
    first = time.perf_counter()
    for number in range(int(seconds * rate)):
        moment = first + number / rate
        time.sleep(max(0.0, moment - time.perf_counter()))
        path = PATHS[number % len(PATHS)]
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, f"{path}: {answer.status}"
        taken[path].append((time.perf_counter() - moment) * 1000)
    connection.close()
    return taken


def summary(times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98], "max": max(times), "requests": len(times)}


if __name__ == "__main__":
    main()
