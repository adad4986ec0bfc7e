"""The suite of client policies."""

import copy
from collections.abc import Mapping
from typing import Literal

import pytest

from millstream_api import OverrideRequest, Problem
from millstream_conformance.settings import CANARY, SettingsConformance
from millstream_conformance.suite import does_not_apply

Client = Literal["producer", "consumer", "admin"]
CLIENTS: tuple[Client, ...] = ("producer", "consumer", "admin")


class ClientConfigPolicyConformance(SettingsConformance):
    """Certifies a client policy.

    policy:   `module:Class`.
    config:   settings of the worker that it runs with.
    allowed:  client settings, without prefix, that it lets connectors override.
    refused:  such that it does not; a policy that refuses nothing, or allows nothing, leaves one of them empty.
    """

    hook = "register_client_policies"
    policy: str
    config: Mapping[str, str] = {}
    allowed: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    def problems(self, overrides: Mapping[str, str], client: Client = "producer") -> list[Problem]:
        """What a new policy has against these overrides, text by name without prefix; it is closed then.

        Raises ConfigError for settings that will not do, and what `validate` raises.
        """
        cls = self.plugin_class()
        made = cls(cls.config_class.parse(self.settings()))
        kind: Literal["source", "sink"] = "sink" if client == "consumer" else "source"
        request = OverrideRequest("conformance", kind, "some.Connector", client, overrides)
        try:
            return [Problem(*each) for each in made.validate(request)]
        finally:
            made.close()

    def test_the_suite_names_what_is_allowed_or_refused(self) -> None:
        assert self.allowed or self.refused, "set `allowed`, `refused`, or both"
        assert not self.allowed & self.refused

    @pytest.mark.parametrize("client", CLIENTS)
    def test_what_is_allowed_has_no_problem(self, client: Client) -> None:
        if not self.allowed:
            does_not_apply("the policy allows nothing")
        assert self.problems(dict.fromkeys(self.allowed, "1"), client) == []

    @pytest.mark.parametrize("client", CLIENTS)
    def test_what_is_refused_is_named_and_the_decision_explained(self, client: Client) -> None:
        if not self.refused:
            does_not_apply("the policy refuses nothing")
        found = self.problems(dict.fromkeys([*self.allowed, *self.refused], "1"), client)
        assert {problem.setting for problem in found} == set(self.refused), (
            "each refused override is named without its prefix, and no other"
        )
        for problem in found:
            assert problem.setting in problem.sentence, f"{problem.sentence!r} does not name the setting"
            assert len(problem.sentence.split()) > 3, f"{problem.sentence!r} explains nothing"

    def test_no_overrides_have_no_problem(self) -> None:
        assert self.problems({}) == []

    def test_values_are_not_quoted(self) -> None:
        found = self.problems(dict.fromkeys([*self.allowed, *self.refused], CANARY))
        assert all(CANARY not in problem.sentence for problem in found), "an override may be a secret"

    def test_the_same_request_is_decided_the_same_and_stays_as_it_was(self) -> None:
        overrides = dict.fromkeys([*sorted(self.allowed), *sorted(self.refused)], "1")
        before = copy.deepcopy(overrides)
        assert self.problems(overrides) == self.problems(overrides)
        assert overrides == before, "validate changed the overrides it was given"
