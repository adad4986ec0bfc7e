"""How a missing topic is made, and which topics a task has been active in (spec/runtime.md §2.6, §5.7)."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from millstream.broker.ports import NewTopic
from millstream.errors import ConfigError
from millstream_api.config import ConfigType, parse_value

DEFAULT = "default"
PREFIX = "topic.creation."


@dataclass(frozen=True, slots=True)
class CreationGroup:
    """`topic.creation.<name>.*`: topics whose whole name matches one of `include` and none of `exclude`.

    config: topic-level settings, passed on as they are.   given: those that the group has itself, beside `default`.
    """

    name: str
    partitions: int
    replication: int
    include: Sequence[re.Pattern[str]] = ()
    exclude: Sequence[re.Pattern[str]] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    given: Collection[str] = ()

    def matches(self, topic: str) -> bool:
        if self.name == DEFAULT:
            return True
        if any(pattern.fullmatch(topic) for pattern in self.exclude):
            return False
        return any(pattern.fullmatch(topic) for pattern in self.include)

    def topic(self, name: str) -> NewTopic:
        return NewTopic(name, self.partitions, self.replication, dict(self.config), self._asked_for())

    def _asked_for(self) -> str:
        numbers = {"partitions": self.partitions, "replication.factor": self.replication}
        settings = [
            f"{PREFIX}{self.name if key in self.given else DEFAULT}.{key}={value}" for key, value in numbers.items()
        ]
        return ", ".join([*settings, *(f"{PREFIX}{self.name}.{key}={value}" for key, value in self.config.items())])


@dataclass(frozen=True, slots=True)
class TopicCreation:
    """The groups in the order of `topic.creation.groups`, `default` last (TopicCreation.java)."""

    groups: Sequence[CreationGroup]

    def new_topic(self, name: str) -> NewTopic:
        """How to make a topic that does not exist: the first group that matches decides."""
        for group in self.groups:
            if group.matches(name):
                return group.topic(name)
        raise LookupError(f"no topic creation group for {name!r}: the default group is missing")


def topic_creation(settings: Mapping[str, str]) -> tuple[TopicCreation | None, Sequence[str]]:
    """Read `topic.creation.*` of a connector's settings: (groups, warnings).

    None when there is none: the broker makes missing topics. Checked when connector and task start, not by `validate`.
    Raises ConfigError with every problem.
    """
    own = {key.removeprefix(PREFIX): text for key, text in settings.items() if key.startswith(PREFIX)}
    if not own:
        return None, ()
    return _Reader(own).read()


class ActiveTopics:
    """The topics a task has been seen with; each is told once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def new(self, topics: Sequence[str]) -> Sequence[str]:
        """Those not seen before, once each, in order."""
        fresh = [topic for topic in dict.fromkeys(topics) if topic not in self._seen]
        self._seen.update(fresh)
        return fresh


class _Reader:
    """Settings `<group>.<key>` and `groups` with the prefix taken off."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = own
        self._problems: dict[str, str] = {}
        self._warnings: list[str] = []

    def read(self) -> tuple[TopicCreation, Sequence[str]]:
        default = self._default()
        named = [self._group(name, default) for name in self._names()]
        if self._problems:
            raise ConfigError(self._problems)
        return TopicCreation([*named, default]), self._warnings

    def _names(self) -> list[str]:
        names = _listed(self._own.get("groups", ""))
        if DEFAULT in names:
            self._warnings.append(
                f"{PREFIX}groups names the group 'default', which always exists and is tried last; remove it there"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            self._problem("groups", f"names {twice[0]!r} more than once; name each group once")
        known = {*names, DEFAULT}
        for key in self._own:
            group, dot, _ = key.partition(".")
            if dot and group not in known:
                self._warnings.append(f"{PREFIX}{key} is ignored: {PREFIX}groups does not name the group {group!r}")
        return [name for name in dict.fromkeys(names) if name != DEFAULT]

    def _default(self) -> CreationGroup:
        for ignored in ("include", "exclude"):
            if f"{DEFAULT}.{ignored}" in self._own:
                self._warnings.append(f"{PREFIX}{DEFAULT}.{ignored} is ignored: the default group takes every topic")
        replication = self._number(f"{DEFAULT}.replication.factor", None)
        partitions = self._number(f"{DEFAULT}.partitions", None)
        return CreationGroup(DEFAULT, partitions, replication, config=self._config(DEFAULT))

    def _group(self, name: str, default: CreationGroup) -> CreationGroup:
        return CreationGroup(
            name,
            self._number(f"{name}.partitions", default.partitions),
            self._number(f"{name}.replication.factor", default.replication),
            self._patterns(f"{name}.include", required=True),
            self._patterns(f"{name}.exclude"),
            self._config(name),
            {key for key in ("partitions", "replication.factor") if f"{name}.{key}" in self._own},
        )

    def _number(self, key: str, default: int | None) -> int:
        text = self._own.get(key)
        if text is None:
            if default is None:
                self._problem(
                    key, 'is missing; with any "topic.creation." setting it is required, -1 for the broker\'s'
                )
            return -1 if default is None else default
        try:
            number = parse_value(key, text, ConfigType.INT)
        except ConfigError:
            number = 0
        if number != -1 and number < 1:
            self._problem(key, f"is {text!r}; it must be -1 (the broker's default) or a whole number from 1")
        return int(number)

    def _patterns(self, key: str, required: bool = False) -> Sequence[re.Pattern[str]]:
        texts = _listed(self._own.get(key, ""))
        if required and not texts:
            self._problem(key, "is missing; give the regular expressions of the topics that the group is for")
        patterns = []
        for text in texts:
            try:
                patterns.append(re.compile(text))
            except re.error as error:
                self._problem(key, f"has {text!r}, which is no regular expression: {error}")
        return patterns

    def _config(self, name: str) -> Mapping[str, str]:
        start = f"{name}."
        taken = {"include", "exclude", "partitions", "replication.factor"}
        found = {key.removeprefix(start): text for key, text in self._own.items() if key.startswith(start)}
        return {key: text for key, text in found.items() if key not in taken}

    def _problem(self, key: str, sentence: str) -> None:
        self._problems[PREFIX + key] = f"{PREFIX}{key} {sentence}"


def _listed(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]
