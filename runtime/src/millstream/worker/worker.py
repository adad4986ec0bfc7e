"""What the herder asks for: connectors, tasks and probes, each in a child. Nothing here waits for plugin code."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Literal

from millstream.errors import NotFoundError, WorkerError
from millstream.host.channel import Event, RunConnector, RunProbe, RunTask, SetLevels, Settings, Surroundings
from millstream.identity import TargetState, TaskId
from millstream.lifecycle import Clock
from millstream.worker.admission import Admission
from millstream.worker.answering import Answering
from millstream.worker.budget import Budget, needs_of_connector, needs_of_task
from millstream.worker.interpreter import Begun, allow_many_descriptors, modules_for
from millstream.worker.limits import read_limits
from millstream.worker.loop import Loop
from millstream.worker.roster import together
from millstream.worker.runs import ConnectorRun, Facilities, Launcher, ProbeRun, Supervised, TaskRun, failure
from millstream.worker.shortage import shortage
from millstream.worker.spawning import Spawner
from millstream.worker.templates import Preload, Templates
from millstream.worker.threads import ThreadLauncher

log = logging.getLogger(__name__)

SIMPLE_HEADERS = "org.apache.kafka.connect.storage.SimpleHeaderConverter"
LAST_WAIT = 2.0
OnEvent = Callable[[Event], None]
"""Called on the worker's one reader thread, in the order in which a child said things; must not block."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What the children of this worker are made with.

    settings:     the worker's properties as written (`${…}` unresolved: children resolve them).
    isolation:    where plugin code runs; `thread` cannot kill.
    start:        how processes come about; `template` needs Linux, None chooses.
    graceful_ms:  task.shutdown.graceful.timeout.ms.   connector_start_ms: connector.start.timeout.ms.
    poll_warn_ms: a poll longer than this is told once, with the child's stack.
    memory_limit: bytes for the worker and all children; None: see `budget.py`.
    client_threads: how many threads a client of the broker has in a child.
    """

    settings: Settings
    epoch: int = 0
    isolation: Literal["process", "thread"] = "process"
    start: Literal["template", "spawn"] | None = None
    graceful_ms: int = 5_000
    connector_start_ms: int = 60_000
    poll_warn_ms: int = 60_000
    memory_limit: int | None = None
    client_threads: int = 0
    task_memory_max_bytes: int = 0
    disabled: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ChildView:
    """One connector, task or probe as `describe` shows it.

    kind:    connector | task | probe | template.   name: connector's name, `X-0`, or the question.
    pid:     0 in thread isolation, and for a connector that rests.
    metrics: the last snapshot, Java's attribute names.
    """

    kind: str
    name: str
    state: str
    pid: int
    metrics: Mapping[str, float | int | str]
    abandoned: bool = False


class Worker:
    """The parent half. Every method may be called from any thread, and returns at once (`close` waits)."""

    def __init__(self, setup: WorkerSetup, bare: Begun | None = None, clock: Clock | None = None) -> None:
        """bare: a template that was begun early.   clock: of all deadlines; None: the machine's."""
        self._setup = setup
        self._loop = Loop(clock)
        self._facilities = Facilities(
            self._loop, _launcher(setup, self._loop, bare), setup.connector_start_ms, setup.poll_warn_ms
        )
        begun = () if bare is None else (bare.process.pid,)
        budget = Budget.of(read_limits(begun=begun), setup.memory_limit, setup.client_threads)
        self._admission = Admission(budget, self._facilities)
        self._connectors, self._tasks = self._admission.connectors, self._admission.tasks
        self._is_lost = False  # the loop's thread died, and its children with it
        self._probes: set[ProbeRun] = set()
        self._definitions: dict[tuple[str, ...], Future[Any]] = {}
        self.settings = setup.settings

    def start(self, on_death: Callable[[BaseException | None], None] | None = None) -> None:
        """Start the reader thread and the bare template.

        on_death: hears, on that thread, what ended it, None after `close`: nothing can be started, watched or stopped
                  from then on.
        """

        def died(error: BaseException | None) -> None:
            self._is_lost = error is not None
            launcher = self._facilities.launcher
            if self._is_lost and isinstance(launcher, Templates):
                launcher.let_go()
            if on_death is not None:
                on_death(error)
            elif error is not None:
                log.critical("the thread that all children hang on has died", exc_info=error)

        allow_many_descriptors()
        self._loop.start("millstream-children", died)
        self._loop.post(self._facilities.launcher.warm)

    def answer_with(self, answering: Answering) -> None:
        """Before anything is started: who answers what children ask."""
        self._facilities.answering = answering

    def start_connector(self, spec: RunConnector, on_event: OnEvent) -> None:
        """Run a connector; `on_event` hears RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED."""

        def succeed() -> None:
            run = ConnectorRun(self._facilities, replace(spec, around=_surroundings(self._setup)), on_event)
            run.given = needs_of_connector()
            self._connectors.succeed(spec.connector, run, self._setup.graceful_ms / 1000, run.begin)

        self._loop.post(succeed)

    def stop_connector(self, name: str, timeout: float = 5.0) -> "Future[None]":
        """Stop it; done when it is gone, killed after `timeout` seconds (§5.6)."""
        return _call(self._loop, lambda: self._connectors.dismiss(name, timeout))

    def start_task(self, spec: RunTask, on_event: OnEvent) -> None:
        """Run a task; `on_event` hears RUNNING, PAUSED, FAILED, UNASSIGNED, and what the task tells."""
        task = TaskId(spec.connector, spec.task)

        def succeed() -> None:
            run = TaskRun(self._facilities, spec, on_event, lambda: share_out(self._tasks.present(), spec.connector))
            setup = self._setup
            needs = needs_of_task(spec.plugin.kind, spec.connector_settings, setup.settings, setup.client_threads)

            def launch(queue_bytes: int) -> None:
                run.begin_with(_surroundings(setup, queue_bytes))
                share_out(self._tasks.present(), spec.connector)

            def begin() -> None:
                self._admission.admit(run, spec.plugin, needs, launch)

            self._tasks.succeed(task, run, setup.graceful_ms / 1000, begin)

        self._loop.post(succeed)

    def stop_tasks(self, ids: Iterable[TaskId], timeout: float | None = None) -> "Future[None]":
        """Stop these tasks; done when all are gone. `timeout` seconds for all together, by default the graceful one."""
        wanted = tuple(ids)
        seconds = self._setup.graceful_ms / 1000 if timeout is None else timeout
        return _call(self._loop, lambda: together([self._tasks.dismiss(task, seconds) for task in wanted]))

    def set_target(self, connector: str, target: TargetState) -> None:
        """Pause, resume or stop the connector and every task of it that runs here."""

        def aim() -> None:
            if (own := self._connectors.expected().get(connector)) is not None:
                own.set_target(target)
            for task, run in self._tasks.expected().items():
                if task.connector == connector:
                    run.set_target(target)

        self._loop.post(aim)

    def task_configs(
        self, connector: str, max_tasks: int, timeout: float | None = None
    ) -> "Future[list[dict[str, str]]]":
        """Ask the connector for its tasks' raw settings, complete as the config topic holds them (§2.8).

        A connector that does not answer in time, by default as long as its start may take, or gives more than
        `max_tasks`, is FAILED, and the future raises.
        """
        seconds = self._setup.connector_start_ms / 1000 if timeout is None else timeout

        def ask() -> "Future[Any]":
            run = self._connectors.get(connector)
            if run is None:
                raise NotFoundError(f"connector {connector!r} does not run on this worker")
            return run.ask("task_configs", {"max_tasks": max_tasks}, seconds)

        return _call(self._loop, ask)

    def probe(self, request: RunProbe, timeout: float = 90.0) -> "Future[Any]":
        """Ask a question about a plugin in a child of its own, killed after `timeout` seconds.

        Definitions of a distribution and version that is known are answered from memory.
        """
        plugin = request.plugin
        key = (plugin.distribution, plugin.version, plugin.target, plugin.kind)
        cached = request.what == "definitions" and bool(plugin.distribution)
        if cached and (known := self._definitions.get(key)) is not None and not _failed(known):
            return known
        answer: Future[Any] = Future()
        if cached:
            self._definitions[key] = answer

        def begin() -> None:
            asked = replace(request, around=_surroundings(self._setup))
            self._probes = {other for other in self._probes if not other.child.is_gone}
            try:
                self._probes.add(ProbeRun(self._facilities, asked, answer, timeout))
            except OSError as error:
                answer.set_exception(failure(f"probe {request.label}: {shortage('channel', error)}").error())

        self._loop.post(begin)
        return answer

    def set_levels(self, levels: Mapping[str, int]) -> None:
        """Set log levels in running children and in those to come; 0 takes a level back."""

        def set_all() -> None:
            self._facilities.levels.update(levels)
            for run in (*self._connectors.present().values(), *self._tasks.present().values()):
                if run.child is not None:
                    run.child.send(SetLevels(dict(levels)))

        self._loop.post(set_all)

    def describe(self) -> Sequence[ChildView]:
        """Give what runs now: connectors, tasks, probes, templates, and how many threads were abandoned."""
        views = [_view("connector", name, run) for name, run in sorted(self._connectors.expected().items())]
        views += [_view("task", str(task), run) for task, run in sorted(self._tasks.expected().items())]
        running = [probe for probe in self._probes.copy() if not probe.child.is_gone]
        views += [ChildView("probe", probe.label, "RUNNING", probe.child.pid, {}) for probe in running]
        launcher = self._facilities.launcher
        if isinstance(launcher, Templates):
            views += [
                ChildView("template", t.name, "RUNNING", t.process.pid, {}) for t in launcher.views() if t.process
            ]
        elif isinstance(launcher, ThreadLauncher):
            views += [ChildView("thread", "abandoned", "RUNNING", 0, {}, True)] * launcher.abandoned
        return views

    def close(self, timeout: float | None = None) -> None:
        """Stop everything, wait at most the graceful time-out, kill the rest, end the templates."""
        seconds = self._setup.graceful_ms / 1000 if timeout is None else timeout

        def stop_all() -> "Future[None]":
            runs = [run for roster in (self._tasks, self._connectors) for run in roster.all()]
            for probe in self._probes:
                probe.child.kill("the worker is closing")
            return together([run.stop(seconds) for run in runs])

        if self._is_lost:
            log.warning("connectors and tasks cannot be asked to stop: the thread that they hang on has died")
            return
        with contextlib.suppress(TimeoutError):
            _call(self._loop, stop_all).result(seconds + LAST_WAIT)
        self._loop.post(self._facilities.launcher.close)
        self._loop.close()


def _surroundings(setup: WorkerSetup, queue_bytes: int = 0) -> Surroundings:
    return Surroundings(
        worker=dict(setup.settings),
        epoch=setup.epoch,
        queue_bytes=queue_bytes,
        memory_max_bytes=setup.task_memory_max_bytes,
        lasting_ms=setup.poll_warn_ms,
        disabled=tuple(setup.disabled),
    )


def _call(loop: Loop, ask: "Callable[[], Future[Any]]") -> "Future[Any]":
    """Have `ask` called on the loop's thread and pass on the future that it gives, or its exception."""
    answer: Future[Any] = Future()

    def run() -> None:
        try:
            ask().add_done_callback(lambda done: _pass_on(done, answer))
        except WorkerError as error:
            answer.set_exception(error)

    loop.post(run)
    return answer


def share_out(runs: Mapping[TaskId, TaskRun], connector: str) -> None:
    """Tell each living task of a connector which reader of how many it is (a sink on the embedded log)."""
    living = [run for task, run in sorted(runs.items()) if task.connector == connector and run.reads_topics]
    for member, run in enumerate(living):
        run.reshare(member, len(living))


def _launcher(setup: WorkerSetup, loop: Loop, bare: Begun | None) -> Launcher:
    forks = setup.isolation == "process" and setup.start != "spawn" and sys.platform == "linux"
    if bare is not None and not forks:
        bare.end()
    if forks:
        return Templates(loop, _preload(setup), bare)
    return ThreadLauncher(loop) if setup.isolation == "thread" else Spawner(loop)


def _preload(setup: WorkerSetup) -> Preload:
    named = [setup.settings.get(f"{role}.converter") for role in ("key", "value", "header")]
    return Preload(
        modules=modules_for(setup.settings.get("bootstrap.servers") or ""),
        disabled=setup.disabled,
        converters=[name or SIMPLE_HEADERS for name in named],
    )


def _pass_on(done: "Future[Any]", answer: "Future[Any]") -> None:
    error = done.exception()
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


def _failed(known: "Future[Any]") -> bool:
    return known.done() and known.exception() is not None


def _view(kind: str, name: str, run: Supervised) -> ChildView:
    child = run.child if run.child is not None and not run.child.is_gone else None
    return ChildView(kind, name, run.state, child.pid if child else 0, run.metrics)
