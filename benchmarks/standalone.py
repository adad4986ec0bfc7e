"""File → embedded log → file through a running worker with default settings; the file is compared at the end.

    python benchmarks/standalone.py [--lines N]

Prints a table with the load beside each figure, and keeps it in benchmarks/results/standalone.json.
"""

import argparse
import filecmp
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from running import WorkerProcess  # noqa: E402 - the tests' own worker

LINE = "abcdefghij" * 9
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lines", type=int, default=2_000_000)
    lines = options.parse_args().lines
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), lines)
    print(f"{lines} lines of 100 bytes")
    print(f"{'':<28}{'records/s':>12}{'seconds':>9}{'task CPU us/record':>20}{'load before':>13}{'after':>7}")
    for row in rows:
        print(
            f"{row['what']:<28}{row['rate']:>12,.0f}{row['seconds']:>9.2f}{row['cpu_us']:>20.2f}"
            f"{row['load_before']:>13.2f}{row['load_after']:>7.2f}"
        )
    results = HERE / "results" / "standalone.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"lines": lines, "rows": rows}, indent=2) + "\n")


def measure(folder: Path, lines: int) -> list[dict[str, Any]]:
    original, copy = folder / "in.txt", folder / "out.txt"
    with original.open("w") as file:
        file.writelines(f"{number:08d} {LINE}\n" for number in range(lines))
    size = original.stat().st_size
    worker = WorkerProcess(folder / "worker")
    worker.start()
    try:
        source = {"connector.class": "FileStreamSource", "file": str(original), "topic": "lines"}

        def loaded() -> bool:
            offsets = worker.offsets("source")
            return bool(offsets) and offsets[0]["offset"]["position"] == size

        first = timed("file -> JSON -> log", lines, lambda: worker.create("source", **source), loaded)
        worker.call("DELETE", "/connectors/source")
        sink = {"connector.class": "FileStreamSink", "file": str(copy), "topics": "lines"}

        def dumped() -> bool:
            return copy.exists() and copy.stat().st_size >= size

        second = timed("log -> JSON -> file", lines, lambda: worker.create("sink", **sink), dumped)
        if not filecmp.cmp(original, copy, shallow=False):
            sys.exit("the copy is not identical")
    finally:
        worker.stop()
    return [first, second]


def timed(what: str, lines: int, start: Callable[[], object], done: Callable[[], bool]) -> dict[str, Any]:
    load, before, began = os.getloadavg()[0], cpu_seconds(), time.monotonic()
    start()
    while not done():
        time.sleep(0.05)
    seconds = time.monotonic() - began
    busiest = max(spent - before.get(pid, 0.0) for pid, spent in cpu_seconds().items())
    return {
        "what": what,
        "rate": lines / seconds,
        "seconds": seconds,
        "cpu_us": busiest / lines * 1e6,
        "load_before": load,
        "load_after": os.getloadavg()[0],
    }


def cpu_seconds() -> dict[int, float]:
    """CPU seconds of every process of a worker, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"millstream" in (entry / "cmdline").read_bytes():
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    found[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICKS
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


if __name__ == "__main__":
    main()
