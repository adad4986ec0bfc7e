import pytest

from millstream.builtin.policies import (
    AllConnectorClientConfigOverridePolicy,
    AllowlistConnectorClientConfigOverridePolicy,
    NoneConnectorClientConfigOverridePolicy,
    PrincipalConnectorClientConfigOverridePolicy,
)
from millstream_api.policy import OverrideRequest

OVERRIDES = {"acks": "1", "sasl.jaas.config": "x", "sasl.mechanism": "PLAIN", "security.protocol": "SASL_SSL"}


@pytest.mark.parametrize(
    ("policy", "settings", "name", "refused"),
    [
        (AllConnectorClientConfigOverridePolicy, {}, "All", []),
        (NoneConnectorClientConfigOverridePolicy, {}, "None", list(OVERRIDES)),
        (PrincipalConnectorClientConfigOverridePolicy, {}, "Principal", ["acks"]),
        (AllowlistConnectorClientConfigOverridePolicy, {}, "Allowlist", list(OVERRIDES)),
        (
            AllowlistConnectorClientConfigOverridePolicy,
            {"connector.client.config.override.allowlist": "acks, sasl.mechanism"},
            "Allowlist",
            ["sasl.jaas.config", "security.protocol"],
        ),
    ],
)
def test_a_policy_names_each_override_that_it_refuses(policy, settings, name, refused):
    made = policy(policy.config_class.parse(settings))
    request = OverrideRequest("c", "source", "FileStreamSource", "producer", OVERRIDES)
    assert list(made.validate(request)) == [
        (key, f"The '{name}' policy does not allow '{key}' to be overridden in the connector configuration.")
        for key in refused
    ]
