"""Through a running worker with default settings: file → embedded log → file, and a plain plugin → embedded log.

    python benchmarks/standalone.py [--lines N]

Prints a table with the load beside each figure, and keeps it in benchmarks/results/standalone.json. What was read and
what a plain plugin made are compared with the original at the end.
"""

import argparse
import contextlib
import filecmp
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import keep, machine, said
from memory import Memory

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from running import WorkerProcess, processes  # noqa: E402 - the tests' own worker

LINE = "abcdefghij" * 9
TICKS = os.sysconf("SC_CLK_TCK")
ASKED = {"file -> JSON -> log": 600_000, "log -> JSON -> file": 600_000, "plain plugin -> JSON -> log": 300_000}

Does = tuple[Callable[[], object], Callable[[], bool]]  # begin it; is it done?

PLUGIN = '''
from collections.abc import Iterable, Sequence

from millstream_api import STRING, Config, PluginRef, SourceConnector, SourceRecord, SourceTask, hookimpl, key

LINE, PLACE = "abcdefghij" * 9, {"generator": "lines"}


class LinesConfig(Config):
    topic: str = key()
    lines: int = key()


class LinesTask(SourceTask[LinesConfig]):
    """A list of records a poll, each with its offset."""

    def start(self) -> None:
        stored = self.context.offset(PLACE)
        self.number = stored["number"] if stored else 0

    def poll(self) -> Sequence[SourceRecord]:
        first, self.number = self.number, min(self.number + 500, self.config.lines)
        if first == self.number:
            self.context.wait(1)
        topic = self.config.topic
        return [
            SourceRecord(topic, f"{number:08d} {LINE}", PLACE, {"number": number + 1}, STRING)
            for number in range(first, self.number)
        ]


class Lines(SourceConnector[LinesConfig]):
    config_class = LinesConfig
    task_class = LinesTask


@hookimpl
def register_sources() -> Iterable[PluginRef]:
    yield PluginRef("millstream_bench_lines:Lines")
'''


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lines", type=int, default=2_000_000)
    lines = options.parse_args().lines
    around = machine()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), lines)
    print(f"{lines:,} lines of 100 bytes; {said(around)}")
    print(
        f"{'':<30}{'records/s':>12}{'asked':>10}{'seconds':>9}{'task CPU us/record':>20}{'load before':>13}{'after':>7}"
    )
    for row in rows:
        print(
            f"{row['what']:<30}{row['rate']:>12,.0f}{row['asked']:>10,}{row['seconds']:>9.2f}{row['cpu_us']:>20.2f}"
            f"{row['load_before']:>13.2f}{row['load_after']:>7.2f}"
        )
    keep("standalone", around, lines=lines, rows=rows)


def measure(folder: Path, lines: int) -> list[dict[str, Any]]:
    original, plugins, memory = folder / "in.txt", folder / "plugins", Memory(folder)
    memory.use()
    with original.open("w") as file:
        file.writelines(f"{number:08d} {LINE}\n" for number in range(lines))
    size = original.stat().st_size
    install(plugins)
    paths = [str(plugins), *filter(None, [os.environ.get("PYTHONPATH")])]
    worker = WorkerProcess(folder / "worker", environment={"PYTHONPATH": os.pathsep.join(paths)})
    worker.start()

    def position(name: str, key: str, end: int) -> Callable[[], bool]:
        return lambda: bool(found := worker.offsets(name)) and found[0]["offset"].get(key) == end

    def row(what: str, does: Does) -> dict[str, Any]:
        memory.use()
        return timed(worker, what, lines, does)

    def dump(name: str, topic: str) -> dict[str, Any]:
        copy = folder / f"{name}.txt"
        sink = {"connector.class": "FileStreamSink", "file": str(copy), "topics": topic}
        written = lambda: copy.exists() and copy.stat().st_size >= size  # noqa: E731
        found = row("log -> JSON -> file", (lambda: worker.create(name, **sink), written))
        if not filecmp.cmp(original, copy, shallow=False):
            sys.exit(f"what is in topic {topic} is not what was made")
        worker.call("DELETE", f"/connectors/{name}")
        return found

    try:
        source = {"connector.class": "FileStreamSource", "file": str(original), "topic": "lines"}
        load = (lambda: worker.create("source", **source), position("source", "position", size))
        rows = [row("file -> JSON -> log", load)]
        worker.call("DELETE", "/connectors/source")
        rows.append(dump("sink", "lines"))
        plain = {"connector.class": "millstream_bench_lines:Lines", "topic": "plain", "lines": str(lines)}
        make = (lambda: worker.create("plain", **plain), position("plain", "number", lines))
        rows.append(row("plain plugin -> JSON -> log", make))
        worker.call("DELETE", "/connectors/plain")
        dump("check", "plain")
    finally:
        worker.stop()
        memory.close()
    return rows


def install(folder: Path) -> None:
    """Lay the plain plugin where the worker finds it, as pip would."""
    about = folder / "millstream_bench_lines-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "millstream_bench_lines.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: millstream-bench-lines\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[millstream]\nlines = millstream_bench_lines\n")


def timed(worker: WorkerProcess, what: str, lines: int, does: Does) -> dict[str, Any]:
    start, done = does
    load, before, began = os.getloadavg()[0], cpu_seconds(worker), time.monotonic()
    start()
    while not done():
        time.sleep(0.05)
    seconds = time.monotonic() - began
    busiest = max(spent - before.get(pid, 0.0) for pid, spent in cpu_seconds(worker).items())
    return {
        "what": what,
        "asked": ASKED[what],
        "rate": lines / seconds,
        "seconds": seconds,
        "cpu_us": busiest / lines * 1e6,
        "load_before": load,
        "load_after": os.getloadavg()[0],
    }


def cpu_seconds(worker: WorkerProcess) -> dict[int, float]:
    """CPU seconds of every process of the worker, by pid; the busiest one is the task."""
    found = {}
    for pid in processes(worker):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


if __name__ == "__main__":
    main()
