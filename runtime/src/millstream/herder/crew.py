"""Whom the rooms of the herder work with, and what they all ask of a connector's class."""

from collections.abc import Callable
from dataclasses import dataclass

from millstream.errors import MillstreamError
from millstream.herder.herder import Config, Kind
from millstream.herder.procedures import Agenda
from millstream.herder.stages import Stages
from millstream.herder.states import States
from millstream.host.channel import PluginTarget
from millstream.inventory.inventory import Inventory, Plugin
from millstream.metrics.readings import WorkerMetrics
from millstream.storage.configs import ConfigStore
from millstream.worker.worker import Worker

CLASS = "connector.class"


@dataclass(frozen=True, slots=True)
class Crew:
    """changed: called after each change that readers should see."""

    worker: Worker
    inventory: Inventory
    configs: ConfigStore
    states: States
    agenda: Agenda
    stages: Stages
    metrics: WorkerMetrics
    changed: Callable[[], None]


def plugin_of(inventory: Inventory, config: Config) -> Plugin:
    """The class of a connector. PluginError if there is none."""
    return inventory.find_connector(config.get(CLASS) or "")


def kind_of(inventory: Inventory, config: Config) -> Kind:
    """`unknown` if its class cannot be found."""
    try:
        kind = plugin_of(inventory, config).kind.value
    except MillstreamError:
        return "unknown"
    return "source" if kind == "source" else "sink"


def version_of(inventory: Inventory, config: Config) -> str | None:
    try:
        return plugin_of(inventory, config).reported_version
    except MillstreamError:
        return None


def target_of(plugin: Plugin) -> PluginTarget:
    """What a child needs to import the class."""
    return PluginTarget(plugin.target, plugin.name, plugin.kind.value, plugin.distribution, plugin.version)
