"""What a sink reads and in which group, as its settings say; a child is asked where those have `${…}`."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from millstream.broker.ports import SinkGroup
from millstream.herder.requests import Config
from millstream.host.channel import PluginTarget, RunProbe
from millstream.host.installed import listed
from millstream.settings.client import group_of

GROUP, TOPICS, REGEX = "consumer.override.group.id", "topics", "topics.regex"
EVERY = re.compile(".*", re.DOTALL)
ROUNDS = 20

Ask = Callable[[RunProbe], "Future[Any]"]


def question_of(name: str, config: Config, worker: Config, about: tuple[str, ...] = (GROUP,)) -> RunProbe | None:
    """What to ask a child, as only a child has config providers; None where nothing has to be resolved.

    worker: the worker's own settings, as written.   about: the settings of the sink that are looked at.
    """
    said = {setting: config[setting] for setting in about if setting in config}
    if not any("${" in (text or "") for text in (group_of(name, said, worker), *said.values())):
        return None
    return RunProbe("reading", PluginTarget(""), said, connector=name)


def reading_group(name: str, said: Config, worker: Config) -> SinkGroup:
    """What retention has to know.   said: settings of the sink; `${…}` in them tells nothing."""
    group = group_of(name, said, worker)
    topics, regex = said.get(TOPICS) or "", (said.get(REGEX) or "").strip()
    if "${" in topics + regex:  # of a group that is not known either nobody can say what it has read
        return SinkGroup(group, (), EVERY if "${" in group else None)
    try:
        return SinkGroup(group, tuple(listed(topics)), re.compile(regex) if regex else None)
    except re.error:  # its task has failed and says so
        return SinkGroup(group)


class Readings:
    """What sinks read, for one thread, which waits for no child: until one has answered, its sink holds up more than it
    has to. It is asked again every so many rounds, as what `${…}` stands for may change."""

    def __init__(self, ask: Ask, worker: Config) -> None:
        """worker: its own settings, as written."""
        self._ask = ask
        self._worker = worker
        self._round = 0
        self._asked: dict[str, _Asked] = {}

    def of(self, sinks: Mapping[str, Config]) -> list[SinkGroup]:
        """Give what each of these reads.   sinks: their settings, as written."""
        self._round += 1
        self._asked = {name: asked for name, asked in self._asked.items() if name in sinks}
        return [self._reading(name, config) for name, config in sinks.items()]

    def _reading(self, name: str, config: Config) -> SinkGroup:
        question = question_of(name, config, self._worker, (GROUP, TOPICS, REGEX))
        if question is None:
            return reading_group(name, config, self._worker)
        asked = self._asked.get(name)
        if asked is None or asked.question != question or asked.is_over(self._round):
            self._asked[name] = asked = _Asked(question, self._round, self._ask(question))
        if asked.answer.done() and asked.answer.exception() is None:
            return reading_group(name, asked.answer.result(), {})
        return reading_group(name, config, self._worker)


@dataclass(frozen=True, slots=True)
class _Asked:
    question: RunProbe
    in_round: int
    answer: "Future[Any]"

    def is_over(self, now: int) -> bool:
        """Whether it failed, as its task then does, which says so, or is no longer news."""
        return self.answer.done() and (self.answer.exception() is not None or now - self.in_round >= ROUNDS)
