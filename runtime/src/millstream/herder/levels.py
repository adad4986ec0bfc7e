"""Log levels at run time, by Java's rules and under both names: ours, and the Java packages that scripts name."""

import logging
import threading
from collections.abc import Mapping

from millstream.errors import NotFoundError
from millstream.herder.herder import Level
from millstream.lifecycle import Clock
from millstream.worker.worker import Worker

ROOT = "root"
OFF, FATAL, TRACE, ALL = 100, logging.CRITICAL, 5, 1
LEVELS = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": FATAL,
    "OFF": OFF,
    "ALL": ALL,
}
NAMES = {number: name for name, number in LEVELS.items()}
#: where the Java worker's loggers have their like, and the classes that its documentation names; the longest counts
JAVA_PREFIXES = {
    "org.apache.kafka.connect.runtime.rest": "millstream.rest",
    "org.apache.kafka.connect.runtime.isolation": "millstream.inventory",
    "org.apache.kafka.connect.runtime.standalone": "millstream.herder",
    "org.apache.kafka.connect.runtime.distributed": "millstream.herder",
    "org.apache.kafka.connect.runtime.errors": "millstream.pipeline",
    "org.apache.kafka.connect.runtime.WorkerSourceTask": "millstream.task.source",
    "org.apache.kafka.connect.runtime.WorkerSinkTask": "millstream.task.sink",
    "org.apache.kafka.connect.runtime.Worker": "millstream.worker.worker",
    "org.apache.kafka.connect.runtime": "millstream.worker",
    "org.apache.kafka.connect.storage": "millstream.storage",
    "org.apache.kafka.connect.file": "millstream_file",
    "org.apache.kafka.connect.json": "millstream_json",
    "org.apache.kafka.connect": "millstream",
}


def ours(name: str) -> str:
    """Our logger for a Java one; any other name is its own."""
    for prefix in sorted(JAVA_PREFIXES, key=len, reverse=True):
        if name == prefix:
            return JAVA_PREFIXES[prefix]
        if name.startswith(f"{prefix}."):
            return f"{JAVA_PREFIXES[prefix]}.{name.removeprefix(prefix).lstrip('.')}"
    return name


def level_name(number: int) -> str:
    """The level at or below this number of `logging`."""
    return NAMES[max((known for known in NAMES if known <= number), default=ALL)]


class Levels:
    """Any thread. Nothing survives a restart. Source: Loggers.java."""

    def __init__(self, worker: Worker, clock: Clock) -> None:
        self._worker = worker
        self._clock = clock
        self._lock = threading.Lock()
        self._changed: dict[str, int] = {}
        self._asked: dict[str, str] = {}  # names of Java's that were set -> ours

    def all(self) -> Mapping[str, Level]:
        """Every logger with a level of its own and `root`, by name."""
        with self._lock:
            names = {name for name in self._existing() if logging.getLogger(name).level != logging.NOTSET}
            found = {name: self._level(name, name) for name in names}
            found |= {asked: self._level(asked, own) for asked, own in self._asked.items()}
            found[ROOT] = self._level(ROOT, "")
        return dict(sorted(found.items()))

    def of(self, name: str) -> Level | None:
        with self._lock:
            if name.lower() == ROOT:
                return self._level(ROOT, "")
            if name in self._asked:
                return self._level(name, self._asked[name])
            own = ours(name)
            return self._level(name, own) if own in self._existing() else None

    def set(self, namespace: str, level: str) -> list[str]:
        """Set the level of every logger whose name begins with `namespace`; gives the names of those that had another.

        NotFoundError for an unknown level: 404, as in Java.
        """
        number = LEVELS.get(level.upper())
        if number is None:
            raise NotFoundError(f"invalid log level '{level}'.")
        with self._lock:
            matched = self._matched(namespace)
            before = {asked: self._level(asked, own).level for asked, own in matched.items()}
            changed = sorted(asked for asked, had in before.items() if had != level_name(number))
            for own in matched.values():
                logging.getLogger(own or None).setLevel(number)
            self._changed.update(dict.fromkeys(changed, self._clock.now_ms()))
            if namespace.lower() != ROOT:
                self._asked[namespace] = ours(namespace)
        self._worker.set_levels({own or ROOT: number for own in {*matched.values(), ours(namespace)} if own != ROOT})
        return changed

    def _matched(self, namespace: str) -> dict[str, str]:
        """It and the names that begin with it (no dot needed), each with our logger's."""
        if namespace.lower() == ROOT:
            return {ROOT: "", **{name: name for name in self._existing()}, **self._asked}
        own = ours(namespace)
        found = {name: name for name in self._existing() if name.startswith(own)}
        if own != namespace:
            found = {namespace + name.removeprefix(own): name for name in found}
        found |= {asked: to for asked, to in self._asked.items() if asked.startswith(namespace)}
        return {namespace: own, **found}

    def _level(self, asked: str, own: str) -> Level:
        effective = logging.getLogger(own or None).getEffectiveLevel()
        return Level(level_name(effective), self._changed.get(asked))

    def _existing(self) -> list[str]:
        known = logging.root.manager.loggerDict
        return [name for name, logger in list(known.items()) if isinstance(logger, logging.Logger)]
