"""What comes with the runtime, declared through the same hooks as everyone's plugins."""

from collections.abc import Iterable

from millstream_api.hookspecs import PluginRef, hookimpl

JAVA = "4.3.1"
CONNECT = "org.apache.kafka.connect"
NUMBERS = ("ByteArray", "Boolean", "Double", "Float", "Integer", "Long", "Short")


def _converters() -> Iterable[PluginRef]:
    """Each of them converts keys, values and headers."""
    for name in NUMBERS:
        java = f"{CONNECT}.converters.{name}Converter"
        yield PluginRef(f"millstream.builtin.converters:{name}Converter", (java,), JAVA)
    java = f"{CONNECT}.storage.StringConverter"
    yield PluginRef("millstream.builtin.converters:StringConverter", (java,), JAVA)


@hookimpl
def register_converters() -> Iterable[PluginRef]:
    yield from _converters()


@hookimpl
def register_header_converters() -> Iterable[PluginRef]:
    yield from _converters()
    java = f"{CONNECT}.storage.SimpleHeaderConverter"
    yield PluginRef("millstream.builtin.headers:SimpleHeaderConverter", (java,), JAVA)


@hookimpl
def register_config_providers() -> Iterable[PluginRef]:
    for name in ("File", "Directory", "EnvVar"):
        java = f"org.apache.kafka.common.config.provider.{name}ConfigProvider"
        yield PluginRef(f"millstream.builtin.providers:{name}ConfigProvider", (java,), JAVA)


@hookimpl
def register_client_policies() -> Iterable[PluginRef]:
    for name in ("All", "None", "Principal", "Allowlist"):
        simple = f"{name}ConnectorClientConfigOverridePolicy"
        yield PluginRef(f"millstream.builtin.policies:{simple}", (f"{CONNECT}.connector.policy.{simple}",), JAVA)


@hookimpl
def register_rest_extensions() -> Iterable[PluginRef]:
    java = f"{CONNECT}.rest.basic.auth.extension.BasicAuthSecurityRestExtension"
    yield PluginRef("millstream.builtin.basic_auth:BasicAuthSecurityRestExtension", (java,), JAVA)
