"""Which client settings a connector may override. Source: connector.policy, Kafka 4.3; KIP-458, KIP-1188."""

from collections.abc import Iterable

from millstream_api.config import Config, key
from millstream_api.errors import Problem
from millstream_api.policy import ClientConfigPolicy, OverrideRequest

PRINCIPAL_KEYS = frozenset({"sasl.jaas.config", "sasl.mechanism", "security.protocol"})


class AllConnectorClientConfigOverridePolicy(ClientConfigPolicy[Config]):
    """Lets connectors override everything."""

    def validate(self, request: OverrideRequest) -> Iterable[Problem]:
        return ()


class NoneConnectorClientConfigOverridePolicy(ClientConfigPolicy[Config]):
    """Lets connectors override nothing."""

    def validate(self, request: OverrideRequest) -> Iterable[Problem]:
        return _refused("None", request, frozenset())


class PrincipalConnectorClientConfigOverridePolicy(ClientConfigPolicy[Config]):
    """Lets connectors say as whom they connect."""

    def validate(self, request: OverrideRequest) -> Iterable[Problem]:
        return _refused("Principal", request, PRINCIPAL_KEYS)


class AllowlistConfig(Config):
    allowlist: list[str] = key(
        [],
        name="connector.client.config.override.allowlist",
        doc="Client settings, without prefix, that connectors may override.",
    )


class AllowlistConnectorClientConfigOverridePolicy(ClientConfigPolicy[AllowlistConfig]):
    """Lets connectors override what the worker lists in connector.client.config.override.allowlist."""

    config_class = AllowlistConfig

    def validate(self, request: OverrideRequest) -> Iterable[Problem]:
        return _refused("Allowlist", request, frozenset(self.config.allowlist))


def _refused(policy: str, request: OverrideRequest, allowed: frozenset[str]) -> Iterable[Problem]:
    return [
        Problem(
            setting,
            f"The '{policy}' policy does not allow '{setting}' to be overridden in the connector configuration.",
        )
        for setting in request.overrides
        if setting not in allowed
    ]
