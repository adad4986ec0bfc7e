"""What settings need to know about plugins; the inventory knows it."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol


class Kind(Enum):
    """A kind of plugin; the value is what REST calls it."""

    SINK = "sink"
    SOURCE = "source"
    TRANSFORMATION = "transformation"
    PREDICATE = "predicate"
    CONVERTER = "converter"
    HEADER_CONVERTER = "header_converter"
    CONFIG_PROVIDER = "configprovider"
    REST_EXTENSION = "rest_extension"
    CLIENT_POLICY = "connector_client_config_override_policy"

    @property
    def interface(self) -> str:
        """The simple name of the Java interface, as messages and suffixes of aliases have it."""
        return INTERFACES[self]


INTERFACES = {
    Kind.SINK: "SinkConnector",
    Kind.SOURCE: "SourceConnector",
    Kind.TRANSFORMATION: "Transformation",
    Kind.PREDICATE: "Predicate",
    Kind.CONVERTER: "Converter",
    Kind.HEADER_CONVERTER: "HeaderConverter",
    Kind.CONFIG_PROVIDER: "ConfigProvider",
    Kind.REST_EXTENSION: "ConnectRestExtension",
    Kind.CLIENT_POLICY: "ConnectorClientConfigOverridePolicy",
}


class PluginRow(Protocol):
    """One installed plugin, as settings see it."""

    @property
    def name(self) -> str:
        """The name that REST reports: the Java class name where there is one, else `module:Class`."""
        ...

    @property
    def kind(self) -> Kind: ...

    @property
    def reported_version(self) -> str:
        """The version of the Java class it stands for, else its distribution's."""
        ...


class PluginView(Protocol):
    """The installed plugins, without their code."""

    def names(self, kind: Kind) -> Sequence[str]:
        """The names of all plugins of a kind, sorted."""
        ...

    def lookup(self, name: str) -> Sequence[PluginRow]:
        """The plugins that a class name or alias denotes, one for each kind that the class is of; none: unknown."""
        ...

    def absent(self, name: str, *kinds: Kind) -> str:
        """Say, to be put behind a sentence, what a name that denotes nothing is nearly, or who has it; may be empty."""
        ...

    def version_problem(self, plugin: PluginRow, wanted: str) -> str | None:
        """Say why the installed version of a plugin is not what `*.plugin.version` wants; None: it is."""
        ...
