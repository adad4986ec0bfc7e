"""Offsets read and moved by an operator: a sink's in its consumer group, a source's in the offsets topic."""

from collections.abc import Callable
from typing import Any

from millstream.errors import BrokerError, NotFoundError, WorkerError
from millstream.herder.classes import target_of
from millstream.herder.crew import Crew
from millstream.herder.groups import GROUP, question_of
from millstream.herder.offsets import as_json, not_stopped, nothing_given, outcome, sink_offsets
from millstream.herder.probing import probe
from millstream.herder.procedures import Procedure, aside
from millstream.herder.requests import Config, Offsets, Place
from millstream.host.channel import RunProbe
from millstream.host.masking import Veil
from millstream.identity import TargetState
from millstream.inventory.inventory import Plugin
from millstream.settings.client import group_of
from millstream.settings.plugins import Kind
from millstream.storage.offsets import normalised
from millstream_api import TopicPartition

Pairs = list[tuple[Place | None, Place | None]]
Group = tuple[str, Veil]
"""A group's name, and what hides it in sentences where a config provider gave it."""


class Moving:
    """Used by the herder's thread alone."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._stores = crew.stores

    def offsets_of(self, name: str) -> Procedure:
        """Every committed offset of a connector, in whatever state it is, as pairs. NotFoundError."""
        config = self._config(name)
        if self._plugin(config).kind is Kind.SINK:
            group = yield from self._group(name, config)
            return as_json((yield from self._about_group(group, self._stores.admin.group_offsets)))
        return [(dict(partition), dict(offset)) for partition, offset in self._stores.offsets.of(name)]

    def alter(self, name: str, offsets: Offsets) -> Procedure:
        """Set offsets of a stopped connector; gives the sentence that says so."""
        if not offsets:
            raise nothing_given()
        config = self._stopped(name)
        return (yield from self._move(name, config, offsets, "altered"))

    def reset(self, name: str) -> Procedure:
        """Forget all offsets of a stopped connector."""
        config = self._stopped(name)
        offsets = [(partition, None) for partition, _ in (yield from self.offsets_of(name))]
        return (yield from self._move(name, config, offsets, "reset"))

    def preset(self, name: str, config: Config, offsets: Offsets) -> Procedure:
        """Set offsets of a connector that is about to be created (KIP-995)."""
        yield from self._move(name, config, offsets, "altered")

    def _move(self, name: str, config: Config, offsets: Offsets, done: str) -> Procedure:
        plugin = self._plugin(config)
        sink = plugin.kind is Kind.SINK
        wanted = sink_offsets(offsets) if sink else {}
        pairs: Pairs = (
            _told(wanted) if sink else [(normalised(partition), normalised(offset)) for partition, offset in offsets]
        )
        arguments = {"offsets": [list(pair) for pair in pairs]}
        question = RunProbe("alter_offsets", target_of(plugin), config, arguments, name)
        examined = yield from probe(self._crew, question, f"modifying offsets for connector {name}")
        if sink:
            yield from self._move_group(name, (yield from self._group(name, config)), wanted, done)
        elif pairs:
            self._stores.offsets.write(name, pairs)
        return outcome(done, bool(examined))

    def _move_group(self, name: str, group: Group, wanted: dict[TopicPartition, int | None], done: str) -> Procedure:
        admin = self._stores.admin
        negative = next((at for at, offset in wanted.items() if offset is not None and offset < 0), None)
        if negative is not None:
            raise WorkerError(
                f"Failed to modify offsets for sink connector {name}: offset {wanted[negative]} of {negative.topic}-"
                f"{negative.partition} is negative; offsets begin at 0, and null forgets one"
            )
        verb = {"altered": "alter", "reset": "reset"}[done]

        def move(group: str) -> None:
            if done == "reset":
                admin.delete_group(group)
                return
            admin.alter_group_offsets(group, {at: offset for at, offset in wanted.items() if offset is not None})
            admin.delete_group_offsets(group, [at for at, offset in wanted.items() if offset is None])

        try:
            yield from self._about_group(group, move)
        except BrokerError as error:
            raise WorkerError(f"Failed to {verb} consumer group offsets for connector {name}: {error}") from error

    def _about_group(self, group: Group, question: Callable[[str], Any]) -> Procedure:
        """Ask the log at once, brokers on a thread of its own: they may be away, and the herder waits for nobody."""
        name, veil = group
        try:
            if not self._stores.remote:
                return question(name)
            return (yield aside("consumer groups", lambda: question(name)))
        except BrokerError as error:
            error.args = (veil(str(error)),)
            raise

    def _config(self, name: str) -> Config:
        config = self._stores.configs.snapshot().connectors.get(name)
        if config is None:
            raise NotFoundError(f"Connector {name} not found")
        return config

    def _stopped(self, name: str) -> Config:
        config = self._config(name)
        state = self._stores.configs.snapshot()
        if state.targets.get(name) is not TargetState.STOPPED or state.tasks_of(name):
            raise not_stopped(name)
        return config

    def _group(self, name: str, config: Config) -> Procedure:
        """The group that the tasks of a sink read in, which a child is asked for where settings have `${…}`."""
        worker, veil = self._crew.worker.settings, Veil()
        group = group_of(name, config, worker)
        if (question := question_of(name, config, worker)) is not None:
            told = yield from probe(self._crew, question, f"resolving the consumer group of connector {name}")
            veil.hide({group: told[GROUP]})
            group = told[GROUP]
        return group, veil

    def _plugin(self, config: Config) -> Plugin:
        return self._crew.inventory.find_connector(config.get("connector.class") or "")


def _told(wanted: dict[TopicPartition, int | None]) -> Pairs:
    """A sink's offsets as its `alter_offsets` sees them."""
    return [
        (
            {"kafka_topic": at.topic, "kafka_partition": at.partition},
            None if offset is None else {"kafka_offset": offset},
        )
        for at, offset in wanted.items()
    ]
