"""The template processes: one per plugin distribution and a bare one, each started when it is first needed.

On the loop's thread only, which is also the thread that must start them: PR_SET_PDEATHSIG follows the thread.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millstream.host.channel import PluginTarget
from millstream.host.template import MAX_PACKET
from millstream.worker.children import Child
from millstream.worker.environment import child_environment
from millstream.worker.logs import Output
from millstream.worker.loop import Loop, Timer
from millstream.worker.shortage import shortage

log = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
READY_SECONDS = 20.0
BARE = ""


@dataclass(frozen=True, slots=True)
class Preload:
    """What every template does before it is frozen.

    modules:    imported.   disabled: plugins that the inventory leaves out.
    converters: class names; those of the worker, which most tasks use.
    """

    modules: Sequence[str]
    disabled: Sequence[str] = ()
    converters: Sequence[str] = ()

    def packet(self, more: Sequence[str]) -> dict[str, Any]:
        return {
            "preload": [*self.modules, *more],
            "path": sys.path,
            "disabled": list(self.disabled),
            "converters": list(self.converters),
        }


class ForkedProcess:
    """A child that a template forked, signalled through the template: nobody else's process can have its number."""

    def __init__(self, template: "Template", pid: int) -> None:
        self._template = template
        self._pid = pid

    @property
    def pid(self) -> int:
        return self._pid

    def signal(self, number: int) -> None:
        self._template.say({"signal": self._pid, "number": int(number)})

    def stack(self) -> None:
        return None


class Template:
    """One template process; `is_ready` once it has imported all, `unfit` when that ended or spoiled it.

    Raises OSError when the machine gives no process, or no descriptors for it; nothing is left open then.
    """

    def __init__(self, loop: Loop, name: str, preload: Mapping[str, Any], on_end: Callable[["Template"], None]) -> None:
        self.name = name
        self.is_ready = False
        self.unfit = ""
        self.children: dict[int, Child] = {}
        self._loop = loop
        self._on_end = on_end
        self._numbers = 0
        self._waiting: dict[int, Child] = {}
        self._asked: set[int] = set()
        self._output = Output(f"template {name or 'bare'}", lambda line: None, loop)
        self.process, self._control, self._reading = _process()
        loop.watch(self._control, self._on_packet)
        loop.watch(self._reading, self._on_output)
        self.say(dict(preload))
        self._overdue = loop.after(READY_SECONDS, self._too_late)
        self._idle: Timer | None = None
        self._rest()

    def fork(self, child: Child) -> None:
        """Make the child's process, now or when the template is ready."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._numbers += 1
        self._waiting[self._numbers] = child
        if self.is_ready:
            self._ask_all()

    def say(self, packet: dict[str, Any], descriptors: Iterable[int] = ()) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(packet).encode()], list(descriptors))
        except OSError as error:
            log.debug("template %s does not hear: %s", self.name or "bare", error)

    def take_waiting(self) -> list[Child]:
        """Give the children that have no process yet, to be forked elsewhere."""
        waiting = [child for number, child in self._waiting.items() if number not in self._asked]
        self._waiting = {number: child for number, child in self._waiting.items() if number in self._asked}
        return waiting

    def end(self) -> None:
        """Close it: it kills the groups of its children and goes."""
        self._finish("the worker ended its template")

    def _ask_all(self) -> None:
        for number, child in self._waiting.items():
            if number not in self._asked:
                self._asked.add(number)
                channel, writing = child.far_ends()
                self.say({"fork": number}, (channel.fileno(), writing))
                child.close_far_ends()

    def _on_packet(self, _: int) -> None:
        try:
            packet = self._control.recv(MAX_PACKET)
        except OSError:
            packet = b""
        if not packet:
            self._finish("")
            return
        told = json.loads(packet)
        if "ready" in told:
            self._ready(told)
        elif "forked" in told:
            self._asked.discard(told["forked"])
            child = self._waiting.pop(told["forked"])
            self.children[told["pid"]] = child
            child.carried_by(ForkedProcess(self, told["pid"]))
        elif "refused" in told:
            self._asked.discard(told["refused"])
            child, error = self._waiting.pop(told["refused"]), OSError(told["errno"], told["error"])
            child.gone(None, shortage("process", error))
            self._rest()
        elif "exited" in told and told["exited"] in self.children:
            self.children.pop(told["exited"]).gone(told["code"])
            self._rest()

    def _ready(self, told: dict[str, Any]) -> None:
        if self.unfit:  # it was told too late, and is being killed: what waits is forked elsewhere
            return
        self._overdue.cancel()
        for module, error in told["ready"].items():
            log.info("template %s: import of %r raised %s; its children import it themselves", self.name, module, error)
        if told["threads"] > 1:
            self.unfit = f"importing it starts {told['threads'] - 1} threads, which a fork does not copy"
            self._finish(self.unfit)
            return
        self.is_ready = True
        self._ask_all()

    def _rest(self) -> None:
        """It goes 60 s after its last child."""
        if not self.children and not self._waiting and self._idle is None:
            self._idle = self._loop.after(IDLE_SECONDS, self.end)

    def _too_late(self) -> None:
        if not self.name:  # nothing could stand in for the bare one, which imports nothing of others
            return
        self.unfit = f"importing it took more than {READY_SECONDS:.0f} s"
        self.process.kill()

    def _on_output(self, _: int) -> None:
        try:
            data = os.read(self._reading, 65536)
        except BlockingIOError:
            return
        if data:
            self._output.feed(data)
        else:
            self._loop.forget(self._reading)

    def _finish(self, reason: str) -> None:
        self._overdue.cancel()
        self._loop.forget(self._control)
        self._on_output(0)
        self._loop.forget(self._reading)
        self._output.finish()
        self._control.close()
        os.close(self._reading)
        code = _reaped(self.process)
        if not self.is_ready and not self.unfit:
            self.unfit = f"importing it ended the process ({_how(code)})"
        orphans, self.children = self.children, {}
        for pid in orphans:
            _kill_group(pid)  # the kernel has killed the child itself; this is for what the child had started
        self._on_end(self)
        for child in orphans.values():
            child.gone(None, reason or f"its template process {self.process.pid} died ({_how(code)}), and it with it")
        for child in self._waiting.values():
            child.gone(None, reason or f"its template process {self.process.pid} died ({_how(code)})")


class Templates:
    """Forks children from the template of their plugin's distribution."""

    def __init__(self, loop: Loop, preload: Preload) -> None:
        self._loop = loop
        self._preload = preload
        self._running: dict[str, Template] = {}
        self._unfit: set[str] = set()

    def warm(self) -> None:
        """Start the bare template before somebody waits for it."""
        try:
            self._template(BARE, ())
        except OSError as error:
            log.warning("the bare template is started when it is needed: %s", shortage("process", error))

    def launch(self, child: Child) -> None:
        plugin = child.run.plugin
        key = BARE if plugin.distribution in self._unfit else plugin.distribution
        self._fork(key, _modules_of(plugin) if key else (), child)

    def views(self) -> Sequence[Template]:
        return tuple(self._running.values())

    def close(self) -> None:
        for template in list(self._running.values()):
            template.end()

    def _template(self, key: str, modules: Sequence[str]) -> Template:
        if key not in self._running:
            self._running[key] = Template(self._loop, key, self._preload.packet(modules), self._ended)
        return self._running[key]

    def _ended(self, template: Template) -> None:
        if self._running.get(template.name) is template:
            del self._running[template.name]
        if template.unfit and template.name:
            log.warning("no template for %s: %s; its children start without one", template.name, template.unfit)
            self._unfit.add(template.name)
            for child in template.take_waiting():
                self._fork(BARE, (), child)

    def _fork(self, key: str, modules: Sequence[str], child: Child) -> None:
        try:
            template = self._template(key, modules)
        except OSError as error:
            child.gone(None, shortage("process", error))
        else:
            template.fork(child)


def _process() -> "tuple[subprocess.Popen[bytes], socket.socket, int]":
    """Start a template: its process, our ends of its socket and of the pipe that it prints to."""
    with contextlib.ExitStack() as kept, contextlib.ExitStack() as given:
        control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept.callback(control.close)
        given.callback(far.close)
        reading, writing = os.pipe()
        kept.callback(os.close, reading)
        given.callback(os.close, writing)
        os.set_blocking(reading, False)
        process = subprocess.Popen(
            [sys.executable, "-m", "millstream.host.template", str(far.fileno()), str(os.getpid())],
            pass_fds=[far.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            env=child_environment(),
        )
        kept.pop_all()
        return process, control, reading


def _modules_of(plugin: PluginTarget) -> Sequence[str]:
    return (plugin.target.partition(":")[0],)


def _reaped(process: "subprocess.Popen[bytes]") -> int:
    """Its end of the socket is closed, so it is ending, or has lost its mind: then it is killed."""
    try:
        return process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
