"""Connectors of every temper, named as `hosted:Class` by the tests of host and worker."""

import ctypes
import gc
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from millstream.host.channel import ChildEnd, StateChanged
from millstream.host.connector import ConnectorBody
from millstream_api import Config, Settings, SourceConnector, SourceRecord, SourceTask, key

log = logging.getLogger(__name__)


class HostedConfig(Config):
    topic: str = key("beats", doc="Topic to write to.")
    deed: str = key("", doc="What the plugin does to its process.")
    where: str = key("start", doc="In which method it does it.")
    tasks: int = key(1, doc="How many task configs it gives.")
    path: str = key("", doc="A file that it writes to.")


class Gate(threading.Event):
    """Who comes to it waits until it is set.   come: who has come so far."""

    def __init__(self) -> None:
        super().__init__()
        self.come: list[int] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.come.append(threading.get_ident())
        return super().wait(timeout)


GATES: dict[str, Gate] = {}
"""By `path`; who waits at one is in the test's process (thread isolation)."""
STUCK = "stuck"
"""Said by who is about to do something that takes for ever."""


def do(config: HostedConfig, where: str) -> None:
    if config.deed and config.where == where:
        DEEDS[config.deed](config)


class Unspeakable(Exception):
    def __init__(self) -> None:
        self.lock = threading.Lock()  # cannot be pickled

    def __str__(self) -> str:
        raise ValueError("I will not say")


def _raise(error: BaseException) -> None:
    raise error


def _say_stuck() -> None:
    """Past Python's streams: whoever hears it finds no frame of theirs where this is."""
    os.write(1, f"{STUCK}\n".encode())


def _hang(_: HostedConfig) -> None:
    _say_stuck()
    time.sleep(600)


def _hog(_: HostedConfig) -> None:
    """Holds the GIL in C for good."""
    _say_stuck()
    sum(range(10**13))


def _doze(_: HostedConfig) -> None:
    """Sleeps in C; a signal ends it."""
    _say_stuck()
    ctypes.PyDLL(None).sleep(60)


def _flood(config: HostedConfig) -> None:
    line = "x" * 99 + "\n"
    for _ in range(1_000):
        sys.stdout.write(line * 1_000)
    print("the flood is over")


AT_FORK: set[str] = set()
HAD: list[Any] = []
os.register_at_fork(after_in_child=lambda: AT_FORK.update(sys.modules))
os.register_at_fork(after_in_child=lambda: HAD.extend([sys.stdin, sys.stdout, sys.stderr, *logging.root.handlers]))


def _modules(_: HostedConfig) -> None:
    """Says what this process had to import after it was forked."""
    raise RuntimeError(f"imported since the fork: {sorted(set(sys.modules) - AT_FORK)}")


def _prepared(_: HostedConfig) -> None:
    """Says whether it prints and logs by what it had when it was forked."""
    now = [sys.stdin, sys.stdout, sys.stderr, *logging.root.handlers]
    raise RuntimeError(f"the same: {[one is other for one, other in zip(now, HAD, strict=True)]}")


def _children(config: HostedConfig) -> None:
    """Starts a process of its own, which would like to outlive it."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    with open(config.path, "w") as out:
        out.write(str(pid))


def _run(config: HostedConfig) -> None:
    """Runs a script, with arguments, to its end."""
    subprocess.run([sys.executable, *config.path.split()], check=True)


def _channel() -> int:
    """The descriptor on which this process's own half speaks to the worker."""
    opened = [number for number in map(int, os.listdir("/proc/self/fd")) if number > 2]
    return next(number for number in opened if _is_socket(number))


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:  # it was the listing's own
        return False


def _babble(config: HostedConfig) -> None:
    """Says on the channel what a file holds."""
    with open(config.path, "rb") as said, socket.socket(fileno=os.dup(_channel())) as channel:
        channel.sendall(said.read())
    time.sleep(600)


def _babble_on(config: HostedConfig) -> None:
    deadline = time.monotonic() + 60
    with open(config.path, "rb") as said, socket.socket(fileno=os.dup(_channel())) as channel:
        line = said.read()
        while time.monotonic() < deadline:
            channel.sendall(line)


def _cut(config: HostedConfig) -> None:
    """Ends in the middle of a message."""
    os.write(_channel(), b'{"is":"StateChanged","sta')
    os._exit(7)


def _leave_a_flood(_: HostedConfig) -> None:
    """Ends, and leaves one who is in no group of its own and goes on printing."""
    subprocess.Popen(["timeout", "60", "yes"], start_new_session=True)
    time.sleep(0.2)
    os._exit(7)


def _poll(_: HostedConfig) -> None:
    """Makes as many objects as a few polls of messages, and says how often the collector looked at them meanwhile."""
    looks: list[str] = []
    gc.callbacks.append(lambda phase, _: looks.append(phase))
    rows: list[Any] = [[] for _ in range(5_000)]
    gc.callbacks.clear()
    raise ValueError(f"{len(looks)} looks at {len(rows)} objects")


def _out_of_memory(*_: Any) -> None:
    raise MemoryError


def _deafen(_: HostedConfig) -> None:
    """There is no memory for what the worker says next."""
    ConnectorBody.hear = _out_of_memory  # type: ignore[method-assign]  # in a process of its own


def _deafen_and_mute(config: HostedConfig) -> None:
    """Nor for what is to be said of that."""
    _deafen(config)
    tell = ChildEnd.tell

    def telling(end: ChildEnd, message: Any) -> None:
        if isinstance(message, StateChanged) and message.state == "FAILED":
            raise MemoryError
        tell(end, message)

    ChildEnd.tell = telling  # type: ignore[method-assign]  # in a process of its own


DEEDS: dict[str, Any] = {
    "deafen": _deafen,
    "deafen-and-mute": _deafen_and_mute,
    "poll": _poll,
    "exit": lambda c: os._exit(7),
    "exit-once-there": lambda c: os.path.exists(c.path) and os._exit(7),
    "exit-0": lambda c: os._exit(0),
    "segv": lambda c: ctypes.string_at(0),
    "abort": lambda c: os.abort(),
    "system-exit": lambda c: _raise(SystemExit(3)),
    "unspeakable": lambda c: _raise(Unspeakable()),
    "interrupt": lambda c: _raise(KeyboardInterrupt()),
    "raise-once-there": lambda c: os.path.exists(c.path) and _raise(ValueError("the moon is full")),
    "raise": lambda c: _raise(ValueError("the moon is full")),
    "memory": lambda c: bytearray(2 << 30),
    "hang": _hang,
    "gate": lambda c: GATES[c.path].wait(120),
    "hog": _hog,
    "doze": _doze,
    "flood": _flood,
    "thread": lambda c: threading.Thread(target=time.sleep, args=(600,), daemon=False).start(),
    "close-1": lambda c: os.close(1),
    "close-2": lambda c: os.close(2),
    "chdir": lambda c: os.chdir("/"),
    "signals": lambda c: [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)],
    "long-line": lambda c: print("y" * 10_000_000),
    "fork": _children,
    "run": _run,
    "babble": _babble,
    "babble-on": _babble_on,
    "cut": _cut,
    "leave-a-flood": _leave_a_flood,
    "modules": _modules,
    "prepared": _prepared,
}


class HostedTask(SourceTask[HostedConfig]):
    def start(self) -> None:
        do(self.config, "task-start")
        self.count = 0

    def poll(self) -> Sequence[SourceRecord]:
        do(self.config, "poll")
        if self.context.wait(0.05):
            return []
        self.count += 1
        offset: Any = {"n": {1, 2}} if self.config.deed == "bad-offset" else {"n": self.count}
        return [SourceRecord(self.config.topic, f"{os.getpid()}", {"p": 1}, offset)]

    def stop(self) -> None:
        do(self.config, "task-stop")


class Resting(SourceConnector[HostedConfig]):
    """Overrides neither start nor monitor."""

    config_class = HostedConfig
    task_class = HostedTask

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        do(self.config, "task_configs")
        return [{"number": str(number), "pid": str(os.getpid())} for number in range(self.config.tasks)]

    def alter_offsets(self, offsets: Sequence[tuple[Any, Any]]) -> bool:
        do(self.config, "alter_offsets")
        return True

    def probe(self) -> Any:
        do(self.config, "probe")
        return [("topic", "that topic is haunted")] if self.config.topic == "haunted" else []

    def stop(self) -> None:
        do(self.config, "stop")


class Staying(Resting):
    """Stays, as it overrides start."""

    def start(self) -> None:
        print(f"starting in {os.getcwd()}")
        do(self.config, "start")


class Watching(Resting):
    def monitor(self) -> None:
        do(self.config, "monitor")
        while not self.context.wait(0.05):
            log.debug("a murmur")
            self.context.request_reconfiguration()
