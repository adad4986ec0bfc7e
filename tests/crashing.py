"""A source and a sink killed in the middle of their data, and what is lost or written twice by it. Needs /proc."""

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from running import PROPERTIES, WorkerProcess, processes, until

from millstream_file.mark import Mark, Writing

PATIENCE_S = 90.0
SURVIVAL_S = 15.0  # a thousandth of it on a quiet machine; the table of crash_rounds.py has how long it was
FIRST, LAST = 0.05, 0.95
TRIES = 6
TORN = b"00000000 abcdefghij"  # the beginning of a line, as a write that was cut short leaves it

KILLS = ("worker", "worker of threads", "template", "source", "sink")
POINTS = (
    "source.poll.after",
    "source.send.after",
    "source.offsets.before",
    "source.commit.before",
    "source.commit.after",
    "sink.put.before",
    "sink.put.after",
    "sink.commit.before",
    "sink.commit.after",
)
VICTIMS = KILLS + POINTS


@dataclass
class Round:
    """What happened. moment: the share of the data that the sink, or for a source the source, was done with.

    survivors_s: how long a killed worker's children were there after it.   cut: bytes of an unfinished line that the
    restarted sink cut.   misses: tries whose kill came before 5 % or behind 95 % of the data, done again.
    """

    number: int
    seed: int
    victim: str
    moment: float = 0.0
    passage: int = 0
    duplicates: int = 0
    lost: int = 0
    logged: int = 0
    disordered: bool = False
    survivors_s: float | None = None
    cut: int = 0
    misses: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class MissedError(Exception):
    """The kill came too early or too late to count."""

    def __init__(self, moment: float) -> None:
        super().__init__(f"the kill came at {moment:.0%} of the data")
        self.moment = moment


def text(lines: int) -> bytes:
    return "".join(f"{number:08d} {'abcdefghij' * 9}\n" for number in range(lines)).encode()


def run_round(folder: Path, done: Round, data: bytes) -> Round:
    """Do one round in an empty folder; a kill outside of 5 to 95 % of the data is not counted, and tried again."""
    dice = random.Random(done.seed)
    wanted = dice.uniform(0.12, 0.8)
    torn = dice.random() < 0.5
    aim = wanted
    started = time.monotonic()
    for attempt in range(TRIES):
        crash = Crash(folder / f"{done.number}-{attempt}", done, data)
        try:
            crash.run(aim, torn)
            break
        except MissedError as missed:
            done.misses += 1
            aim = min(max(aim * (0.4 if missed.moment > LAST else 2.0), 0.01), 0.9)
            if attempt == TRIES - 1:
                done.problems.append(str(missed))
        finally:
            crash.end()
    done.seconds = round(time.monotonic() - started, 2)
    return done


class Crash:
    """One worker with a file source and a file sink, killed once."""

    def __init__(self, folder: Path, done: Round, data: bytes) -> None:
        self.folder = folder
        self.round = done
        self.data = data
        self.lines = data.count(b"\n")
        self.rest = b""  # of the data, not in the source's file yet
        self.torn = False
        self.original, self.copy = folder / "in.txt", folder / "out.txt"
        self.worker = WorkerProcess(folder, dict(PROPERTIES))
        folder.mkdir(parents=True)

    def run(self, aim: float, torn: bool) -> None:
        victim, worker = self.round.victim, self.worker
        if victim == "worker of threads":
            worker.properties["task.isolation"] = "thread"
        if victim in POINTS:
            self.round.passage = self.passage(victim, aim)
            worker.environment["MILLSTREAM_FAILPOINTS"] = f"{victim}=kill@{self.round.passage}"
        paced = victim.startswith(
            "sink.commit"
        )  # once a second: on a fast machine all would be through before the first
        if not paced:
            self.original.write_bytes(self.data)
        worker.start()
        self.begin()
        if paced:
            self.feed()
        if victim in POINTS:
            self.await_failure(victim.partition(".")[0])
        else:
            self.kill(victim, aim)
        moment = self.moment(source=victim.startswith("source"))
        if not FIRST <= moment <= LAST:
            raise MissedError(moment)
        self.round.moment = round(moment, 3)
        if victim in POINTS:
            worker.environment.clear()
            worker.stop()
            with self.original.open("ab") as file:
                file.write(self.rest)
        if torn and victim != "template" and not victim.startswith("source"):
            self.tear()
        self.restart(victim)
        self.judge()

    def feed(self) -> None:
        """Let the file grow for some seconds, until it is whole or the sink has died."""
        piece = len(self.data) // 60 + 1
        with self.original.open("ab", 0) as file:
            for start in range(0, len(self.data), piece):
                file.write(self.data[start : start + piece])
                if "FAILED" in self.worker.states("sink"):
                    self.rest = self.data[start + piece :]
                    return
                time.sleep(0.1)

    def begin(self) -> None:
        source = {"connector.class": "FileStreamSource", "file": str(self.original), "topic": "lines"}
        sink = {"connector.class": "FileStreamSink", "file": str(self.copy), "topics": "lines"}
        self.worker.create("source", **source)
        self.worker.create("sink", **sink)

    def passage(self, point: str, aim: float) -> int:
        """At which passage of a point about `aim` of the data is through; a commit of the sink comes once a second,
        and the data in six."""
        if point.startswith("sink.commit"):
            return max(int(aim * 6), 1)
        rows = {"sink.put": 500, "source.poll": 1_960}.get(point.rpartition(".")[0], 3_500)
        return max(int(aim * self.lines / rows), 1)

    def kill(self, victim: str, aim: float) -> None:
        source = victim == "source"
        pid = int(until(lambda: self.pid_of(victim), f"a process of the {victim}", PATIENCE_S) or 0)
        until(lambda: self.moment(source) >= aim, f"{aim:.0%} of the data", PATIENCE_S)
        before = set(processes(self.worker))
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        if victim.startswith("worker"):
            assert self.worker.process is not None
            self.worker.process.wait(PATIENCE_S)
            until(lambda: not before & set(processes(self.worker)), "the children of a killed worker to go", PATIENCE_S)
            self.round.survivors_s = round(time.monotonic() - killed, 3)
            if self.round.survivors_s > SURVIVAL_S:
                self.round.problems.append(f"children outlived their worker by {self.round.survivors_s:.2f} s")
        else:
            self.await_failure(victim)

    def pid_of(self, victim: str) -> int | None:
        assert self.worker.process is not None
        worker = self.worker.process.pid
        if victim.startswith("worker"):
            return worker
        running = processes(self.worker)
        if victim == "template":
            templates = [pid for pid, (parent, _) in running.items() if parent == worker]
            busiest = max(templates, key=lambda pid: sum(parent == pid for parent, _ in running.values()), default=None)
            return busiest if any(parent == busiest for parent, _ in running.values()) else None
        path = self.original if victim == "source" else self.copy
        return next((pid for pid in running if has_open(pid, path)), None)

    def await_failure(self, victim: str) -> None:
        for name in ("source", "sink") if victim == "template" else (victim,):
            self.await_state(name, "FAILED")

    def await_state(self, name: str, state: str) -> None:
        def there() -> bool:
            if state in self.worker.states(name):
                return True
            if self.all_read():  # the point was passed too seldom
                raise MissedError(1.0)
            return False

        until(there, f"{name} to be {state}", PATIENCE_S)

    def all_read(self) -> bool:
        offsets = self.worker.offsets("sink")
        return bool(offsets) and offsets[0]["offset"]["kafka_offset"] >= self.lines

    def moment(self, source: bool) -> float:
        """The share of the data that is through: read by a source, with the log as witness, or written by the sink."""
        if source:
            return self.logged() / self.lines
        try:
            return self.copy.stat().st_size / len(self.data)
        except FileNotFoundError:
            return 0.0

    def logged(self) -> int:
        """Rows of the topic in the log; read only, beside the worker."""
        try:
            with closing(sqlite3.connect(f"file:{self.folder / 'log.db'}?mode=ro", uri=True, timeout=10)) as log:
                (rows,) = log.execute("select coalesce(sum(n), 0) from batches where topic = 'lines'").fetchone()
                return int(rows)
        except sqlite3.OperationalError:
            return 0

    def tear(self) -> None:
        """A torn write is rare, as the kernel ends most writes before it ends their process: so one is made, with the
        mark that the sink gives the file before it writes."""
        with self.copy.open("ab") as file:
            size = file.tell()
            Mark(file.fileno()).put(Writing(size, size + len(self.data) // self.lines))
            file.write(TORN)
        self.torn = True

    def restart(self, victim: str) -> None:
        """A worker's supervisor would do it; what was killed of a worker comes back by itself."""
        if victim in POINTS or victim.startswith("worker"):
            self.worker.start()

    def judge(self) -> None:
        """Wait until the sink has committed all there is, then count."""
        until(self.all_read, f"the sink to have read it all (source {self.worker.states('source')})", PATIENCE_S)
        found = self.round
        problem = found.problems.append
        position = self.worker.offsets("source")[0]["offset"]["position"]
        if position != len(self.data):
            problem(f"the source's offset is {position} of {len(self.data)} bytes")
        found.logged = self.logged()
        if found.logged != self.lines:
            problem(f"the log has {found.logged} rows for {self.lines} lines")
        written = self.copy.read_bytes().split(b"\n")
        if written.pop() != b"":
            problem("the sink's file ends in the middle of a line")
        wanted = self.data.split(b"\n")[:-1]
        distinct = dict.fromkeys(written)
        found.lost = len(set(wanted) - distinct.keys())
        found.duplicates = len(written) - len(distinct)
        if found.lost:
            problem(f"{found.lost} lines are lost")
        if foreign := distinct.keys() - set(wanted):
            problem(f"{len(foreign)} lines of the sink's file are none of the data")
        found.disordered = list(distinct) != wanted
        if found.disordered:
            problem("the lines are not in their order, repeats left out")
        for line in self.worker.log.splitlines():
            if "ended in the middle of a line: cut its last " in line:
                found.cut = int(line.split("cut its last ")[1].split()[0])
            if "Traceback" in line:
                problem(f"a traceback in the worker's log, behind {self.worker.log.splitlines()[-3:]}")
        if self.torn and not found.cut:
            problem("the line that was torn was not cut")

    def end(self) -> None:
        process = self.worker.process
        if process is not None and process.poll() is None:
            self.worker.kill()


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    try:
        return any(entry.readlink() == path for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def rounds(count: int, seed: int) -> list[Round]:
    """Every victim as often as the others, in an order that the seed decides."""
    dice = random.Random(seed)
    victims: list[str] = []
    while len(victims) < count:
        victims.extend(dice.sample(VICTIMS, len(VICTIMS)))
    return [Round(number, seed * 1000 + number, victim) for number, victim in enumerate(victims[:count], 1)]


def heading() -> str:
    heads = ("moment", "passage", "duplicates", "lost", "survivors s", "cut", "seconds")
    return f"{'round':>5} {'seed':>8}  {'victim':<22}" + "".join(f"{head:>12}" for head in heads)


def line(one: Round) -> str:
    """One round as a line of the table, and a line for each problem."""
    survivors = "" if one.survivors_s is None else f"{one.survivors_s:.3f}"
    told = (f"{one.moment:.0%}", one.passage or "", one.duplicates, one.lost, survivors, one.cut or "", one.seconds)
    first = f"{one.number:>5} {one.seed:>8}  {one.victim:<22}" + "".join(f"{cell!s:>12}" for cell in told)
    return "\n".join([first, *(f"      PROBLEM: {problem}" for problem in one.problems)])
