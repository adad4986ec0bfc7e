"""What the worker and its children say to each other: dataclasses, one JSON object a line, over a stream socket.

Never pickle: a line from a child is data. A field that the reader does not know is dropped, a message that it does not
know is an `Unknown`, so that a template that outlives an upgrade of the files on disk still understands its worker.
Errors travel as type, message and trace (`Failure`).

    worker ─▶ child   RunTask | RunConnector | RunProbe (the first line), Aim, Stop, SetLevels, Ask, Answer
    child ─▶ worker   Hello, StateChanged, TopicSeen, Counted, Progressed, Lasting, Reconfigure, Resolved, Ask,
                      Answer, Ended
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin

from millstream.errors import RemoteError, java_name, message_of, trace_of

MAX_LINE = 64 * 1024 * 1024  # a line longer than this is no message of ours

Settings = Mapping[str, str | None]
"""Settings as stored: text, `${provider:path:key}` unresolved."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the other side: the name by which Connect's clients know it, its text, its trace."""

    kind: str
    message: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Tell `error`, whatever its `__str__` does."""
        return cls(java_name(error), message_of(error), trace_of(error))

    def behind(self, veil: Callable[[str], str]) -> "Failure":
        """Give the same without what `veil` hides."""
        return Failure(self.kind, veil(self.message), veil(self.trace))

    def error(self) -> RemoteError:
        """Give it as an exception of this side."""
        return RemoteError(self.kind, self.message, self.trace)


@dataclass(frozen=True, slots=True)
class PluginTarget:
    """One plugin class, found by the worker's inventory, to be imported by the child.

    target:       "module:Class".
    name:         what REST shows: its Java class name, else the target.
    distribution: whose template the child is forked from, and with `version` the key of cached definitions.
    """

    target: str
    name: str = ""
    kind: str = ""
    distribution: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every child is told of its worker.

    worker:           the worker's properties as written, `${…}` unresolved.
    epoch:            of this start of the worker on the embedded log; a transaction with an older one is refused.
    levels:           log levels by logger name (`root` for the root), numbers of `logging`.
    queue_bytes:      the task's share of memory for producer or consumer queues; 0: not divided.
    memory_max_bytes: RLIMIT_DATA of the child; 0: none.
    lasting_ms:       a call of the plugin that is longer is told.
    disabled:         distributions or entry points that the inventory leaves out.
    """

    worker: Settings = field(default_factory=dict)
    epoch: int = 0
    levels: Mapping[str, int] = field(default_factory=dict)
    queue_bytes: int = 0
    memory_max_bytes: int = 0
    lasting_ms: int = 60_000
    disabled: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RunTask:
    """Run task `task` of connector `connector`.

    connector_settings: the connector's, raw.   settings: the task's own, raw.
    target:             TargetState name.
    task_count:         how many tasks are stored for the connector, for the check against tasks.max (§2.8).
    member, members:    which of how many readers of a sink's topics it is, where the worker deals them out (embedded).
    """

    connector: str
    task: int
    plugin: PluginTarget = field(metadata={"of": PluginTarget})
    connector_settings: Settings = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)
    target: str = "STARTED"
    task_count: int = 1
    member: int = 0
    members: int = 1
    around: Surroundings = field(default_factory=Surroundings, metadata={"of": Surroundings})

    @property
    def label(self) -> str:
        """Who speaks in the log, Kafka's form."""
        return f"{self.connector}|task-{self.task}"


@dataclass(frozen=True, slots=True)
class RunConnector:
    """Run the connector: start, monitor, task configs, stop.

    quiet: it ran before and rests (it overrides neither start nor monitor): nothing is told of its state.
    """

    connector: str
    plugin: PluginTarget = field(metadata={"of": PluginTarget})
    settings: Settings = field(default_factory=dict)
    target: str = "STARTED"
    quiet: bool = False
    around: Surroundings = field(default_factory=Surroundings, metadata={"of": Surroundings})

    @property
    def label(self) -> str:
        return f"{self.connector}|worker"


@dataclass(frozen=True, slots=True)
class RunProbe:
    """Answer one question about a plugin and end. What there is to ask: `host/probe.py`.

    arguments: JSON-clean, what the question needs beyond plugin and settings.
    """

    what: str
    plugin: PluginTarget = field(metadata={"of": PluginTarget})
    settings: Settings = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    connector: str = ""
    around: Surroundings = field(default_factory=Surroundings, metadata={"of": Surroundings})

    @property
    def label(self) -> str:
        return f"{self.connector or self.plugin.name or self.plugin.target}|{self.what}"


@dataclass(frozen=True, slots=True)
class Aim:
    """The target state is now this."""

    target: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End in an orderly way; who does not is killed at the worker's deadline."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Patience is over: tell, commit and wait for nothing any more (§5.6)."""


@dataclass(frozen=True, slots=True)
class Reshare:
    """A sink task is reader `member` of `members` now: a sister came or went (embedded log)."""

    member: int
    members: int


@dataclass(frozen=True, slots=True)
class SetLevels:
    """Log levels by logger name, numbers of `logging`; 0 takes a level back."""

    levels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the other side; it is answered by `Answer` with the same number."""

    number: int
    what: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    number: int
    result: Any = None
    failure: Failure | None = field(default=None, metadata={"of": Failure})


@dataclass(frozen=True, slots=True)
class Hello:
    """The child's half runs, and has read its first line.

    pid: 0 in a thread of the worker.   thread: the ident of the thread that runs plugin code, for its stack.
    """

    pid: int
    thread: int = 0


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The connector or task is now in `state` (name of identity.State); `failure` says why it FAILED.

    from_outside: somebody else ended its process.   no_room: it could not begin for want of what may be there later.
    """

    state: str
    failure: Failure | None = field(default=None, metadata={"of": Failure})
    from_outside: bool = False
    no_room: bool = False

    @property
    def trace(self) -> str | None:
        return self.failure.trace if self.failure else None


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """First time this task wrote to or read from the topic."""

    topic: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Metrics by Java's attribute name (§11), as they are now."""

    values: Mapping[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Progressed:
    """What the plugin said by `context.progress`."""

    done: int
    total: int | None = None
    unit: str = "records"
    of: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a child logged or printed. Made by the worker from the child's output, for those who watch it."""

    level: int
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class Lasting:
    """A task, or a connector's monitor, has been in one call of its plugin for long. Of a task the worker makes it.

    seconds: 0: a monitor that was is no longer.   stack: where it is; empty if that could not be had.
    """

    seconds: float
    stack: str


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """The connector asks for new task configs (`context.request_reconfiguration`)."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A connector starts with settings that came from config providers.

    fingerprint: of all its settings, another one when a provider gave something else.
    ttls:        path in a provider -> ms after which what it gave is stale and the connector is to start again.
    """

    fingerprint: str
    ttls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """The last line: the child goes of its own accord. `rested`: a connector with nothing to do until it is asked."""

    rested: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """A line of another version: its kind, and what it held."""

    kind: str
    content: Mapping[str, Any]


Run = RunTask | RunConnector | RunProbe
Message = (
    Run | Aim | Stop | Cancel | Reshare | SetLevels | Ask | Answer | Hello | StateChanged | TopicSeen | Counted
    | Progressed | LogLine | Lasting | Reconfigure | Resolved | Ended | Unknown
)  # fmt: skip
Event = StateChanged | TopicSeen | Counted | Progressed | LogLine | Lasting | Reconfigure | Resolved
"""What the owner of a connector or task hears from the worker."""

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        RunTask, RunConnector, RunProbe, Aim, Stop, Cancel, Reshare, SetLevels, Ask, Answer, Hello, StateChanged,
        TopicSeen, Counted, Progressed, LogLine, Lasting, Reconfigure, Resolved, Ended,
    )
}  # fmt: skip


def _types(annotation: Any) -> frozenset[type[Any]]:
    """What JSON makes of a field of this kind; nothing: it may be anything."""
    if annotation is Any:
        return frozenset()
    if isinstance(annotation, UnionType):
        return frozenset().union(*map(_types, get_args(annotation)))
    kind = get_origin(annotation) or annotation
    return _OF_JSON.get(kind, frozenset({kind}))


_OF_JSON: dict[Any, frozenset[type[Any]]] = {
    Mapping: frozenset({dict}),
    Sequence: frozenset({list}),
    float: frozenset({float, int}),
}


class _Part(NamedTuple):
    """What there is to know of a field, found out once: a child that asks `fields` writes to 23 pages more."""

    name: str
    of: type[Any] | None
    expected: frozenset[type[Any]]
    is_required: bool


_PARTS = {
    kind: tuple(
        _Part(
            part.name,
            part.metadata.get("of"),
            _types(part.type),
            part.default is MISSING and part.default_factory is MISSING,
        )
        for part in fields(kind)
    )
    for kind in (*_KINDS.values(), PluginTarget, Surroundings, Failure)
}
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


def encode(message: Message) -> bytes:
    """Give the message as one line. Raises TypeError or ValueError for a content that is not JSON-clean."""
    return _ENCODER.encode({"is": type(message).__name__, **_plain(message)}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Read one line. Raises ValueError for one that is no message, naming its beginning."""
    try:
        content = _DECODER.decode(line.decode())
        kind = content.pop("is")
        known = _KINDS.get(kind)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{line[:80]!r} is no message of the channel: expected a JSON object with 'is'") from error
    if known is None:
        return Unknown(str(kind), content)
    message: Message = _build(known, content)
    return message


def _plain(value: Any) -> dict[str, Any]:
    named = {part.name: getattr(value, part.name) for part in _PARTS[type(value)]}
    return {name: _plain(held) if type(held) in _PARTS else held for name, held in named.items()}


def _build(kind: type[Any], content: Mapping[str, Any]) -> Any:
    given = {}
    for name, nested, expected, is_required in _PARTS[kind]:
        if name in content:
            value = content[name]
            given[name] = built = _build(nested, value) if nested and isinstance(value, dict) else value
            if expected and type(built) not in expected:
                right = " or ".join(sorted(each.__name__ for each in expected))
                raise ValueError(f"the message {kind.__name__} has {name}={value!r:.80}: expected {right}")
        elif is_required:
            raise ValueError(f"the message {kind.__name__} lacks {name!r}: {str(dict(content))[:200]}")
    return kind(**given)


class Lines:
    """Cuts a stream into lines, whatever pieces it comes in."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Give the lines that `data` completes. Raises ValueError when a line grows beyond 64 MB."""
        first, *others = data.split(b"\n")
        self._begun += first
        if not others:
            whole: list[bytes] = []
        else:
            *rest, begun = others
            whole = [bytes(self._begun), *rest]
            self._begun = bytearray(begun)
        if len(self._begun) > MAX_LINE:
            raise ValueError(f"a line of the channel is longer than {MAX_LINE} bytes: {bytes(self._begun[:80])!r}")
        return whole


class ChildEnd:
    """The child's end of the channel: any thread tells, one thread listens.

    veil: is called with the text of each failure, and gives what may be told of it.
    """

    def __init__(self, stream: socket.socket) -> None:
        self.veil: Callable[[str], str] = str
        self._stream = stream
        self._telling = threading.Lock()
        self._lines = Lines()

    def tell(self, message: Message) -> None:
        """Send one message. A worker that is gone is no error: the listening thread ends this child."""
        if isinstance(message, StateChanged | Answer) and message.failure is not None:
            message = replace(message, failure=message.failure.behind(self.veil))
        line = encode(message)
        with self._telling:
            try:
                self._stream.sendall(line)
            except OSError:
                return

    def listen(self) -> Iterator[Message]:
        """Give what the worker says until its end is closed."""
        while True:
            try:
                data = self._stream.recv(65536)
            except OSError:
                data = b""
            if not data:
                return
            for line in self._lines.feed(data):
                yield decode(line)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the worker closed its end first
            self._stream.shutdown(socket.SHUT_RDWR)  # wakes the thread that listens
        self._stream.close()
