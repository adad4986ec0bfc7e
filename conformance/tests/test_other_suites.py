"""The suites of header converters, config providers, client policies, REST extensions, on right and wrong plugins."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_bench import Wrong, fails_there, named, passes

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each is a run of pytest, on a machine that may be busy

PLUGIN = '''
import json, logging, threading
from millstream_api import *

log = logging.getLogger("others")
KEPT = []

class Headers(HeaderConverter[Config]):
    def to_bytes(self, topic, name, value, schema):
        try:
            return None if value is None else json.dumps(value).encode()
        except TypeError as error:
            raise DataError(f"the header {name!r} cannot be written: {error}") from error
    def from_bytes(self, topic, name, data):
        try:
            return (None, None) if data is None else (None, json.loads(data))
        except ValueError as error:
            raise DataError(f"the header {name!r} is no JSON: {error}") from error

class VaultConfig(Config):
    token: Secret = key(doc="Opens the vault.")

class Vault(ConfigProvider[VaultConfig]):
    """Knows a user and a password; the vault `shut` cannot be opened."""
    config_class = VaultConfig
    def get(self, path, keys):
        if path == "shut":
            raise ConfigError({"": f"the vault {path!r} cannot be opened"})
        known = {"user": "alice", "password": "open sesame"}
        log.debug("asked for %s", sorted(keys))
        return Provided({name: known[name] for name in keys if name in known}, ttl_ms=60_000)

class NoAcks(ClientConfigPolicy[Config]):
    def validate(self, request):
        for name in request.overrides:
            if name == "acks":
                yield Problem(name, f"The override of {name} is refused: the worker decides how records are kept.")

async def answer(send, status, text):
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": text})

class Audit(RestExtension[Config]):
    """Answers /audit, and refuses who does not say who he is."""
    def resources(self, cluster):
        async def app(scope, receive, send):
            at = scope["path"].removeprefix("/audit")
            await answer(send, 200 if at in ("", "/") else 404, b"[]")
        return "/audit", app
    def guard(self, app):
        async def guarded(scope, receive, send):
            known = any(name == b"x-name" for name, _ in scope.get("headers", ()))
            if scope["type"] == "http" and not known:
                await answer(send, 401, b"who are you?")
            else:
                await app(scope, receive, send)
        return guarded
'''
HEADERS = """
from millstream_conformance import HeaderConverterConformance

class TestHeaders(HeaderConverterConformance):
    converter = "others:Headers"
    carries = frozenset({"int8", "int64", "float64", "boolean", "string", "array", "map"})
    keeps_schema = False
"""
PROVIDER = """
from millstream_conformance import ConfigProviderConformance

class TestVault(ConfigProviderConformance):
    provider = "others:Vault"
    config = {"token": "a secret token"}
    path = "team"
    unreadable = "shut"
    def known(self):
        return {"user": "alice", "password": "open sesame"}
"""
POLICY = """
from millstream_conformance import ClientConfigPolicyConformance

class TestNoAcks(ClientConfigPolicyConformance):
    policy = "others:NoAcks"
    allowed = frozenset({"linger.ms"})
    refused = frozenset({"acks"})
"""
EXTENSION = """
from millstream_conformance import RestExtensionConformance

class TestAudit(RestExtensionConformance):
    extension = "others:Audit"
    request = {"x-name": "alice liddell"}
    refused = {}
"""
UNREADABLE = "test_a_place_that_cannot_be_read_is_a_config_error_that_names_it"
SUITES = {"headers": HEADERS, "provider": PROVIDER, "policy": POLICY, "extension": EXTENSION}
WRONG: list[Wrong] = [
    (HEADERS, "raise DataError(", "raise ValueError(", "test_foreign_bytes_are_a_data_error"),
    (HEADERS, "(None, json.loads(data))", "(None, str(json.loads(data)))", "test_values_of_every_type_come_back"),
    (HEADERS, "except TypeError", "except KeyError", "test_a_value_is_written_or_refused_as_data"),
    (HEADERS, "(None, None) if data is None else", "", "test_nothing_is_nothing_both_ways"),
    (HEADERS, "json.dumps(value).encode()", "json.dumps([value, KEPT.append(1), len(KEPT)]).encode()",
     "test_the_same_value_gives_the_same_bytes"),
    (PROVIDER, "if name in known}", "}", "test_a_key_that_is_not_there_is_left_out"),
    (PROVIDER, "for name in keys if name in known", "for name in known", "test_one_key_gives_that_one_alone"),
    (PROVIDER, "raise ConfigError(", "raise OSError(", UNREADABLE),
    (PROVIDER, "the vault {path!r} cannot", "it cannot", UNREADABLE),
    (PROVIDER, 'log.debug("asked for %s", sorted(keys))', 'log.debug("found %s", known)',
     "test_what_it_finds_is_in_no_log_or_output"),
    (PROVIDER, "ttl_ms=60_000", "ttl_ms=-1", "test_how_long_it_holds_is_a_length_of_time"),
    (PROVIDER, 'log.debug("asked', 'KEPT.append(open(__file__)); log.debug("asked',
     "test_nothing_is_left_behind_after_close"),
    (PROVIDER, '"open sesame"}\n        log', '"open " + str(len(KEPT))}; KEPT.append(1)\n        log',
     "test_it_answers_the_same_again"),
    (POLICY, 'Problem(name, f"The', 'Problem("producer.override." + name, f"The',
     "test_what_is_refused_is_named_and_the_decision_explained"),
    (POLICY, "The override of {name} is refused: the worker decides how records are kept.", "{name}",
     "test_what_is_refused_is_named_and_the_decision_explained"),
    (POLICY, 'if name == "acks"', "if True", "test_what_is_allowed_has_no_problem"),
    (POLICY, "is refused: the", "to {request.overrides[name]} is refused: the", "test_values_are_not_quoted"),
    (POLICY, "for name in request.overrides:", "for name in list(request.overrides) and ['acks']:",
     "test_what_is_allowed_has_no_problem"),
    (POLICY, "yield Problem", "request.overrides.update(acks='all'); yield Problem",
     "test_the_same_request_is_decided_the_same_and_stays_as_it_was"),
    (EXTENSION, '"/audit", app', '"/connectors/audit", app', "test_its_path_is_its_own"),
    (EXTENSION, 'await answer(send, 200 if at', 'assert at in ("", "/"); await answer(send, 200 if at',
     "test_what_it_does_not_know_below_its_path_is_answered_not_raised"),
    (EXTENSION, "200 if at in", "500 if at in", "test_it_answers_below_its_path"),
    (EXTENSION, 'if scope["type"] == "http" and not known:', 'if scope["path"] == "/connectors" or not known:',
     "test_it_answers_under_its_own_path_only"),
    (EXTENSION, "401", "200", "test_what_it_refuses_does_not_reach_the_worker"),
    (EXTENSION, 'scope["type"] == "http" and not known', "not known", "test_what_is_no_request_passes"),
    (EXTENSION, "            known = any(", '            log.info("%s", scope.get("headers")); known = any(',
     "test_headers_of_requests_are_in_no_log_or_output"),
    (EXTENSION, "    def guard(self, app):", "    def guard(self, app):\n        KEPT.append(open(__file__))",
     "test_nothing_is_left_behind_after_close"),
]  # fmt: skip


@pytest.mark.parametrize("kind", SUITES)
def test_a_plugin_that_does_it_right_passes(pytester: pytest.Pytester, kind: str) -> None:
    passes(pytester, PLUGIN, SUITES[kind], "others")


@named(WRONG)
def test_a_plugin_that_is_wrong_fails_where_it_is_wrong(pytester: pytest.Pytester, row: Wrong) -> None:
    fails_there(pytester, PLUGIN, row, "others")
