"""The template processes: one per plugin distribution and a bare one, each made when it is first needed.

The bare one is a fresh interpreter; the others are forked from it, so that what it has imported is theirs at once, and
are then children of the worker as it is. One that cannot be forked is a fresh interpreter, too.

On the loop's thread only, which is also the thread that must start them: PR_SET_PDEATHSIG follows the thread.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from millstream.host.channel import PluginTarget
from millstream.host.template import MAX_PACKET
from millstream.worker.children import ENDED_BY_OTHERS, Child, refuse
from millstream.worker.interpreter import Adopted, Adopting, Begun, Line, Process, begin_interpreter, reaped
from millstream.worker.logs import Output
from millstream.worker.loop import Loop, Timer
from millstream.worker.outbox import Outbox
from millstream.worker.shortage import WORKER, shortage
from millstream.worker.standstill import Lookouts, is_stopped

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

    def packet(self, more: Sequence[str], spares: bool) -> dict[str, Any]:
        return {
            "preload": [*self.modules, *more],
            "path": sys.path,
            "disabled": list(self.disabled),
            "converters": list(self.converters),
            "spares": spares,
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
        self._template.outbox.put({"signal": self._pid, "number": int(number)})

    def stack(self) -> None:
        return None


class Owner(Protocol):
    """Who makes templates."""

    def arrived(self, template: "Template") -> None:
        """It was forked, and is the worker's child."""
        ...

    def ended(self, template: "Template") -> None:
        """It is gone; its children have not heard of it yet."""
        ...

    @property
    def troubled(self) -> Callable[[str], None]:
        """Told why the bare one, without which there is no other, is not as it should be."""
        ...


class Template:
    """One template process; `is_ready` once it has imported all, `unfit` when that ended or spoiled it.

    was_interrupted: somebody else ended it before it was ready.
    process:   None until one that is to be forked has said that it is there.
    waiting:   children that have no process yet.   children: by process.
    is_wanted: until the worker itself ends it.
    """

    def __init__(self, loop: Loop, name: str, preload: Mapping[str, Any], owner: "Owner", line: Line) -> None:
        self.name = name
        self.preload = preload
        self.is_wanted = True
        self.is_ready = False
        self.was_interrupted = False
        self.unfit = ""
        self.children: dict[int, Child] = {}
        self.process: Process | None = None
        self.line = line
        self._loop = loop
        self._owner = owner
        self._numbers = 0
        self.waiting: dict[int, Child] = {}
        self._asked: set[int] = set()
        self._unborn: list[Line] = []
        self._printed = _Printed(loop, name or "bare", line.reading)
        self._control = line.control
        self.outbox = Outbox(loop, self._control, name or "bare")
        loop.watch(self._control, self._on_packet)
        self.outbox.put(dict(preload))
        self._overdue = loop.after(READY_SECONDS, self._too_late)
        self._idle = _Idle(loop, self.end)
        self._rest()

    def fork(self, child: Child) -> None:
        """Make the child's process, now or when the template is ready."""
        self._idle.over()
        self._numbers += 1
        self.waiting[self._numbers] = child
        if self.is_ready:
            self._ask_all()

    def beget(self, line: Line) -> None:
        """Fork a template that takes the far ends of `line`, now or when this one is ready."""
        self._idle.over()
        self._unborn.append(line)
        if self.is_ready:
            self._ask_all()

    def take_waiting(self) -> list[Child]:
        """Give the children that have no process yet, to be forked elsewhere."""
        waiting = [child for number, child in self.waiting.items() if number not in self._asked]
        self.waiting = {number: child for number, child in self.waiting.items() if number in self._asked}
        return waiting

    def end(self) -> None:
        """Close it: it kills the groups of its children and goes."""
        self.is_wanted = False
        self._finish("the worker ended its template")

    def _ask_all(self) -> None:
        unborn, self._unborn = self._unborn, []
        for line in unborn:
            self.outbox.put({"template": True}, line.far_ends, line.close_far_ends, _say_unsent)
        self._rest()
        for number, child in list(self.waiting.items()):
            if number not in self._asked:
                self._asked.add(number)
                child.on_hello = partial(self._begun, number)
                refused = partial(self._refused, number)
                self.outbox.put({"fork": number}, partial(_far_ends, child), child.close_far_ends, refused)

    def _on_packet(self, _: int) -> None:
        try:
            packet = self._control.recv(MAX_PACKET)
        except OSError:
            packet = b""
        if not packet:
            self._finish("")
            return
        told = json.loads(packet)
        if "here" in told:
            self.process = Adopted(told["here"])
            self._overdue.cancel()
            self._overdue = self._loop.after(READY_SECONDS, self._too_late)
            self._owner.arrived(self)
        elif "ready" in told:
            self._ready(told)
        elif "forked" in told:
            self._begun(told["forked"], told["pid"])
        elif "refused" in told:
            self._refused(told["refused"], OSError(told["errno"], told["error"]), "its template")
        elif "exited" in told and told["exited"] in self.children:
            self.children.pop(told["exited"]).gone(told["code"])
            self._rest()

    def _begun(self, number: int, pid: int) -> None:
        """The child has this process: told by itself, or by the template, whichever is heard first."""
        child = self.waiting.pop(number, None)
        if child is not None:
            self._asked.discard(number)
            self.children[pid] = child
            child.carried_by(ForkedProcess(self, pid))

    def _refused(self, number: int, error: OSError, whose: str = WORKER) -> None:
        self._asked.discard(number)
        child = self.waiting.pop(number, None)
        self._rest()
        if child is not None:  # it may have heard of the template's end meanwhile
            refuse(child, "process", error, whose)

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
        if not self.children and not self.waiting and not self._unborn:
            self._idle.begin()

    def _too_late(self) -> None:
        if self.process is not None and is_stopped(self.process.pid):  # which is said; its import is not to blame
            self._overdue = self._loop.after(READY_SECONDS, self._too_late)
            return
        if not self.name:  # nothing could stand in for this one
            loads = ", ".join(dict.fromkeys(self.preload["converters"])) or "no converter"
            self._owner.troubled(f"is not ready after {READY_SECONDS:.0f} s: it looks for plugins, and loads {loads}")
            return
        if self.process is None:  # it waits for the bare one, which says so
            return
        self.unfit = f"importing it took more than {READY_SECONDS:.0f} s"
        self.process.kill()

    def _finish(self, reason: str) -> None:
        self._overdue.cancel()
        self._idle.over()  # once it is over nothing may end it again: its descriptors' numbers are others' by then
        self._loop.forget(self._control)
        self.outbox.close()
        self._printed.finish()
        self.line.close()
        for line in self._unborn:
            line.close_far_ends()  # whoever waits for them hears it
        ended, from_outside = "", False
        if self.process is not None:
            code = reaped(self.process)
            ended = _how(code)
            if self.is_wanted and not self.unfit:
                from_outside = is_from_outside(code, self.is_ready)
                self.was_interrupted = from_outside and not self.is_ready
                self.unfit = "" if from_outside else f"importing it ended the process ({ended})"
        orphans, self.children = self.children, {}
        for pid in orphans:
            _kill_group(pid)  # the kernel has killed the child itself; this is for what the child had started
        self._owner.ended(self)
        died = f"its template process {self.process.pid if self.process else 0} died ({ended})"
        with contextlib.ExitStack() as told:  # all of them, whatever one raises
            for child in orphans.values():
                told.callback(child.gone, None, reason or f"{died}, and it with it", from_outside)
            for child in self.waiting.values():
                told.callback(child.gone, None, reason or died, from_outside)


def is_from_outside(code: int, is_ready: bool) -> bool:
    """Whether nothing that the template imported ended it: its children are to be started again, by another one.

    code: with which it ended while it was wanted; one that is ready leaves with 0 at SIGTERM.
    """
    return is_ready or code in ENDED_BY_OTHERS


class _Idle:
    """How long a template has had nothing to do."""

    def __init__(self, loop: Loop, end: Callable[[], None]) -> None:
        self._loop = loop
        self._end = end
        self._timer: Timer | None = None

    def begin(self) -> None:
        if self._timer is None:
            self._timer = self._loop.after(IDLE_SECONDS, self._end)

    def over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Printed:
    """What a template itself prints, into the worker's log."""

    def __init__(self, loop: Loop, name: str, reading: int) -> None:
        self._loop = loop
        self._reading = reading
        self._output = Output(f"template {name}", lambda line: None, loop)
        loop.watch(reading, self._read)

    def finish(self) -> None:
        self._read(0)
        self._loop.forget(self._reading)
        self._output.finish()

    def _read(self, _: int) -> None:
        try:
            data = os.read(self._reading, 65536)
        except BlockingIOError:
            return
        if data:
            self._output.feed(data)
        else:
            self._loop.forget(self._reading)


class _Troubles:
    """What ails the bare template, said once for a cause: each start may meet it."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, why: str) -> None:
        if why != self._last:
            self._last = why
            log.warning("the bare template %s", why)


class _LeftOut:
    """The distributions that have no template: importing theirs ended or spoiled it, or was ended twice."""

    def __init__(self) -> None:
        self._unfit: set[str] = set()
        self._interrupted: set[str] = set()  # the latest template of that name was

    def __contains__(self, name: str) -> bool:
        return name in self._unfit

    def after(self, template: Template) -> bool:
        """Judge one that has ended: true when it never served, and who waits for it is to be launched again."""
        name = template.name
        if template.was_interrupted and name not in self._interrupted:
            log.warning("the template for %s was killed before it was ready; it is made once more", name)
            self._interrupted.add(name)
        elif template.unfit or template.was_interrupted:
            why = template.unfit or "importing it was ended from outside twice"
            log.warning("no template for %s: %s; its children start without one", name, why)
            self._unfit.add(name)
        else:
            self._interrupted.discard(name)
            return False
        return True


class Templates:
    """Forks children from the template of their plugin's distribution.

    bare: the process of the bare template, where one has been begun already.
    """

    def __init__(self, loop: Loop, preload: Preload, bare: Begun | None = None) -> None:
        self.troubled = _Troubles()
        self._loop = loop
        self._preload = preload
        self._begun = bare
        self._adopting = Adopting()
        self._expected: set[Template] = set()
        self._running: dict[str, Template] = {}
        self._left_out = _LeftOut()
        self._lookouts = Lookouts(loop, lambda: _looked_after(self.views()))

    def warm(self) -> None:
        """Start the bare template before somebody waits for it, and look after all from now on."""
        self._lookouts.begin()
        try:
            self._template(BARE, ())
        except OSError as error:
            self.troubled(f"is started when it is needed: {shortage('process', error)}")

    def launch(self, child: Child) -> None:
        plugin = child.run.plugin
        key = BARE if plugin.distribution in self._left_out else plugin.distribution
        self._fork(key, _modules_of(plugin) if key else (), child)

    def views(self) -> Sequence[Template]:
        return tuple(self._running.copy().values())

    def close(self) -> None:
        self._lookouts.over()
        if self._begun is not None:
            self._begun.end()
        for template in list(self._running.values()):
            template.end()

    def let_go(self) -> None:
        """The loop's thread is lost: templates and their children go as they would with the worker.

        The kernel tells those only that this thread started; others hang on the worker's first thread.
        """
        for template in self._running.values():
            with contextlib.suppress(OSError):  # it has gone already
                template.line.control.shutdown(socket.SHUT_RDWR)

    def arrived(self, template: Template) -> None:
        if template in self._expected:
            self._expected.remove(template)
            self._adopting.arrived()

    def ended(self, template: Template) -> None:
        self.arrived(template)
        if self._running.get(template.name) is template:
            del self._running[template.name]
        if template.process is None and template.is_wanted:
            log.info("template %s could not be forked; it becomes an interpreter of its own", template.name)
            self._succeed(template)
        elif not template.name and (template.unfit or template.was_interrupted):
            self.troubled(f"cannot serve, and who waited for it has failed: {template.unfit or 'it was killed'}")
        elif self._left_out.after(template):
            for child in template.take_waiting():
                self.launch(child)

    def _succeed(self, template: Template) -> None:
        children = template.take_waiting()
        try:
            self._running[template.name] = self._fresh(template.name, template.preload)
        except OSError as error:
            for child in children:
                refuse(child, "process", error)
        else:
            for child in children:
                self._running[template.name].fork(child)

    def _fork(self, key: str, modules: Sequence[str], child: Child) -> None:
        try:
            template = self._template(key, modules)
        except OSError as error:
            refuse(child, "process", error)
        else:
            template.fork(child)

    def _template(self, key: str, modules: Sequence[str]) -> Template:
        if key not in self._running:
            preload = self._preload.packet(modules, spares=bool(key))
            self._running[key] = self._forked(key, preload) if key else self._fresh(key, preload)
        return self._running[key]

    def _fresh(self, key: str, preload: Mapping[str, Any]) -> Template:
        begun, self._begun = self._begun or begin_interpreter(self._preload.modules), None
        template = Template(self._loop, key, preload, self, begun.line)
        template.process = begun.process
        return template

    def _forked(self, key: str, preload: Mapping[str, Any]) -> Template:
        bare = self._template(BARE, ())
        template = Template(self._loop, key, preload, self, Line())
        self._expected.add(template)
        self._adopting.expect()
        bare.beget(template.line)
        return template


def _looked_after(templates: Sequence[Template]) -> Mapping[str, tuple[int, Sequence[str]]]:
    """Each with its process, and what cannot happen without it; without the bare one, starts of others, too."""
    found = {}
    for template in templates:
        unborn = [other for other in templates if not template.name and other.process is None]
        starts = [child.run.label for each in (template, *unborn) for child in each.waiting.values()]
        ends = [child.run.label for child in template.children.values() if child.is_killed]
        waits = dict.fromkeys([*(f"the start of {each}" for each in starts), *(f"the end of {each}" for each in ends)])
        pid = 0 if template.process is None else template.process.pid
        found[f"template {template.name or 'bare'}"] = (pid, tuple(waits))
    return found


def _far_ends(child: Child) -> Sequence[int]:
    channel, writing = child.far_ends()
    return channel.fileno(), writing


def _say_unsent(error: OSError) -> None:
    """Who waits for that template hears that its ends are closed, and makes an interpreter."""
    log.warning("no template can be asked to fork another: %s", error)


def _modules_of(plugin: PluginTarget) -> Sequence[str]:
    return (plugin.target.partition(":")[0],)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
