"""A template process: imports once, is frozen, and forks a child per request. `python -m millstream.host.template`.

Single-threaded, holds no client and no database handle. The worker talks to it over a SOCK_SEQPACKET socket, one JSON
object a packet:

    worker ─▶ template   {"preload": [module, …], "path": [sys.path entry, …], "disabled": [plugin, …],
                          "converters": [class name, …], "spares": whether it keeps one}   the first packet
                         {"fork": number} with two descriptors: the child's channel, the child's output
                         {"template": true} with two descriptors: the control socket of another template, its output
                         {"signal": pid, "number": n}
    template ─▶ worker   {"here": pid} of one that was forked, then
                         {"ready": {module: error}, "threads": n}  {"forked": number, "pid": pid}
                         {"refused": number, "errno": n, "error": text}  {"exited": pid, "code": exit code, or -signal}

When the worker's end closes, or the worker dies, the groups of all children are killed first, then it goes.
"""

import contextlib
import errno
import gc
import importlib
import json
import math
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from millstream.host.begotten import beget
from millstream.host.freezing import freeze
from millstream.host.orphan import adopt, die_with_parent
from millstream.host.spare import Spares, be_spare
from millstream.lifecycle import SystemClock

if TYPE_CHECKING:  # imported by the preload
    from millstream.host.child import Prepared

MAX_PACKET = 1 << 17


class Template:
    """The loop of a template: requests in, forks and exit reports out.

    prepared: what its children have from it.   request: what it was told to be (`spares`, `disabled`).
    """

    def __init__(self, control: socket.socket, worker: int, prepared: "Prepared", request: Mapping[str, Any]) -> None:
        self._control = control
        self._worker = worker
        self._prepared = prepared
        self._disabled: Sequence[str] = request["disabled"]
        self._spares = Spares(self._fork_spare, self._forked, self._fork, SystemClock(), request["spares"])
        self._children: set[int] = set()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def serve(self) -> NoReturn:
        """Run until the worker is gone."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._go())
        adopt(True)  # else a daemon of a plugin would be the worker's while that waits for a template
        while True:
            line = self._spares.line
            ready = self._ready(line)
            if line is not None and line in ready:
                self._spares.hear()
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if self._control in ready:
                self._hear()
            if not ready:
                self._spares.change()

    def _ready(self, line: socket.socket | None) -> Sequence[socket.socket | int]:
        """What can be read; nothing: the spares' patience is over. By poll: select knows no descriptor beyond 1,023."""
        sources: dict[int, socket.socket | int] = {self._control.fileno(): self._control, self._woken: self._woken}
        if line is not None:
            sources[line.fileno()] = line
        asked = select.poll()
        for descriptor in sources:
            asked.register(descriptor, select.POLLIN)
        patience = self._spares.patience()
        found = asked.poll(None if patience is None else math.ceil(patience * 1000))
        return [sources[descriptor] for descriptor, _ in found]

    def _hear(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, MAX_PACKET, 2)
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._go()
        request = json.loads(packet)
        if "fork" in request:
            self._take(request["fork"], descriptors)
        elif "template" in request:
            beget(descriptors, self._leave, self._worker, partial(be_template, private=self._prepared.private))
        elif "signal" in request and request["signal"] in self._children:
            _signal(request["signal"], request["number"])

    def _take(self, number: int, descriptors: list[int]) -> None:
        if len(descriptors) != 2:  # the kernel gives what this process has numbers left for
            _close(descriptors)
            text = f"{len(descriptors)} of the 2 descriptors of the request could be received"
            self._say({"refused": number, "errno": errno.EMFILE, "error": text})
        elif not self._spares.give(number, descriptors):
            self._fork(number, descriptors)

    def _fork(self, number: int, descriptors: list[int]) -> None:
        from millstream.host import child  # imported by the preload: a name, not a load

        try:
            pid = self._process(lambda: child.run(descriptors[0], descriptors[1], self._prepared))
        except OSError as error:
            self._say({"refused": number, "errno": error.errno, "error": str(error)})
        else:
            self._forked(number, pid)
        _close(descriptors)

    def _forked(self, number: int, pid: int) -> None:
        self._children.add(pid)
        self._say({"forked": number, "pid": pid})

    def _fork_spare(self, line: socket.socket) -> int:
        """Give the number of a process that will be one, 0 when none can be made."""
        try:
            return self._process(lambda: be_spare(line, self._disabled, self._prepared))
        except OSError:
            return 0

    def _process(self, body: Callable[[], NoReturn]) -> int:
        """Fork a process that does `body` and dies with this one."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._leave()
                die_with_parent(signal.SIGKILL, parent)
                body()
            except BaseException:  # noqa: BLE001 - the last line of a process: it is said, and it ends
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(70)
        return pid

    def _leave(self) -> None:
        """What was forked is no template any more, and in a session of its own; that first, for who would kill it."""
        os.setsid()
        self._children.clear()
        self._spares.leave()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in (self._control.detach(), self._woken, self._wake):
            os.close(descriptor)

    def _reap(self) -> None:
        """Report each child that ended, after its group is killed: whatever it started goes with it.

        Others that end here are daemons of plugins: this process has become their parent, and knows nothing of them.
        """
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in self._children or ended.si_pid in self._spares.processes():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(ended.si_pid, signal.SIGKILL)
            _, status = os.waitpid(ended.si_pid, 0)
            self._spares.ended(ended.si_pid)
            if ended.si_pid in self._children:
                self._children.remove(ended.si_pid)
                self._say({"exited": ended.si_pid, "code": os.waitstatus_to_exitcode(status)})

    def _say(self, packet: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(packet).encode())
        except OSError:
            self._go()

    def _go(self) -> NoReturn:
        for pid in (*self._children, *self._spares.processes()):
            for kill in (os.killpg, os.kill):  # a child that has not made its session yet has no group
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
        os._exit(0)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _signal(pid: int, number: int) -> None:
    ways = (os.killpg, os.kill) if number == signal.SIGKILL else (os.kill,)
    for way in ways:  # a child that has not made its session yet has no group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            way(pid, number)


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


def be_template(
    control: socket.socket, worker: int, hello: dict[str, Any] | None = None, private: int | None = None
) -> NoReturn:
    """Hear what to import, do it, be frozen, and serve the worker. Dies by SIGKILL with it until it can serve.

    private: the copy of its output that it has from the template which forked it.
    """
    if hello is not None:
        control.send(json.dumps(hello).encode())
    request = json.loads(control.recv(MAX_PACKET) or os._exit(0))
    began = time.perf_counter()
    sys.path[:] = request["path"]
    failures = preload(["millstream.host.child", *request["preload"]])
    look_for_plugins(tuple(request["disabled"]), request["converters"])
    threads = len(os.listdir("/proc/self/task"))
    from millstream.host import child  # imported by now: a name, not a load

    prepared = child.Prepared(private)
    freeze()
    gc.enable()
    template = Template(control, worker, prepared, request)
    control.send(json.dumps({"ready": failures, "threads": threads, "seconds": time.perf_counter() - began}).encode())
    die_with_parent(signal.SIGTERM, worker)  # from now on the children's groups are killed before it goes
    template.serve()


def main() -> NoReturn:
    """`python -m millstream.host.template CONTROL WORKER MODULE …`: the modules are imported before it is asked."""
    control, worker = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    die_with_parent(signal.SIGKILL, worker)  # an import that hangs must not outlive the worker
    gc.disable()  # what is imported stays; to search it for garbage takes a tenth of the time
    preload(["millstream.host.child", *sys.argv[3:]])
    be_template(control, worker)


if __name__ == "__main__":
    main()
