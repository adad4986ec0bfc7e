"""Why the certificate of a broker is not trusted: librdkafka says of each reason that its CA is not known."""

import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any

SECONDS = 3.0
ADDRESS = re.compile(r"ssl://(.+):(\d+)/")


def found_out(said: str, authority: Mapping[str, str]) -> tuple[str, list[str]] | str:
    """(host, names in its certificate) when all but the name is right; else what is wrong with it; "" when nobody
    answers.

    said: librdkafka's text, in which the address stands.   authority: `ssl.ca.location` or `ssl.ca.pem`.
    """
    found = ADDRESS.search(said)
    if found is None:
        return ""
    host, port = found[1].strip("[]"), int(found[2])
    try:
        context = ssl.create_default_context(
            cafile=authority.get("ssl.ca.location"), cadata=authority.get("ssl.ca.pem")
        )
        context.check_hostname = False
        with (
            socket.create_connection((host, port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):
        return ""
    names: Any = certificate.get("subjectAltName", ())  # typeshed has one type for all fields
    return host, [str(name) for _, name in names]
