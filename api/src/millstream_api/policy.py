"""Which client settings a connector may override (KIP-458)."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from millstream_api.config import C, Plugin
from millstream_api.errors import Problem

__all__ = ["ClientConfigPolicy", "OverrideRequest"]


class OverrideRequest(NamedTuple):
    """What a connector asks for: all overrides of one client. Source: ConnectorClientConfigRequest.java.

    connector:        its name.
    kind:             of the connector.
    connector_class:  as `connector.class` has it.
    client:           whose settings they are: `producer.override.`, `consumer.override.`, `admin.override.`.
    overrides:        settings by name, without that prefix. May hold secrets: `repr` shows names only.
    """

    connector: str
    kind: Literal["source", "sink"]
    connector_class: str
    client: Literal["producer", "consumer", "admin"]
    overrides: Mapping[str, str]

    def __repr__(self) -> str:
        return f"OverrideRequest({self.connector!r}, {self.kind}, {self.client}: {sorted(self.overrides)!r})"


class ClientConfigPolicy(Plugin[C]):
    """Decides on overrides: the operator's own code. Source: ConnectorClientConfigOverridePolicy.java.

    Its settings are the worker's. Made for each question, in the process that validates the connector, and closed
    after it.
    """

    def validate(self, request: OverrideRequest) -> Iterable[Problem]:
        """Name each override that is refused, without its prefix, and say why; nothing: all are allowed.

        Asked once a client that has overrides, whenever a connector is validated; killed with the validation at its
        deadline, over REST 85 s. What it raises fails the validation: no connector is created or changed.
        Source: ConnectorClientConfigOverridePolicy.validate.
        """
        raise NotImplementedError(f"{type(self).__name__} must override validate")
