"""Why a certificate is not trusted, asked of a server that is there."""

import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from millstream.broker.kafka.trust import found_out

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Quiet(TCPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust it ends the handshake."""


def certificate(folder: Path, name: str, until: datetime.datetime) -> Path:
    """Key and self-signed certificate in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - 9 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / f"{name}.pem"
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption()))
    return path


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """What librdkafka would say of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with Quiet(("127.0.0.1", 0), BaseRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"sasl_ssl://127.0.0.1:{server.server_address[1]}/bootstrap: certificate verify failed"
        finally:
            server.shutdown()
            thread.join()


def test_a_name_that_is_another_is_told_with_those_that_it_is_for(tmp_path: Path) -> None:
    own = certificate(tmp_path, "kafka.example", NOW + DAY)
    with serving(own) as said:
        assert found_out(said, {"ssl.ca.location": str(own)}) == ("127.0.0.1", ["kafka.example"])
        only = own.read_text().partition("-----BEGIN PRIVATE")[0]
        assert found_out(said, {"ssl.ca.pem": only}) == ("127.0.0.1", ["kafka.example"])


def test_what_else_is_wrong_is_told_as_that(tmp_path: Path) -> None:
    old, other = certificate(tmp_path, "old", NOW - DAY), certificate(tmp_path, "other", NOW + DAY)
    with serving(old) as said:
        assert found_out(said, {"ssl.ca.location": str(old)}) == "certificate has expired"
    with serving(certificate(tmp_path, "own", NOW + DAY)) as said:
        assert found_out(said, {"ssl.ca.location": str(other)}) == "self-signed certificate"


def test_nobody_there_is_no_answer() -> None:
    assert found_out("ssl://127.0.0.1:1/bootstrap: x", {}) == ""
    assert found_out("no address", {}) == ""
