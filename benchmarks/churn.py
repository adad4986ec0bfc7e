"""An hour of starts, stops and failures while rows flow: what it leaves behind in the worker, and what of the rows.

    python benchmarks/churn.py [--minutes 60] [--connectors 32] [--tasks 40] [--rows 320] [--seed 20] [--rest 1.0]
        [--only pause stop restart]

One broker, one worker, half of the connectors sources of files that grow, half sinks of their topics into files. One
operation after the other, by chance from the seed, each until what it asks for is so: pause and resume, stop and
resume, restart, delete and create again, another config, a config that is refused, a converter that cannot read the
rows, a folder and a file that are not there, `kill -9` of a task and of a template. Every 15 s a sample of all
processes, files and consumer groups.

At the end the files grow no more, and every line has to be in its sink's file; what is there twice is counted. Then all
connectors are deleted, and a last sample stands beside the first, of the worker before it had any.

Growth per 100 operations is the median slope between all pairs of samples, the first fifth left out; beside it the
medians of the first and the second half. `load` is the machine's, `cores` what all of this took, the broker too.
Prints a line for each sample and what it finds, and keeps it in benchmarks/results/churn.json.
Needs Java and Maven, see CONTRIBUTING.md, and `pip install -r requirements/services.txt`.
"""

import argparse
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
import psutil
import pytest
from confluent_kafka.admin import AdminClient
from crashing import has_open
from crowd import EVERY_S, PATIENCE_S, Stage, asked, census, number_of, staged
from file_crowd import FileCrowd, GrowingFiles, account, file_of, missing, sunk
from machine import keep, machine, said
from running import processes, until

SAMPLE_S = 15.0
KEPT_EACH = 4  # so many samples one is kept, to be looked at; growth is of all
WARM_SHARE = 0.2
MOST_PROBLEMS = 20
NO_GROWTH = ("at_s", "operations", "cpu_s", "given", "sunk", "load")
BACK_S = 10.0  # the worker starts what was killed after 2 s, then 4, 8, up to 60
UNREADABLE = {"value.converter": "org.apache.kafka.connect.converters.IntegerConverter"}


@dataclass
class Churn:
    """taken_s: of each operation.   back: how often what was killed came back by itself.

    problems: what did not come, and tasks that failed though nobody made them.
    """

    stage: Stage
    files: GrowingFiles
    chance: random.Random
    only: Sequence[str] = ()
    back: int = 0
    done: Counter[str] = field(default_factory=Counter)
    taken_s: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def once(self) -> None:
        name = self.chance.choice(self.stage.crowd.names())
        among = [(one, often) for one, often in OPERATIONS if not self.only or one.__name__ in self.only]
        operation = self.chance.choices(*zip(*among, strict=True))[0]
        began, what = time.monotonic(), operation.__name__
        self.attempt(f"{what} of {name}", lambda: (operation(self, name), self.states(name, "RUNNING")))
        self.done[what] += 1
        self.taken_s.setdefault(what, []).append(time.monotonic() - began)
        self.attempt(f"after {what} of {name}", lambda: self.restart_failed("failed by itself"))

    def attempt(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (pytest.fail.Exception, AssertionError, OSError, psutil.Error) as problem:
            self.problem(f"{what}: {type(problem).__name__}: {problem}")

    def problem(self, text: str) -> None:
        self.problems.append(text[:1000])
        print("problem:", self.problems[-1], flush=True)

    def restart_failed(self, complaint: str | None = None) -> None:
        """Whatever is FAILED now runs again; it is a problem, if there is a complaint."""
        for name, told in self.stage.states().items():
            if "FAILED" not in told:
                continue
            if complaint is not None:
                trace = self.stage.worker.trace(name, told.index("FAILED", 1) - 1) if "FAILED" in told[1:] else ""
                self.problem(f"{name} {told} {complaint}: {trace}")
            self.call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
            self.states(name, "RUNNING")

    def states(self, name: str, state: str) -> None:
        wanted = [state] * (1 + self.stage.crowd.tasks_of(name))
        until(lambda: self.stage.worker.states(name) == wanted, f"{name} to be {state}", PATIENCE_S, EVERY_S)

    def fails(self, name: str) -> None:
        until(lambda: "FAILED" in self.stage.worker.states(name)[1:], f"{name} to fail", PATIENCE_S, EVERY_S)

    def call(self, method: str, path: str, body: Any = None) -> None:
        answer = self.stage.worker.call(method, path, body)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.text}"

    def file(self, name: str) -> Path:
        return file_of(name, self.stage.control)


def pause(churn: Churn, name: str) -> None:
    churn.call("PUT", f"/connectors/{name}/pause")
    churn.states(name, "PAUSED")
    churn.call("PUT", f"/connectors/{name}/resume")


def stop(churn: Churn, name: str) -> None:
    churn.call("PUT", f"/connectors/{name}/stop")
    until(lambda: churn.stage.worker.states(name) == ["STOPPED"], f"{name} to stop", PATIENCE_S, EVERY_S)
    churn.call("PUT", f"/connectors/{name}/resume")


def restart(churn: Churn, name: str) -> None:
    churn.call("POST", f"/connectors/{name}/restart?includeTasks=true")


def restart_task(churn: Churn, name: str) -> None:
    churn.call("POST", f"/connectors/{name}/tasks/{churn.chance.randrange(churn.stage.crowd.tasks_of(name))}/restart")


def recreate(churn: Churn, name: str) -> None:
    churn.call("DELETE", f"/connectors/{name}")
    until(lambda: name not in churn.stage.worker.call("GET", "/connectors").json, f"{name} to go", PATIENCE_S, EVERY_S)
    churn.stage.create(name)


def configure(churn: Churn, name: str) -> None:
    """Another config that is as good."""
    more = {"batch.size": str(churn.chance.randrange(10, 2000))} if name.startswith("source") else {}
    more["errors.retry.timeout"] = str(churn.chance.randrange(0, 1000))
    churn.call("PUT", f"/connectors/{name}/config", churn.stage.config(name, **more))


def refuse(churn: Churn, name: str) -> None:
    """A config with an error: the answer is 400, and all runs on."""
    answer = churn.stage.worker.call(
        "PUT", f"/connectors/{name}/config", churn.stage.config(name, **{"tasks.max": "0"})
    )
    assert answer.status == 400, f"a config with tasks.max=0: {answer.status} {answer.text}"


def fail_converting(churn: Churn, name: str) -> None:
    """A converter that cannot read the rows; it is taken back."""
    churn.call("PUT", f"/connectors/{name}/config", churn.stage.config(name, **UNREADABLE))
    churn.fails(name)
    churn.call("PUT", f"/connectors/{name}/config", churn.stage.config(name))


def fail_writing(churn: Churn, name: str) -> None:
    """A sink's file in a folder that is not there; it is taken back."""
    name = f"sink-{number_of(name)}"
    elsewhere = {"file": str(churn.stage.control / "nowhere" / "copy.txt")}
    churn.call("PUT", f"/connectors/{name}/config", churn.stage.config(name, **elsewhere))
    churn.fails(name)
    churn.call("PUT", f"/connectors/{name}/config", churn.stage.config(name))
    churn.states(name, "RUNNING")


def lack_file(churn: Churn, name: str) -> None:
    """A source's file that is not there when it starts: it waits, and reads on where it was."""
    name = f"source-{number_of(name)}"
    path, log = churn.file(name), churn.stage.worker.folder / "worker.log"
    aside, seen = path.with_suffix(".aside"), log.stat().st_size
    with churn.files.held(path):
        path.rename(aside)
        try:
            restart(churn, name)
            until(lambda: b"Couldn't find file" in _behind(log, seen), f"{name} to miss its file", 60.0, EVERY_S)
        finally:
            aside.rename(path)
    churn.states(name, "RUNNING")


def _behind(path: Path, position: int) -> bytes:
    with path.open("rb") as file:
        file.seek(position)
        return file.read()


def kill(churn: Churn, name: str) -> None:
    """kill -9 of a task."""
    path = churn.file(name)
    victims = until(
        lambda: [pid for pid in processes(churn.stage.worker) if has_open(pid, path)], f"a process of {name}", 60.0
    )
    os.kill(churn.chance.choice(victims), signal.SIGKILL)
    churn.fails(name)
    come_back(churn)


def kill_template(churn: Churn, name: str) -> None:
    """kill -9 of the process that tasks are forked from, by which they end too."""
    process = churn.stage.worker.process
    assert process is not None
    os.kill(max(psutil.Process(process.pid).children(), key=lambda child: len(child.children())).pid, signal.SIGKILL)
    until(lambda: churn.stage.count("FAILED"), "tasks to fail", PATIENCE_S, EVERY_S)
    come_back(churn)


def come_back(churn: Churn) -> None:
    """What was killed is started by the worker or, by chance, by a request; by a request too when it takes long."""

    def whole() -> bool:
        return churn.stage.count("RUNNING") == churn.stage.crowd.tasks

    patience = churn.chance.choice((0.0, 1.0, BACK_S))
    with suppress(pytest.fail.Exception):
        until(whole, "the worker to start them again", patience, EVERY_S)
        churn.back += 1
        return

    def restarted() -> bool:
        churn.restart_failed()
        return whole()

    until(restarted, "all to run again", PATIENCE_S, EVERY_S)


OPERATIONS: list[tuple[Callable[[Churn, str], None], int]] = [
    (pause, 10),
    (stop, 10),
    (restart, 10),
    (restart_task, 10),
    (recreate, 10),
    (configure, 10),
    (refuse, 5),
    (fail_converting, 8),
    (fail_writing, 8),
    (lack_file, 8),
    (kill, 10),
    (kill_template, 1),
]


class Samples:
    """Taken by a thread of their own, while operations go on."""

    def __init__(self, churn: Churn) -> None:
        self.taken: list[dict[str, float]] = []
        self.problems: list[str] = []
        self._churn = churn
        self._admin = AdminClient(churn.stage.kafka.client())
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_S):
            try:
                self.taken.append(self.sample())
            except Exception as problem:  # a sample less; it is told at the end
                self.problems.append(f"{type(problem).__name__}: {problem}"[:300])
                continue
            shown = {what: round(value, 1) for what, value in self.taken[-1].items()}
            print(" ".join(f"{what}={value:g}" for what, value in shown.items()), flush=True)

    def sample(self) -> dict[str, float]:
        """groups: consumer groups, with members or without. strangers: of the worker's folder, and not below it."""
        churn, stage = self._churn, self._churn.stage
        found, worker = census(stage.worker), stage.worker.folder
        sizes = list(_sizes(worker))
        return {
            "at_s": round(time.monotonic() - self._began, 1),
            "operations": sum(churn.done.values()),
            **asdict(found),
            "pids": found.pids,
            "strangers": strangers(stage),
            "folder_files": len(sizes),
            "folder_kb": sum(sizes) / 1024,
            "tmp_files": len(os.listdir(stage.folder / "tmp")),
            "log_kb": (worker / "worker.log").stat().st_size / 1024,
            "groups": len(self._admin.list_consumer_groups(request_timeout=30).result(30).valid),
            "given": churn.files.given(),
            "sunk": sunk(stage),
            "load": os.getloadavg()[0],
        }


def _sizes(folder: Path) -> Iterator[int]:
    """Of all files but the log; one may go meanwhile."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.name != "worker.log" and path.is_file():
                yield path.stat().st_size


def strangers(stage: Stage) -> int:
    assert stage.worker.process is not None
    root = psutil.Process(stage.worker.process.pid)
    known = {root.pid, *(child.pid for child in root.children(recursive=True))}
    found = set(processes(stage.worker)) - known
    return len(found & set(processes(stage.worker)))  # not one that was only about to be known


def growth(samples: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """By figure: per 100 operations, the medians of both halves, the most."""
    counted = samples[int(len(samples) * WARM_SHARE) :]
    if len(counted) < 4:
        return {}
    half = len(counted) // 2
    found = {}
    for what in (name for name in counted[0] if name not in NO_GROWTH):
        values = [one[what] for one in counted]
        points = [(one["operations"], one[what]) for one in counted]
        slopes = [(y - b) / (x - a) for (a, b), (x, y) in combinations(points, 2) if x != a]
        found[what] = {
            "per_100_operations": round(100 * statistics.median(slopes or [0.0]), 3),
            "first_half": round(statistics.median(values[:half]), 2),
            "second_half": round(statistics.median(values[half:]), 2),
            "most": round(max(values), 2),
        }
    return found


def taken(times: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(times), 2), "most": round(max(times), 2)}


def complaints(log: str) -> dict[str, int]:
    """Warnings and errors of the log by kind: names, numbers and what is quoted are left out."""
    found: Counter[str] = Counter()
    for text in log.splitlines():
        told = re.match(r"\[[^]]*\] (WARN\w*|ERROR|CRITICAL) (.*)", text)
        if told is not None:
            kind = re.sub(r"'[^']*'|\"[^\"]*\"|/[\w./-]+", "…", told[2])
            kind = re.sub(r"\b(source|sink|rows)-\d+(-\d+)?", r"\1-N", kind)
            found[f"{told[1]} {re.sub(r'[0-9]+', 'N', kind)[:160]}"] += 1
        elif text.startswith("Traceback"):
            found["a traceback"] += 1
    return dict(found.most_common())


def work(churn: Churn, minutes: float, rest_s: float) -> None:
    """Operations for so long, with a moment's rest between them."""
    process, deadline = churn.stage.worker.process, time.monotonic() + 60 * minutes
    assert process is not None
    while time.monotonic() < deadline and len(churn.problems) < MOST_PROBLEMS:
        churn.once()
        if process.poll() is not None:
            churn.problem(f"the worker ended with {process.returncode}: {churn.stage.worker.log[-2000:]}")
            return
        time.sleep(churn.chance.uniform(0, 2 * rest_s))


def settle(churn: Churn) -> float:
    """Every line arrives, in so many seconds; then nothing is left of the connectors."""
    stage, files = churn.stage, churn.files
    files.finish()
    began = time.monotonic()
    while left := missing(stage, files):
        if time.monotonic() - began > PATIENCE_S:
            churn.problem(f"lines that did not arrive: {left}")
            break
        time.sleep(1.0)
    arrived_s = round(time.monotonic() - began, 1)
    for name in stage.crowd.names():
        churn.call("DELETE", f"/connectors/{name}")
    until(lambda: not stage.worker.call("GET", "/connectors").json, "all connectors to go", PATIENCE_S, EVERY_S)
    time.sleep(SAMPLE_S)
    return arrived_s


def measure(stage: Stage, chosen: argparse.Namespace, kept: dict[str, Any]) -> None:
    sources = [file_of(name, stage.control) for name in stage.crowd.names() if name.startswith("source")]
    files = GrowingFiles(sources, chosen.rows, random.Random(chosen.seed + 1))
    churn = Churn(stage, files, random.Random(chosen.seed), chosen.only)
    samples = Samples(churn)
    kept["alone"] = samples.sample()
    stage.create_all()
    until(lambda: stage.count("RUNNING") == stage.crowd.tasks, "all tasks to run", PATIENCE_S, EVERY_S)
    files.start()
    samples.start()
    name = stage.crowd.names()[0]
    try:
        kept["rest_ms_before"] = asked(stage.worker, name, stage.configs[name], 20.0, 20.0)
        work(churn, chosen.minutes, chosen.rest)
        kept["rest_ms_after"] = asked(stage.worker, name, stage.configs[name], 20.0, 20.0)
        kept["arrived_s"] = settle(churn)
        kept["rows"] = account(stage, files)
        kept["deleted"] = samples.sample()
    finally:
        samples.finish()
        kept |= {
            "operations": dict(churn.done.most_common()),
            "back_by_itself": churn.back,
            "taken_s": {what: taken(times) for what, times in churn.taken_s.items()},
            "problems": churn.problems,
            "samples_missed": samples.problems,
            "growth": growth([one for one in samples.taken if one["tasks"] > stage.crowd.connectors // 2]),
            "complaints": complaints(stage.worker.log),
            "samples": [{what: round(value, 1) for what, value in one.items()} for one in samples.taken[::KEPT_EACH]],
        }
    kept["exit_code"] = stage.worker.stop()
    kept["left_behind"] = len(processes(stage.worker))


def show(kept: dict[str, Any]) -> None:
    for what, found in kept.items():
        if what in ("growth", "complaints"):
            print(f"{what}:", *(f"  {name}: {value}" for name, value in found.items()), sep="\n")
        elif what != "samples":
            print(f"{what}: {found}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--connectors", type=int, default=32)
    options.add_argument("--tasks", type=int, default=40)
    options.add_argument("--rows", type=float, default=320.0, help="lines a second, of all files together")
    options.add_argument("--seed", type=int, default=20)
    options.add_argument("--rest", type=float, default=1.0, help="seconds between operations, at the mean")
    options.add_argument("--only", nargs="*", default=[], choices=[one.__name__ for one, _ in OPERATIONS])
    options.add_argument("--keep", default="churn", help="name of the results")
    chosen = options.parse_args()
    around = machine()
    print(said(around), flush=True)
    kept: dict[str, Any] = dict(vars(chosen))
    crowd, began = FileCrowd(chosen.connectors, chosen.tasks), time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, staged(Path(folder), crowd) as stage:
            measure(stage, chosen, kept)
    finally:
        kept["cores"] = round(sum(os.times()[:4]) / (time.monotonic() - began), 2)
        keep(chosen.keep, around, **kept)
        show(kept)


if __name__ == "__main__":
    main()
