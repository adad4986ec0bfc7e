"""Who to log in as: `sasl.jaas.config`, Java's text, into librdkafka's settings."""

import re
from collections.abc import Callable, Mapping

from millstream.errors import ConfigError

MODULES = {
    "org.apache.kafka.common.security.plain.PlainLoginModule": "login",
    "org.apache.kafka.common.security.scram.ScramLoginModule": "login",
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule": "token",
    "com.sun.security.auth.module.Krb5LoginModule": "ticket",
}
ENTRY = re.compile(r"\s*([\w.$]+)\s+(required|requisite|sufficient|optional)\b(.*);\s*", re.DOTALL | re.IGNORECASE)
OPTION = re.compile(r"""\s*([\w.]+)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s;"']+)""", re.DOTALL)
FORM = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="NAME" password="SECRET";'


def login_settings(text: str | None) -> dict[str, str]:
    """Give librdkafka's settings for a JAAS entry. Raises ConfigError, which never quotes what the entry holds."""
    if not text or not text.strip():
        raise _wrong(f"is missing, and security.protocol asks for SASL; give it, such as {FORM}")
    entry = ENTRY.fullmatch(text)
    if entry is None:
        raise _wrong(f"is no JAAS entry (module, flag, options, and a semicolon at the end); expected such as {FORM}")
    module, _, rest = entry.groups()
    if module not in MODULES:
        raise _wrong(f"names the login module {module!r}, which cannot run here; there are {', '.join(MODULES)}")
    return READERS[MODULES[module]](_options(rest))


def _options(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text) and text[at:].strip():
        option = OPTION.match(text, at)
        if option is None:
            raise _wrong(f'has something that is no option name="value" behind {", ".join(found) or "its flag"}')
        name, value = option.groups()
        found[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] in "\"'" else value
        at = option.end()
    return found


def _login(options: Mapping[str, str]) -> dict[str, str]:
    for name in ("username", "password"):
        if not options.get(name):
            raise _wrong(f"lacks {name}; expected such as {FORM}")
    return {"sasl.username": options["username"], "sasl.password": options["password"]}


def _token(options: Mapping[str, str]) -> dict[str, str]:
    """Since Kafka 4.1 these have settings of their own; an entry may be empty then."""
    names = {"clientId": "client.id", "clientSecret": "client.secret", "scope": "scope"}
    found = {f"sasl.oauthbearer.{name}": options[old] for old, name in names.items() if options.get(old)}
    extensions = [
        f"{name.removeprefix('extension_')}={value}" for name, value in options.items() if name.startswith("extension_")
    ]
    return {**found, "sasl.oauthbearer.extensions": ",".join(extensions)} if extensions else found


def _ticket(options: Mapping[str, str]) -> dict[str, str]:
    names = {"principal": "sasl.kerberos.principal", "keyTab": "sasl.kerberos.keytab"}
    found = {name: options[old] for old, name in names.items() if options.get(old)}
    if options.get("serviceName"):
        found["sasl.kerberos.service.name"] = options["serviceName"]
    return found


READERS: dict[str, Callable[[Mapping[str, str]], dict[str, str]]] = {
    "login": _login,
    "token": _token,
    "ticket": _ticket,
}


def _wrong(what: str) -> ConfigError:
    return ConfigError({"sasl.jaas.config": f"sasl.jaas.config {what}"})
