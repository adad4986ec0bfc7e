"""What goes wrong, as one tree.

MillstreamError
├─ ConfigError         settings are wrong; .problems maps each setting to a sentence; all reported at once
├─ DataError           a value does not fit; .path says where in it
├─ RetriableError      the outside is away; the worker backs off and calls again
├─ PluginError         a distribution cannot be used
└─ WorkerError         (the runtime's own: not found, conflict, …)
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["ConfigError", "DataError", "MillstreamError", "PluginError", "Problem", "RetriableError"]


class Problem(NamedTuple):
    """What is wrong with one setting.

    setting:   its dotted name, such as `interval.ms`.
    sentence:  says what would be right. Never holds a secret.
    """

    setting: str
    sentence: str


class MillstreamError(Exception):
    """Whatever Millstream raises on purpose. Plugins raise one of its children, as narrow as can be.

    Source: ConnectException.java.
    """


class ConfigError(MillstreamError):
    """Settings are wrong.

    problems:  each wrong setting with its sentence, in the order found; several sentences about one
               setting are joined by a space.
    found:     the same one by one, as they were given.

    Source: ConfigException.java, which tells of one setting alone.
    """

    problems: Mapping[str, str]
    found: tuple[Problem, ...]

    def __init__(self, problems: Mapping[str, str] | Iterable[Problem | tuple[str, str]]) -> None:
        pairs = problems.items() if isinstance(problems, Mapping) else problems
        self.found = tuple(Problem(*pair) for pair in pairs)
        joined: dict[str, str] = {}
        for setting, sentence in self.found:
            joined[setting] = f"{joined[setting]} {sentence}" if setting in joined else sentence
        self.problems = joined
        super().__init__(self.found)

    def __str__(self) -> str:
        return "\n".join(
            sentence if _names(sentence, setting) else f"{setting}: {sentence}" for setting, sentence in self.found
        )


def _names(sentence: str, setting: str) -> bool:
    """Whether a sentence names the setting itself, as Java's do, and is meant to stand alone."""
    forms = (f"configuration {setting}", f"'{setting}'", f'"{setting}"')
    begins = "." in setting and sentence.startswith((f"{setting} ", f"{setting}="))
    return not setting or begins or any(form in sentence for form in forms)


class DataError(MillstreamError):
    """A value does not fit its schema, or bytes cannot be read.

    path:  where in the value, such as `items[3].price`; empty for the value as a whole.

    The message names types and places; it quotes no record contents beyond the first bytes that a
    converter cannot read. Source: DataException.java.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class RetriableError(MillstreamError):
    """The outside is away for now: the worker waits, and calls again.

    From `poll` without end, after a pause of 0.1 s that doubles up to 5 s; from `put` without end, with the same
    batch, see `SinkContext.retry_in`; from transformations, predicates and converters within
    `errors.retry.timeout`, by default not at all. The record whose time is over is skipped, with
    `errors.tolerance=none` too, as in Java. Raised by whatever else a plugin has it is an error like any other.
    Source: RetriableException.java, RetryWithToleranceOperator.java.
    """


class PluginError(MillstreamError):
    """A plugin or its distribution cannot be used; the message names it and says what to do."""
