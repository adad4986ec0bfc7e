"""Why the certificate of a broker is not trusted: librdkafka says of each reason that its CA is not known."""

import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any

SECONDS = 3.0
ANOTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
TRUSTED = "yet Python trusts it with the same settings: without a store, librdkafka may look for the system's elsewhere"
PYTHONS = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # its own by default, and not librdkafka's
ADDRESS = re.compile(r"ssl://(.+):(\d+)/")


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
