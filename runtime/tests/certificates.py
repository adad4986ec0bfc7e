"""Certificates that the tests of TLS make: of a CA each, or of one another."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def certificate(folder: Path, name: str, until: datetime.datetime, issuer: Path | None = None) -> Path:
    """Key and certificate in one file, self-signed without an issuer, whose file is of the same kind."""
    key = signing = ec.generate_private_key(ec.SECP256R1())
    subject = signer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    if issuer is not None:
        signer = x509.load_pem_x509_certificate(issuer.read_bytes()).subject
        signing = _key(issuer)
    made = (
        x509.CertificateBuilder(signer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - 9 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(made.public_bytes(PEM) + key.private_bytes(PEM, FORM, serialization.NoEncryption()))
    return path


def encrypted(path: Path, password: str) -> Path:
    """The same certificate in another file, with its key encrypted."""
    hidden = serialization.BestAvailableEncryption(password.encode())
    other = path.with_suffix(".encrypted.pem")
    certificates, _, _ = path.read_text().partition("-----BEGIN PRIVATE")
    other.write_bytes(certificates.encode() + _key(path).private_bytes(PEM, FORM, hidden))
    return other


PEM, FORM = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded
