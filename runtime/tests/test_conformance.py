"""The plugins that come with the runtime, certified by the kit: converters, providers, policies, authentication."""

import base64
from pathlib import Path

import pytest

from millstream_conformance import (
    ClientConfigPolicyConformance,
    ConfigProviderConformance,
    ConverterConformance,
    HeaderConverterConformance,
    RestExtensionConformance,
)

CONVERTERS = "millstream.builtin.converters"


class _Plain(ConverterConformance):
    """One type, always optional when it is read."""

    keeps_schema = False
    schemaless = False


class TestString(_Plain):
    converter = f"{CONVERTERS}:StringConverter"
    carries = frozenset({"string"})
    foreign = None


class TestByteArray(_Plain):
    converter = f"{CONVERTERS}:ByteArrayConverter"
    carries = frozenset({"bytes"})
    foreign = None


class TestBoolean(_Plain):
    converter = f"{CONVERTERS}:BooleanConverter"
    carries = frozenset({"boolean"})


class TestShort(_Plain):
    converter = f"{CONVERTERS}:ShortConverter"
    carries = frozenset({"int8", "int16"})


class TestInteger(_Plain):
    converter = f"{CONVERTERS}:IntegerConverter"
    carries = frozenset({"int8", "int16", "int32"})


class TestLong(_Plain):
    converter = f"{CONVERTERS}:LongConverter"
    carries = frozenset({"int8", "int16", "int32", "int64"})


class TestFloat(_Plain):
    converter = f"{CONVERTERS}:FloatConverter"
    carries = frozenset({"float32"})


class TestDouble(_Plain):
    converter = f"{CONVERTERS}:DoubleConverter"
    carries = frozenset({"float32", "float64"})


class _PlainHeaders(HeaderConverterConformance):
    keeps_schema = False
    schemaless = False


class TestStringHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:StringConverter"
    carries = frozenset({"string"})
    foreign = None


class TestByteArrayHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:ByteArrayConverter"
    carries = frozenset({"bytes"})
    foreign = None


class TestBooleanHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:BooleanConverter"
    carries = frozenset({"boolean"})


class TestShortHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:ShortConverter"
    carries = frozenset({"int8", "int16"})


class TestIntegerHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:IntegerConverter"
    carries = frozenset({"int32"})


class TestLongHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:LongConverter"
    carries = frozenset({"int64"})


class TestFloatHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:FloatConverter"
    carries = frozenset({"float32"})


class TestDoubleHeaders(_PlainHeaders):
    converter = f"{CONVERTERS}:DoubleConverter"
    carries = frozenset({"float64"})


class TestSimpleHeaders(_PlainHeaders):
    """Guesses types from text, as Java's: what looks like a number comes back as the narrowest one."""

    converter = "millstream.builtin.headers:SimpleHeaderConverter"
    carries = frozenset({"int8", "int16", "int32", "int64", "boolean", "array", "map"})
    foreign = None

    @classmethod
    def settings(cls) -> dict[str, str]:
        return {}


class TestFileProvider(ConfigProviderConformance):
    provider = "millstream.builtin.providers:FileConfigProvider"
    folder: Path

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        file = tmp_path / "secrets.properties"
        file.write_text("user=alice\npassword=open sesame\nother=none of yours\n")
        type(self).path, type(self).unreadable = str(file), str(tmp_path / "missing.properties")

    def known(self) -> dict[str, str]:
        return {"user": "alice", "password": "open sesame"}


class TestDirectoryProvider(ConfigProviderConformance):
    provider = "millstream.builtin.providers:DirectoryConfigProvider"

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        for name, text in self.known().items():
            (tmp_path / name).write_text(text)
        type(self).path = str(tmp_path)

    def known(self) -> dict[str, str]:
        return {"user": "alice\n", "password": "open sesame"}


class TestEnvironmentProvider(ConfigProviderConformance):
    provider = "millstream.builtin.providers:EnvVarConfigProvider"
    unreadable = "/a/path"

    @pytest.fixture(autouse=True)
    def _variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, text in self.known().items():
            monkeypatch.setenv(name, text)

    def known(self) -> dict[str, str]:
        return {"CONFORMANCE_USER": "alice", "CONFORMANCE_PASSWORD": "open sesame"}


POLICIES = "millstream.builtin.policies"
SOME, SECURITY = frozenset({"linger.ms", "acks"}), frozenset({"sasl.jaas.config", "security.protocol"})


class TestAllPolicy(ClientConfigPolicyConformance):
    policy = f"{POLICIES}:AllConnectorClientConfigOverridePolicy"
    allowed = SOME | SECURITY


class TestNonePolicy(ClientConfigPolicyConformance):
    policy = f"{POLICIES}:NoneConnectorClientConfigOverridePolicy"
    refused = SOME | SECURITY


class TestPrincipalPolicy(ClientConfigPolicyConformance):
    policy = f"{POLICIES}:PrincipalConnectorClientConfigOverridePolicy"
    allowed, refused = SECURITY, SOME


class TestAllowlistPolicy(ClientConfigPolicyConformance):
    policy = f"{POLICIES}:AllowlistConnectorClientConfigOverridePolicy"
    config = {"connector.client.config.override.allowlist": "linger.ms,acks"}
    allowed, refused = SOME, SECURITY


class TestBasicAuth(RestExtensionConformance):
    extension = "millstream.builtin.basic_auth:BasicAuthSecurityRestExtension"
    request = {"Authorization": "Basic " + base64.b64encode(b"alice:open sesame").decode()}
    refused = {"Authorization": "Basic " + base64.b64encode(b"alice:close sesame").decode()}

    @pytest.fixture(autouse=True)
    def _passwords(self, tmp_path: Path) -> None:
        (tmp_path / "passwords").write_text("alice=open sesame\n")
        type(self).config = {"rest.basic.auth.file": str(tmp_path / "passwords")}
