"""What a worker's own settings ask of the inventory."""

from millstream.errors import ConfigError, PluginError
from millstream.inventory.inventory import Inventory
from millstream.settings.plugins import Kind
from millstream.settings.worker import StandaloneConfig


def check_converters(config: StandaloneConfig, inventory: Inventory) -> None:
    """Raise ConfigError for converters that are not installed: every connector that names none would fail of them."""
    problems = []
    for setting, kind, name in (
        ("key.converter", Kind.CONVERTER, config.key_converter),
        ("value.converter", Kind.CONVERTER, config.value_converter),
        ("header.converter", Kind.HEADER_CONVERTER, config.header_converter),
    ):
        try:
            inventory.find(kind, name)
        except PluginError as error:
            problems.append((setting, f"Invalid value {name} for configuration {setting}: {error}"))
    if problems:
        raise ConfigError(problems)
