"""A template process: imports once, is frozen, and forks a child per request. `python -m millstream.host.template`.

Single-threaded, holds no client and no database handle. The worker talks to it over a SOCK_SEQPACKET socket, one JSON
object a packet:

    worker ─▶ template   {"preload": [module, …], "path": [sys.path entry, …], "disabled": [plugin, …],
                          "converters": [class name, …]}                       the first packet
                         {"fork": number} with two descriptors: the child's channel, the child's output
                         {"signal": pid, "number": n}
    template ─▶ worker   {"ready": {module: error}, "threads": n}  {"forked": number, "pid": pid}
                         {"refused": number, "errno": n, "error": text}  {"exited": pid, "code": exit code, or -signal}

When the worker's end closes, or the worker dies, the groups of all children are killed first, then it goes.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from millstream.host.freezing import freeze
from millstream.host.orphan import die_with_parent

MAX_PACKET = 1 << 17


class Template:
    """The loop of a template: requests in, forks and exit reports out."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def serve(self) -> NoReturn:
        """Run until the worker is gone."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._go())
        while True:
            sources: list[socket.socket | int] = [self._control, self._woken]
            ready, _, _ = select.select(sources, [], [])
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if self._control in ready:
                self._hear()

    def _hear(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, MAX_PACKET, 2)
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._go()
        request = json.loads(packet)
        if "fork" in request:
            self._fork(request["fork"], descriptors)
        elif "signal" in request and request["signal"] in self._children:
            self._signal(request["signal"], request["number"])

    def _fork(self, number: int, descriptors: list[int]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._say({"refused": number, "errno": error.errno, "error": str(error)})
            pid = -1
        if pid == 0:
            self._become_child(parent, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._children.add(pid)
            self._say({"forked": number, "pid": pid})

    def _become_child(self, parent: int, descriptors: list[int]) -> NoReturn:
        try:
            os.setsid()
            die_with_parent(signal.SIGKILL, parent)
            signal.set_wakeup_fd(-1)
            for descriptor in (self._control.detach(), self._woken, self._wake):
                os.close(descriptor)
            from millstream.host import child  # imported by the preload: a name, not a load

            child.run(descriptors[0], descriptors[1])
        finally:
            os._exit(70)

    def _reap(self) -> None:
        """Report each child that ended, after its group is killed: whatever it started goes with it."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(ended.si_pid, signal.SIGKILL)
            _, status = os.waitpid(ended.si_pid, 0)
            self._children.discard(ended.si_pid)
            self._say({"exited": ended.si_pid, "code": os.waitstatus_to_exitcode(status)})

    def _signal(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)

    def _say(self, packet: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(packet).encode())
        except OSError:
            self._go()

    def _go(self) -> NoReturn:
        for pid in self._children:
            for kill in (os.killpg, os.kill):  # a child that has not made its session yet has no group
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
        os._exit(0)


def preload(modules: list[str]) -> dict[str, str]:
    """Import the modules; give what failed, by module. What an import changed about the process is put back."""
    failures: dict[str, str] = {}
    directory = os.getcwd()
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 - a plugin may raise SystemExit; its child will tell it properly
            failures[module] = type(error).__name__
    os.chdir(directory)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    return failures


def look_for_plugins(disabled: tuple[str, ...], converters: list[str]) -> None:
    """Find the installed plugins once for all children, and load the worker's converters.

    What goes wrong goes wrong again in a child, and is told there.
    """
    with contextlib.suppress(Exception, SystemExit):
        from millstream.host import installed

        installed.warm(disabled, converters)


def main() -> NoReturn:
    control, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    die_with_parent(signal.SIGKILL, parent)  # an import that hangs must not outlive the worker
    began = time.perf_counter()
    request = json.loads(control.recv(MAX_PACKET) or os._exit(0))
    sys.path[:] = request["path"]
    failures = preload(["millstream.host.child", *request["preload"]])
    look_for_plugins(tuple(request["disabled"]), request["converters"])
    threads = len(os.listdir("/proc/self/task"))
    freeze()
    template = Template(control)
    control.send(json.dumps({"ready": failures, "threads": threads, "seconds": time.perf_counter() - began}).encode())
    die_with_parent(signal.SIGTERM, parent)  # from now on the children's groups are killed before it goes
    template.serve()


if __name__ == "__main__":
    main()
