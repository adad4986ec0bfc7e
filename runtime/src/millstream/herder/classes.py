"""What the herder asks of a connector's class, without importing it."""

from millstream.errors import MillstreamError
from millstream.herder.herder import Config, Kind
from millstream.host.channel import PluginTarget
from millstream.inventory.inventory import Inventory, Plugin

CLASS = "connector.class"


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


def class_name_of(inventory: Inventory, config: Config) -> str:
    """Its full name, whichever name the config has; the latter if it cannot be found."""
    try:
        return plugin_of(inventory, config).name
    except MillstreamError:
        return config.get(CLASS) or ""


def version_of(inventory: Inventory, config: Config) -> str | None:
    try:
        return plugin_of(inventory, config).reported_version
    except MillstreamError:
        return None


def target_of(plugin: Plugin) -> PluginTarget:
    """What a child needs to import the class."""
    return PluginTarget(plugin.target, plugin.name, plugin.kind.value, plugin.distribution, plugin.version)
