"""HTTP basic authentication of the REST API. Source: BasicAuthSecurityRestExtension, PropertyFileLoginModule."""

import base64
import binascii
import hmac
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millstream.properties import parse_properties, text_of
from millstream_api import Config, ConfigError, RestExtension, key
from millstream_api.extension import App

ENTRY = "KafkaConnect"
MODULE = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"
PROPERTY = "java.security.auth.login.config"
REFUSED = b"User cannot access the resource."
#: between workers, these carry a signature instead
INTERNAL = (("POST", re.compile(r"^/connectors/[^/]+/tasks/?$")), ("PUT", re.compile(r"^/connectors/[^/]+/fence/?$")))


class BasicAuthConfig(Config):
    rest_basic_auth_file: str | None = key(
        None,
        doc="File of user=password lines, in Latin-1 with \\uXXXX for the rest. Unset: the file that the entry"
        " KafkaConnect of the JAAS file names, which is the one of -Djava.security.auth.login.config in KAFKA_OPTS, as"
        " with the Java worker.",
    )


class BasicAuthSecurityRestExtension(RestExtension[BasicAuthConfig]):
    """Lets only those in who know a user's password; with an empty file everyone."""

    config_class = BasicAuthConfig

    def __init__(self, config: BasicAuthConfig) -> None:
        super().__init__(config)
        self._path = Path(config.rest_basic_auth_file or password_file(os.environ))
        try:
            text = text_of(self._path.read_bytes())
        except OSError as error:
            raise ConfigError(
                {"rest.basic.auth.file": f"the password file {str(self._path)!r} cannot be read: {error.strerror}"}
            ) from error
        self._passwords = parse_properties(text, str(self._path))

    def guard(self, app: App) -> App:
        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or _is_internal(scope) or not self._passwords:
                await app(scope, receive, send)
                return
            try:
                known = self._is_known(_authorization(scope))
            except binascii.Error as error:
                await _answer(send, 500, json.dumps({"error_code": 500, "message": str(error)}).encode())
                return
            if known:
                await app(scope, receive, send)
            else:
                await _answer(send, 401, REFUSED)

        return guarded

    def _is_known(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        strange = re.search(r"[^A-Za-z0-9+/=]", credentials)
        if strange is not None:
            raise binascii.Error(f"Illegal base64 character {ord(strange[0]):x}")  # java.util.Base64's words
        user, colon, password = base64.b64decode(credentials, validate=True).decode("utf-8", "replace").partition(":")
        wanted = self._passwords.get(user)
        return bool(colon) and wanted is not None and hmac.compare_digest(password.encode(), wanted.encode())


def _authorization(scope: Mapping[str, Any]) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"), "")


def _is_internal(scope: Mapping[str, Any]) -> bool:
    return any(scope["method"] == method and path.match(scope["path"]) for method, path in INTERNAL)


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def password_file(environment: Mapping[str, str]) -> str:
    """Give the file that Java's login would read. Raises ConfigError saying what to set."""
    jaas = re.search(rf"-D{re.escape(PROPERTY)}=(\S+)", environment.get("KAFKA_OPTS", ""))
    if jaas is None:
        raise ConfigError(
            {
                "rest.basic.auth.file": "basic authentication has no passwords: set rest.basic.auth.file, or"
                f" KAFKA_OPTS=-D{PROPERTY}=<JAAS file> with an entry {ENTRY}"
            }
        )
    path = jaas[1].strip("\"'")
    try:
        text = Path(path).read_text()
    except OSError as error:
        problem = f"the JAAS file {path!r} cannot be read: {error.strerror}"
        raise ConfigError({"rest.basic.auth.file": problem}) from error
    entry = re.search(rf"\b{ENTRY}\s*\{{(.*?)\}}\s*;", text, re.DOTALL)
    module = re.search(rf"{re.escape(MODULE)}\s+\w+(.*?);", entry[1], re.DOTALL) if entry else None
    option = re.search(r"""\bfile\s*=\s*["']?([^"';\s]+)""", module[1]) if module else None
    if option is None:
        raise ConfigError(
            {
                "rest.basic.auth.file": f"the JAAS file {path!r} has no entry {ENTRY} with"
                f' {MODULE} required file="<user=password lines>";'
            }
        )
    return option[1]
