"""A worker as its operator has it: a process, a properties file, HTTP. Nothing of the runtime is imported here."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

#: deadlines are those of a machine that is busy with other things: what comes at all comes long before
PATIENCE_S = 60.0
START_S = 120.0
#: of a request; longer than the 90 s after which a worker gives an answer in any case
ANSWER_S = 100.0
BIN = Path(sys.executable).parent
GRACEFUL = "task.shutdown.graceful.timeout.ms"
PROPERTIES = {
    "listeners": "http://127.0.0.1:0",
    "bootstrap.servers": "sqlite:log.db",
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
}


def until(condition: Callable[[], T], what: str = "it", patience: float = PATIENCE_S, every_s: float = 0.01) -> T:
    """The first true value of `condition`, asked every so often, and behind the deadline once more; else it fails with
    `what`."""
    deadline = time.monotonic() + patience
    while True:
        late = time.monotonic() > deadline
        value = condition()
        if value:
            return value
        if late:
            pytest.fail(f"waited {patience:.0f} s for {what}; last: {value!r}")
        time.sleep(every_s)


@contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else gets meanwhile, and on which a worker can listen.

    It is bound here and not listened on: whoever asks for it by its number shares it, as a listener of a server that
    has ended a moment ago would, and the kernel gives it to nobody who asks for any.
    """
    with socket.socket() as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.bind(("127.0.0.1", 0))
        yield holding.getsockname()[1]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Rest:
    """A worker's REST API, whoever's worker it is.   answer_s: how long an answer is waited for; None: ANSWER_S."""

    url: str
    answer_s: float | None = None

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if data is not None and headers is None else headers or {}
        request = urllib.request.Request(self.url + path, data, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.answer_s or ANSWER_S) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())

    def create(self, name: str, **config: str) -> Any:
        answer = self.call("POST", "/connectors", {"name": name, "config": config})
        assert answer.status == 201, answer.text
        return answer.json

    def states(self, name: str) -> list[str]:
        """The connector's state, then its tasks'."""
        answer = self.call("GET", f"/connectors/{name}/status")
        if answer.status != 200:
            return []
        status = answer.json
        return [status["connector"]["state"], *(task["state"] for task in status["tasks"])]

    def trace(self, name: str, task: int = 0) -> str:
        return str(self.call("GET", f"/connectors/{name}/tasks/{task}/status").json.get("trace", ""))

    def offsets(self, name: str) -> Any:
        return self.call("GET", f"/connectors/{name}/offsets").json["offsets"]


@dataclass
class WorkerProcess(Rest):
    """One worker at a time in a folder; `start` again after `stop` or `kill` is a restart."""

    folder: Path
    properties: dict[str, str] = field(default_factory=lambda: dict(PROPERTIES))
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ("millstream", "run")
    prefix: list[str] = field(default_factory=list)  # of the command: a program that runs it with fewer rights
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    @property
    def log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")

    def launch(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{name}={value}\n" for name, value in self.properties.items())
        (self.folder / "worker.properties").write_text(lines)
        with (self.folder / "worker.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.prefix, BIN / self.program[0], *self.program[1:], "worker.properties", *self.arguments],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )
        return self.process

    def start(self) -> "WorkerProcess":
        process = self.launch()

        def listening() -> str | None:
            if process.poll() is not None:
                pytest.fail(f"the worker ended with {process.returncode}:\n{self.log}")
            whole_lines = self.log.rpartition("\n")[0].splitlines()
            ready = [line for line in whole_lines if "the REST API is at " in line]
            return ready[0].split("the REST API is at ")[1].split()[0].rstrip(",") if ready else None

        self.url = str(until(listening, "the worker to be ready", START_S))
        return self

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(ANSWER_S)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def consume(self, topic: str) -> list[str]:
        """The values of a topic, by the command line."""
        command = [BIN / "millstream", "consume", topic, "--from-beginning", "--config", "worker.properties"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def processes(worker: WorkerProcess) -> dict[int, tuple[int, str]]:
    """Every process of this worker: pid -> (parent, command line). Needs /proc."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if "millstream" in command and fields[0] != "Z" and (entry / "cwd").readlink() == worker.folder:
                found[int(entry.name)] = (int(fields[1]), command)
        except OSError:
            continue
    return found


SPARE = "millstream-next"


def tasks_and_probes(worker: WorkerProcess) -> list[int]:
    """What templates have forked for somebody: not the one that each keeps ahead. Needs /proc."""
    assert worker.process is not None
    running = processes(worker)
    templates = {pid for pid, (parent, _) in running.items() if parent == worker.process.pid}
    return [pid for pid, (parent, _) in running.items() if parent in templates and name_of(pid) != SPARE]


def name_of(pid: int) -> str:
    """As `ps` shows it, "" when it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
