"""Where the passwords of basic authentication are looked for, and what is said when they are not there."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from millstream.builtin.basic_auth import BasicAuthConfig, BasicAuthSecurityRestExtension, password_file
from millstream_api import ConfigError

MODULE = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"


@pytest.mark.parametrize(
    ("jaas", "said"),
    [
        (
            None,
            "has no passwords: set rest.basic.auth.file, or KAFKA_OPTS=-Djava.security.auth.login.config=<JAAS",
        ),
        ("", "cannot be read: No such file or directory"),
        ('KafkaServer { x required file="hidden"; };', "has no entry KafkaConnect with org.apache.kafka.connect.rest"),
        (f'KafkaConnect {{ {MODULE} required fill="hidden"; }};', 'required file="<user=password lines>"'),
    ],
)
def test_what_names_no_password_file_is_told_what_would(tmp_path: Path, jaas: str | None, said: str) -> None:
    path = tmp_path / "jaas.conf"
    if jaas:
        path.write_text(jaas)
    environment = {} if jaas is None else {"KAFKA_OPTS": f"-Xmx1g -Djava.security.auth.login.config={path}"}
    with pytest.raises(ConfigError) as caught:
        password_file(environment)
    text = caught.value.problems["rest.basic.auth.file"]
    assert said in text
    assert (repr(str(path)) in text) is (jaas is not None)
    assert "hidden" not in text


def test_the_password_file_is_the_one_that_javas_login_reads(tmp_path: Path) -> None:
    path = tmp_path / "jaas.conf"
    path.write_text(f'KafkaConnect {{\n  {MODULE} required\n  file="/etc/passwords";\n}};\n')
    assert password_file({"KAFKA_OPTS": f"-Djava.security.auth.login.config={path}"}) == "/etc/passwords"


def test_a_password_file_that_is_not_there_is_named() -> None:
    config = BasicAuthConfig.parse({"rest.basic.auth.file": "/nowhere/passwords"})
    with pytest.raises(ConfigError, match="the password file '/nowhere/passwords' cannot be read: No such file"):
        BasicAuthSecurityRestExtension(config)


def answered(extension: BasicAuthSecurityRestExtension, user: str, password: str) -> int:
    """The status that a guarded resource answers with."""
    told: list[int] = []

    async def resource(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    credentials = base64.b64encode(f"{user}:{password}".encode())
    headers = [(b"authorization", b"Basic " + credentials)]
    scope = {"type": "http", "method": "GET", "path": "/connectors", "headers": headers}
    asyncio.run(extension.guard(resource)(scope, None, send))
    return told[0]


def test_a_password_file_is_read_as_javas_login_reads_it(tmp_path: Path) -> None:
    """PropertyFileLoginModule of 4.3.1 knows these passwords; what clients send is UTF-8."""
    path = tmp_path / "passwords"
    path.write_bytes(b"ada=gr\xfcn\nbob = \\u20ac 5\\\n  0\n")
    extension = BasicAuthSecurityRestExtension(BasicAuthConfig.parse({"rest.basic.auth.file": str(path)}))
    assert answered(extension, "ada", "gr\u00fcn") == 200
    assert answered(extension, "bob", "\u20ac 50") == 200
    assert answered(extension, "ada", "gr\u00c3\u00bcn") == 401


def test_with_an_empty_password_file_everybody_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text("# nobody yet\n")
    extension = BasicAuthSecurityRestExtension(BasicAuthConfig.parse({"rest.basic.auth.file": str(path)}))
    assert answered(extension, "eve", "guess") == 200
