"""Why the certificate of a broker is not trusted: librdkafka says of each reason that its CA is not known."""

import re
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any

from millstream.lifecycle import Clock, SystemClock, spawn

SECONDS = 3.0  # a connection or a step of it
ANSWER_SECONDS = 10.0  # all of it, names looked up included
ANOTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
OUT_OF_TIME = ("certificate has expired", "certificate is not yet valid")  # X509_verify_cert_error_string's
TRUSTED = "yet Python trusts it with the same settings: without a store, librdkafka may look for the system's elsewhere"
PYTHONS = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # its own by default, and not librdkafka's
ADDRESS = re.compile(r"ssl://(.+):(\d+)/")


class Inquiry:
    """Finds that out on a thread of its own: names may be looked up, and connections made, for long.

    librdkafka's callbacks begin it, and nobody waits for it there, nor elsewhere for more than ANSWER_SECONDS in all.
    """

    def __init__(self, said: str, authority: Mapping[str, str], clock: Clock | None = None) -> None:
        self.said = said
        self._found: tuple[str, list[str]] | str = ""
        self._over = threading.Event()
        self._clock = clock or SystemClock()
        self._until = self._clock.monotonic() + ANSWER_SECONDS
        spawn("certificate inquiry", lambda _: self._find(authority))

    def answer(self) -> tuple[str, list[str]] | str:
        """As `found_out`; "" when it was not found out in time."""
        self._over.wait(max(self._until - self._clock.monotonic(), 0.0))
        return self._found

    def _find(self, authority: Mapping[str, str]) -> None:
        try:
            self._found = found_out(self.said, authority)
        finally:
            self._over.set()


def found_out(said: str, authority: Mapping[str, str]) -> tuple[str, list[str]] | str:
    """(host, names in its certificate) when all but the name is right; else what is wrong with it; "" when nobody
    answers.

    said: librdkafka's text, in which the address stands.   authority: `ssl.ca.location` or `ssl.ca.pem`, and whether
    names are compared, `ssl.endpoint.identification.algorithm`.
    """
    found = ADDRESS.search(said)
    if found is None:
        return ""
    host, port = found[1].strip("[]"), int(found[2])
    try:
        context = ssl.create_default_context(
            cafile=authority.get("ssl.ca.location"), cadata=authority.get("ssl.ca.pem")
        )
        context.verify_flags &= ~PYTHONS
        context.check_hostname = False
        certificate = _shown(context, host, port)  # raises whatever is wrong but the name
        if authority.get("ssl.endpoint.identification.algorithm") == "none":
            return TRUSTED
        context.check_hostname = True
        _shown(context, host, port)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code not in ANOTHER_NAME:
            return error.verify_message
    except (OSError, ValueError):
        return ""
    else:
        return TRUSTED
    names: Any = certificate.get("subjectAltName", ())  # typeshed has one type for all fields
    return host, [str(name) for _, name in names]


def _shown(context: ssl.SSLContext, host: str, port: int) -> Mapping[str, Any]:
    """The certificate of who listens there."""
    with (
        socket.create_connection((host, port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.getpeercert() or {}
