"""What can go wrong in the worker, and the names that Connect's clients know it by.

MillstreamError (millstream_api)
├─ ConfigError         settings are wrong; .problems maps each setting to a sentence
├─ DataError           a value does not fit; .path says where in it
├─ RetriableError      the outside is away; the worker backs off and calls again
├─ PluginError         a distribution cannot be used
├─ WorkerError         the worker cannot do what was asked
│  ├─ RefusedConnectorError   one given at the start; .connector says which
│  ├─ NotFoundError        no such connector, task, plugin
│  ├─ ConflictError        it exists already, or is in a state that forbids it
│  ├─ NotLeaderError       another worker decides; .leader_url says which
│  ├─ RebalanceError       the group is about to change; ask again
│  ├─ IllegalStateError    a method was called at a time at which it has no meaning
│  └─ RemoteError          an error of a child process, told again here
│     └─ NoAnswerError     a child that was asked did not answer in time; .stack says where it was
└─ BrokerError         the log of records refuses; .retriable says whether asking again may help
   ├─ RecordTooLargeError
   ├─ UnknownTopicError
   └─ FencedError          a newer incarnation has taken over: stop at once
"""

import traceback
from collections.abc import Iterator

from millstream_api.errors import ConfigError, DataError, MillstreamError, PluginError, RetriableError

__all__ = [
    "BrokerError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "FencedError",
    "IllegalStateError",
    "MillstreamError",
    "NoAnswerError",
    "NotFoundError",
    "NotLeaderError",
    "PluginError",
    "RebalanceError",
    "RecordTooLargeError",
    "RefusedConnectorError",
    "RemoteError",
    "RetriableError",
    "UnknownTopicError",
    "WorkerError",
    "java_name",
    "message_of",
    "trace_of",
]

CONNECT = "org.apache.kafka.connect"
KAFKA = "org.apache.kafka.common"
MAX_FRAMES = 60
MAX_MESSAGE = 16_000


class WorkerError(MillstreamError):
    """The worker cannot do what was asked of it."""


class RefusedConnectorError(WorkerError):
    """A connector given at the start of the worker cannot be created; the message is that of its cause."""

    def __init__(self, connector: str, cause: BaseException) -> None:
        super().__init__(message_of(cause))
        self.connector = connector


class NotFoundError(WorkerError):
    """There is no connector, task or plugin of that name."""


class ConflictError(WorkerError):
    """It exists already, or is in a state that forbids what was asked."""


class NotLeaderError(WorkerError):
    """Another worker of the group decides this."""

    def __init__(self, message: str, leader_url: str | None = None) -> None:
        super().__init__(message)
        self.leader_url = leader_url


class RebalanceError(WorkerError):
    """The group is about to change, so that the answer would be wrong soon; asking again helps."""


class IllegalStateError(WorkerError):
    """A method was called at a time at which it has no meaning."""


class RemoteError(WorkerError):
    """An error of a child process as it was told over the channel.

    name:  what `java_name` gave in the child.
    trace: what `trace_of` gave in the child; `trace_of` gives it again here.
    """

    def __init__(self, name: str, message: str, trace: str) -> None:
        super().__init__(message)
        self.name = name
        self.trace = trace


class NoAnswerError(RemoteError):
    """A child that was asked something did not answer in time, and was ended.

    stack: where it was; empty if that could not be had.
    """

    def __init__(self, name: str, message: str, trace: str, stack: str) -> None:
        super().__init__(name, message, trace)
        self.stack = stack


class BrokerError(MillstreamError):
    """The log of records refuses.

    retriable: asking again may help.
    skippable: one record is at fault and others would be taken, so that `errors.tolerance=all` may leave it out.
    """

    def __init__(self, message: str, retriable: bool = False, skippable: bool = False) -> None:
        super().__init__(message)
        self.retriable = retriable
        self.skippable = skippable


class RecordTooLargeError(BrokerError):
    """A record is larger than its topic accepts."""

    def __init__(self, message: str) -> None:
        super().__init__(message, skippable=True)


class UnknownTopicError(BrokerError):
    """The topic, or the partition, does not exist and may not be created."""


class FencedError(BrokerError):
    """A newer incarnation of this writer exists: nothing more may be written."""


LAST_LINES = "The last lines of its output:"
"""In the trace of a child that ended without a word: what it had written stands below."""

JAVA_NAMES: dict[type[BaseException], str] = {
    MillstreamError: f"{CONNECT}.errors.ConnectException",
    ConfigError: f"{KAFKA}.config.ConfigException",
    DataError: f"{CONNECT}.errors.DataException",
    RetriableError: f"{CONNECT}.errors.RetriableException",
    PluginError: f"{CONNECT}.errors.ConnectException",
    WorkerError: f"{CONNECT}.errors.ConnectException",
    NotFoundError: f"{CONNECT}.errors.NotFoundException",
    ConflictError: f"{CONNECT}.errors.AlreadyExistsException",
    NotLeaderError: f"{CONNECT}.runtime.distributed.NotLeaderException",
    RebalanceError: f"{CONNECT}.runtime.distributed.RebalanceNeededException",
    IllegalStateError: f"{CONNECT}.errors.IllegalWorkerStateException",
    BrokerError: f"{KAFKA}.KafkaException",
    RecordTooLargeError: f"{KAFKA}.errors.RecordTooLargeException",
    UnknownTopicError: f"{KAFKA}.errors.UnknownTopicOrPartitionException",
    FencedError: f"{KAFKA}.errors.ProducerFencedException",
}
"""Our errors by the name that dashboards and scripts look for; a subclass has its nearest ancestor's."""


def java_name(error: BaseException) -> str:
    """Give the Java class name of one of our errors, `module.Class` of any other (built-in ones without module)."""
    if isinstance(error, RemoteError):
        return error.name
    if isinstance(error, BrokerError) and error.retriable and type(error) is BrokerError:
        return f"{KAFKA}.errors.RetriableException"
    for ancestor in type(error).__mro__:
        if ancestor in JAVA_NAMES:
            return JAVA_NAMES[ancestor]
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    """Give the error's text, whatever its `__str__` does, cut at 16,000 characters."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - a plugin's __str__ may raise; its error must be told all the same
        text = f"<the text of this error cannot be had: its __str__ raised {type(broken).__name__}>"
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}… ({len(text)} characters)"


def unexplained(error: BaseException) -> BaseException | None:
    """The error, for a traceback in the log, when it is not one of ours: those say in a sentence what an operator can
    do, and where they were raised helps nobody. A plain MillstreamError is as good as its cause."""
    cause: BaseException = error
    while type(cause) is MillstreamError and cause.__cause__ is not None:
        cause = cause.__cause__
    return None if isinstance(cause, MillstreamError) else error


def headline_of(trace: str) -> str:
    """A trace in one line for the log: messages, notes and causes, no frames."""
    told: list[str] = []
    frames = False
    for line in trace.split("\n"):
        if line.startswith(LAST_LINES):
            break
        if line.startswith("Caused by: "):
            told.append(f"caused by {line.removeprefix('Caused by: ')}")
            frames = False
        elif line.startswith(("\tat ", "\t... ", "\tSuppressed: ")):
            frames = True
        elif not frames and line.strip():
            told.append(line.strip())
    return "; ".join([*(each.rstrip(".") for each in told[:-1]), *told[-1:]])


def trace_of(error: BaseException) -> str:
    """Give the error and its causes in the shape of a Java stack trace, the innermost frame first.

    The first line is `<java_name>: <message>`, a frame `\\tat file:line in function`, a cause `Caused by: …`.
    """
    return "\n".join(_lines(error))


def _lines(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield from _one(cause, "Caused by: " if cause is not error else "")
        if cause.__cause__ is not None or cause.__suppress_context__:
            cause = cause.__cause__
        else:
            cause = cause.__context__


def _one(error: BaseException, prefix: str) -> Iterator[str]:
    if isinstance(error, RemoteError) and error.trace:
        yield prefix + error.trace.rstrip("\n")
        return
    message = message_of(error)
    yield f"{prefix}{java_name(error)}: {message}" if message else f"{prefix}{java_name(error)}"
    for note in getattr(error, "__notes__", ()):
        yield f"\t{note}"
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames[-MAX_FRAMES:]):
        yield f"\tat {_place(frame.filename)}:{frame.lineno} in {frame.name}"
    if len(frames) > MAX_FRAMES:
        yield f"\t... {len(frames) - MAX_FRAMES} more"
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from ("\t" + line for line in "\n".join(_one(member, "Suppressed: ")).split("\n"))


def _place(filename: str) -> str:
    return filename.rpartition("site-packages/")[2]
