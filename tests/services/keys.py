"""Keys and certificates of one run: a CA, a server's and a client's certificate, as PEM and as Java's stores."""

import datetime
import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
    serialize_key_and_certificates,
)

from services.maven import JAVA, program

PASSWORD = "changeit"
PEM, PKCS8 = Encoding.PEM, PrivateFormat.PKCS8


@dataclass(frozen=True)
class Keys:
    """Files in one folder. The server is 127.0.0.1 and localhost; the others are CN=client and CN=stranger."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        """A CA that signed nothing here."""
        return self.folder / "other-ca.pem"

    def certificate(self, name: str) -> Path:
        """Of "server", "client" or "stranger"."""
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def pem_store(self, name: str) -> Path:
        """Key and certificate in one file, as Kafka's `ssl.keystore.type=PEM` wants them."""
        return self.folder / f"{name}-store.pem"

    def key_store(self, name: str) -> Path:
        """PKCS12, opened by `PASSWORD`."""
        return self.folder / f"{name}.p12"

    @property
    def trust_store(self) -> Path:
        """PKCS12 with the CA, opened by `PASSWORD`."""
        return self.folder / "trust.p12"

    def jks(self, store: Path) -> Path:
        """The same store in Java's own old format; needs `keytool` of a JDK."""
        made = store.with_suffix(".jks")
        if not made.exists():
            keytool = program("keytool", *JAVA)
            secrets = ["-srcstorepass", PASSWORD, "-deststorepass", PASSWORD]
            old = ["-srckeystore", str(store), "-srcstoretype", "PKCS12"]
            new = ["-destkeystore", str(made), "-deststoretype", "JKS"]
            command = [keytool, "-importkeystore", "-noprompt", *old, *new, *secrets]
            subprocess.run(command, check=True, capture_output=True)
        return made


@dataclass(frozen=True)
class _Pair:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(PEM, PKCS8, NoEncryption())

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)


def made(folder: Path) -> Keys:
    """New ones in that folder."""
    keys, ca = Keys(folder), _signed("millstream test CA", None)
    keys.ca.write_bytes(ca.certificate_pem)
    keys.other_ca.write_bytes(_signed("another CA", None).certificate_pem)
    locked = BestAvailableEncryption(PASSWORD.encode())
    trusted = PKCS12Certificate(ca.certificate, b"ca")
    keys.trust_store.write_bytes(serialize_java_truststore([trusted], locked))
    for name in ("server", "client", "stranger"):
        pair = _signed(name, ca)
        keys.certificate(name).write_bytes(pair.certificate_pem)
        keys.key(name).write_bytes(pair.key_pem)
        keys.pem_store(name).write_bytes(pair.key_pem + pair.certificate_pem + ca.certificate_pem)
        store = serialize_key_and_certificates(name.encode(), pair.key, pair.certificate, [ca.certificate], locked)
        keys.key_store(name).write_bytes(store)
    return keys


def _signed(name: str, ca: _Pair | None) -> _Pair:
    """A key with a certificate that the CA signed, or itself when there is none."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), _named(name)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.certificate.subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
    )
    if ca:
        here = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = builder.add_extension(x509.SubjectAlternativeName(here), critical=False)
    return _Pair(key, builder.sign(ca.key if ca else key, hashes.SHA256()))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
