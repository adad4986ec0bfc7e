"""A connector in its child: start, monitor, task configs, stop (spec/runtime.md §5.1)."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from millstream.errors import ConfigError, PluginError, WorkerError, message_of, unexplained
from millstream.host.asking import Asking
from millstream.host.channel import (
    Aim,
    Answer,
    Ask,
    Cancel,
    ChildEnd,
    Failure,
    Message,
    Progressed,
    Reconfigure,
    Resolved,
    RunConnector,
    StateChanged,
    Stop,
)
from millstream.host.installed import Places, parsed, plugin_class
from millstream.host.monitoring import Attendance
from millstream.host.stored import StoredOffsets
from millstream.identity import State, TargetState
from millstream.lifecycle import Spawned, StopToken, SystemClock, spawn
from millstream.settings.substitution import Resolution, variables
from millstream_api import Connector, Place

log = logging.getLogger(__name__)

RELOAD = "config.action.reload"
REST_SECONDS = 10.0  # without a question, a connector that has nothing to watch lets its process go
MONITOR = " monitor"  # its thread has the child's name and this
LOOK_SECONDS = 1.0  # how often it is looked whether the monitor comes back to its context
MONITOR_SECONDS = 3.0  # for a monitor to see that it is time to stop; the worker kills after 5


class TooManyTasksError(WorkerError):
    """A connector gave more task configs than `tasks.max` allows."""


class _Failed:
    """What the connector gave to `context.fail`, among what is to be done."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Context:
    """The connector's context; its methods are called on any thread."""

    def __init__(self, body: "ConnectorBody", stop: StopToken, stored: StoredOffsets, monitor: Attendance) -> None:
        self._body = body
        self._stop = stop
        self._stored = stored
        self._monitor = monitor

    def wait(self, seconds: float) -> bool:
        with self._monitor.seen():
            return self._stop.wait(seconds)

    def fail(self, error: Exception) -> None:
        with self._monitor.seen():
            self._body.put(_Failed(error))

    def progress(self, done: int, total: int | None = None, unit: str = "records", of: str = "") -> None:
        with self._monitor.seen():
            self._body.end.tell(Progressed(done, total, unit, of))

    def request_reconfiguration(self) -> None:
        with self._monitor.seen():
            self._body.end.tell(Reconfigure())

    def offset(self, partition: Place) -> Place | None:
        with self._monitor.seen():
            return self._stored.offsets([partition])[0]

    def offsets(self, partitions: Iterable[Place]) -> Sequence[Place | None]:
        with self._monitor.seen():
            return self._stored.offsets(list(partitions))


class Instance:
    """One object of the plugin's class, from `start` to `stop`; both are called once on it (Java starts it again)."""

    def __init__(self, plugin: Connector[Any], stop: StopToken, label: str, attendance: Attendance) -> None:
        self.plugin = plugin
        self._stop = stop
        self._label = label
        self.attendance = attendance
        self._monitor: Spawned | None = None

    def start(self, on_failure: Callable[[BaseException], None]) -> None:
        self.plugin.start()
        if type(self.plugin).monitor is Connector.monitor:
            return

        def ended(error: BaseException | None) -> None:
            if error is not None and not self._stop.is_set:
                on_failure(error)

        self._monitor = spawn(f"{self._label}{MONITOR}", lambda _: self._watch(), stop=self._stop, on_death=ended)

    def _watch(self) -> None:
        self.attendance.begin()
        try:
            self.plugin.monitor()
        finally:
            self.attendance.end()

    def halt(self) -> None:
        """Stop it; what its `stop` raises goes up."""
        self._stop.set()
        if self._monitor is not None and not self._monitor.join(MONITOR_SECONDS):
            log.warning("the monitor did not see within %.0f s that it is time to stop", MONITOR_SECONDS)
        self.plugin.stop()


class ConnectorBody:
    """Runs one connector on the calling thread; the worker's lines come through a queue."""

    def __init__(self, run: RunConnector, end: ChildEnd) -> None:
        self.end = end
        self._run = run
        self._is_quiet = run.quiet
        self._places = Places(run.around)
        end.veil = self._places.veil
        self._todo: SimpleQueue[Message | _Failed] = SimpleQueue()
        self._stop = StopToken()
        self._asking = Asking(end)
        self._stored = StoredOffsets(run.connector, self._places, self._asking)
        self._instance: Instance | None = None
        self._clock = SystemClock()
        self._lasting_s = run.around.lasting_ms / 1000
        self._look_s = min(LOOK_SECONDS, self._lasting_s)

    def hear(self, message: Message) -> None:
        if isinstance(message, Answer):
            self._asking.answered(message)
            return
        if isinstance(message, Cancel):
            self._asking.over.set()
            return
        if isinstance(message, Stop) or (isinstance(message, Aim) and message.target != TargetState.STARTED.value):
            self._stop.set()  # who is in `context.wait` on the plugin's thread comes back to us
        self.put(message)

    def put(self, thing: "Message | _Failed") -> None:
        self._todo.put(thing)

    def run(self) -> bool:
        """Until the worker says Stop, the connector fails, or it has nothing to do until it is asked (true)."""
        kind = plugin_class(self._run.plugin)
        watches = kind.monitor is not Connector.monitor
        may_rest = kind.start is Connector.start and not watches
        patience = REST_SECONDS if may_rest else self._look_s if watches else None
        try:
            self._aim(kind, TargetState(self._run.target))
            while True:
                if watches and self._instance is not None:
                    self._instance.attendance.look(self.end.tell)
                try:
                    thing = self._todo.get(timeout=patience)
                except Empty:
                    if watches:
                        continue
                    self._halt_quietly()  # it goes on being RUNNING, and its tasks run
                    return True
                if isinstance(thing, Stop):
                    self._halt()
                    self._tell(State.UNASSIGNED)
                    return False
                self._do(kind, thing)
                if may_rest and isinstance(thing, Ask) and self._todo.empty():
                    self._halt_quietly()
                    return True
        except BaseException as error:  # noqa: BLE001 - start, stop, task_configs are the plugin's
            self.end.tell(StateChanged(State.FAILED.value, Failure.of(error)))
            self._halt_quietly()
            return False
        finally:
            try:
                self._stored.close()
            finally:
                self._places.close()

    def _do(self, kind: type[Connector[Any]], thing: "Message | _Failed") -> None:
        if isinstance(thing, _Failed):
            raise thing.error
        if isinstance(thing, Aim):
            self._is_quiet = False
            self._aim(kind, TargetState(thing.target))
        elif isinstance(thing, Ask):
            self._answer(kind, thing)

    def _aim(self, kind: type[Connector[Any]], target: TargetState) -> None:
        if target is TargetState.STARTED:
            if self._instance is None:
                self._stop = StopToken()
                attendance = Attendance(self._clock, self._lasting_s)
                self._instance = Instance(self._made(kind, attendance), self._stop, self._run.label, attendance)
                self._instance.start(lambda error: self.put(_Failed(error)))
            self._tell(State.RUNNING)
        elif target is TargetState.PAUSED:
            self._halt()
            self._tell(State.PAUSED)
        else:
            self._halt_quietly()  # an exception while stopping is STOPPED all the same (§5.1)
            self._tell(State.STOPPED)

    def _made(self, kind: type[Connector[Any]], attendance: Attendance) -> Connector[Any]:
        raw = self._run.settings
        resolution = self._places.resolution(raw)
        if resolution.settings != raw:
            self.end.tell(told_of(resolution))
        config = parsed(kind.config_class, resolution.settings, raw)
        return kind(config, _Context(self, self._stop, self._stored, attendance))

    def _halt(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.halt()

    def _halt_quietly(self) -> None:
        try:
            self._halt()
        except BaseException:
            log.exception("the connector's stop raised an error")

    def _tell(self, state: State) -> None:
        if not self._is_quiet:
            self.end.tell(StateChanged(state.value))

    def _answer(self, kind: type[Connector[Any]], ask: Ask) -> None:
        if ask.what != "task_configs":
            self.end.tell(
                Answer(ask.number, failure=Failure.of(WorkerError(f"a connector has no answer to {ask.what!r}")))
            )
            return
        if self._instance is None:
            text = f"connector {self._run.connector!r} gives no task configs: it is not started"
            self.end.tell(Answer(ask.number, failure=Failure.of(WorkerError(text))))
            return
        try:
            configs = self._task_configs(self._instance.plugin, ask.arguments["max_tasks"])
        except BaseException as error:
            self.end.tell(Answer(ask.number, failure=Failure.of(error)))
            if isinstance(error, TooManyTasksError) or not isinstance(error, Exception):
                raise
            if unexplained(error):  # what says all in a sentence the worker tells, with when it tries again
                log.exception("task_configs raised an error")
            return
        self.end.tell(Answer(ask.number, configs))

    def _task_configs(self, plugin: Connector[Any], max_tasks: int) -> list[dict[str, str | None]]:
        own = own_configs(plugin, max_tasks)
        if len(own) > max_tasks:
            self._too_many(len(own), max_tasks)
        task_class: type[Any] = plugin.task_class  # type: ignore[attr-defined]  # both kinds of connector have it
        name = task_class_name(self._run.plugin.name, task_class)
        return [complete(self._run.settings, config, name) for config in own]

    def _too_many(self, count: int, max_tasks: int) -> None:
        settings = self._places.resolved(self._run.settings)
        if (settings.get("tasks.max.enforce") or "true").strip().lower() == "false":
            log.warning(
                "The connector %s has generated %d tasks, which is greater than %d, the maximum number of tasks it is "
                "configured to create. This behavior should be considered a bug and will be disallowed in future "
                "releases.",
                self._run.connector, count, max_tasks,
            )  # fmt: skip
            return
        raise TooManyTasksError(too_many_tasks(self._run.connector, count, max_tasks))


def told_of(resolution: Resolution) -> Resolved:
    """What the worker is to know of settings that came from config providers."""
    content = json.dumps(resolution.settings, sort_keys=True).encode()
    reload = (resolution.settings.get(RELOAD) or "restart").strip().lower()
    return Resolved(hashlib.sha256(content).hexdigest(), {} if reload == "none" else dict(resolution.ttls))


def too_many_tasks(connector: str, count: int, max_tasks: int) -> str:
    """Java's sentence (TooManyTasksException.java)."""
    return (
        f"The connector {connector} has generated {count} tasks, which is greater than {max_tasks}, the maximum number "
        "of tasks it is configured to create. This behaviour should be considered a bug and is disallowed. If "
        "necessary, it can be permitted by reconfiguring the connector with 'tasks.max.enforce' set to false; however, "
        "this option will be removed in a future release of Kafka Connect."
    )


def complete(raw: Mapping[str, str | None], own: Mapping[str, str], task_class: str) -> dict[str, str | None]:
    """Give a task's settings as they are stored: the connector's raw ones, the task's own, `task.class` (§2.8).

    Where the connector's raw value holds a variable it stays, whatever the task gave (the reverse transform of §3.2):
    no secret reaches the config topic.
    """
    kept = {name: value for name, value in raw.items() if value is not None and variables(value)}
    return {**raw, **own, **kept, "task.class": task_class}


def task_class_name(connector: str, task_class: type[Any]) -> str:
    """Give what `task.class` says: the task's own `java_name`, else for a Java connector its name with `Task`."""
    named = getattr(task_class, "java_name", None)
    if isinstance(named, str):
        return named
    if ":" not in connector and connector.endswith("Connector"):
        return connector.removesuffix("Connector") + "Task"
    return f"{task_class.__module__}:{task_class.__qualname__}"


def own_configs(plugin: Connector[Any], max_tasks: int) -> list[dict[str, str]]:
    """Ask for the tasks' own settings. Raises PluginError or ConfigError for what is no list of text by text."""
    given: object = plugin.task_configs(max_tasks)
    if not isinstance(given, Iterable) or isinstance(given, Mapping | str):
        what = f"{type(plugin).__name__}.task_configs gave a {type(given).__name__}"
        raise PluginError(f"{what}; it must give a list of mappings, one a task, [] for none")
    return [_text(config, plugin) for config in given]


def _text(config: Any, plugin: Connector[Any]) -> dict[str, str]:
    if not isinstance(config, Mapping):
        raise ConfigError({"": f"{type(plugin).__name__}.task_configs gave {type(config).__name__}; expected mappings"})
    for name, value in config.items():
        if not isinstance(name, str) or not isinstance(value, str):
            problem = (
                f"{type(plugin).__name__}.task_configs gave {type(value).__name__} for {message_of(KeyError(name))}"
            )
            raise ConfigError({str(name): f"{problem}; settings are text"})
    return dict(config)
