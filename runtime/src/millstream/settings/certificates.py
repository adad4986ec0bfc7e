"""Where a Kafka client's keys and certificates are: Java's `ssl.*` stores, into librdkafka's settings.

PEM is taken from files and from the settings themselves, PKCS#12 as a key store. What a file is, its first bytes say:
Java's store types are as often wrong as not.
"""

from collections.abc import Mapping
from pathlib import Path

from millstream.errors import ConfigError

PEM, PKCS12, JKS = "PEM", "PKCS12", "JKS"
ENCRYPTED = ("BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED")
JKS_MAGICS = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")

Settings = Mapping[str, str]


def tls_settings(settings: Settings) -> dict[str, str]:
    """Give librdkafka's settings for Java's. Raises ConfigError that says how to convert a store."""
    found = {**_trusted(settings), **_own(settings)}
    check = settings.get("ssl.endpoint.identification.algorithm", "https").strip().lower()
    found["ssl.endpoint.identification.algorithm"] = check or "none"
    if settings.get("ssl.cipher.suites"):
        found["ssl.cipher.suites"] = ":".join(part.strip() for part in settings["ssl.cipher.suites"].split(","))
    return found


def _trusted(settings: Settings) -> dict[str, str]:
    inline, path = settings.get("ssl.truststore.certificates"), settings.get("ssl.truststore.location")
    if inline:
        return {"ssl.ca.pem": _lines(inline)}
    if not path:
        return {}  # the system's, as Java takes the JVM's
    kind = _kind("ssl.truststore.location", path)
    if kind == PEM:
        return {"ssl.ca.location": path}
    raise _wrong(
        "ssl.truststore.location", path, kind, "a trust store is read as PEM alone", _to_trusted_pem(path, kind)
    )


def _own(settings: Settings) -> dict[str, str]:
    chain, key = settings.get("ssl.keystore.certificate.chain"), settings.get("ssl.keystore.key")
    path = settings.get("ssl.keystore.location")
    if chain and key:
        pem = _lines(key)
        _check_key(pem, settings, "ssl.keystore.key", "ssl.keystore.key")
        found = {"ssl.certificate.pem": _lines(chain), "ssl.key.pem": pem}
    elif chain or key:
        missing = "ssl.keystore.key" if chain else "ssl.keystore.certificate.chain"
        raise ConfigError({missing: f"{missing} is missing; key and certificate chain are given together"})
    elif path:
        kind = _kind("ssl.keystore.location", path)
        if kind == JKS:
            raise _wrong("ssl.keystore.location", path, kind, "a key store is read as PKCS#12 or PEM", _to_pkcs12(path))
        if kind == PKCS12:
            return _locked(path, settings)
        pem = Path(path).read_text(errors="replace")
        _check_key(pem, settings, "ssl.keystore.location", f"ssl.keystore.location {path!r}")
        found = {"ssl.certificate.location": path, "ssl.key.location": path}
    else:
        return {}
    password = settings.get("ssl.key.password")
    return {**found, "ssl.key.password": password} if password else found


def _locked(path: str, settings: Settings) -> dict[str, str]:
    password = settings.get("ssl.keystore.password")
    if not password:
        problem = (
            f"ssl.keystore.password is missing, and ssl.keystore.location {path!r} is a PKCS12 file, opened by one"
        )
        raise ConfigError({"ssl.keystore.password": problem})
    return {"ssl.keystore.location": path, "ssl.keystore.password": password}


def _check_key(pem: str, settings: Settings, setting: str, named: str) -> None:
    """What OpenSSL says of each of these is that it cannot read it."""
    if "PRIVATE KEY-----" not in pem:
        problem = f"{named} holds no private key (-----BEGIN PRIVATE KEY-----); it is PEM with the key and its"
        raise ConfigError({setting: f"{problem} certificates"})
    if any(mark in pem for mark in ENCRYPTED) and not settings.get("ssl.key.password"):
        problem = f"ssl.key.password is missing, and the private key in {named} is encrypted"
        raise ConfigError({"ssl.key.password": problem})


def _kind(setting: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
    except OSError as error:
        problem = f"{setting} {path!r} cannot be read: {error.strerror}; name a file that this user may read"
        raise ConfigError({setting: problem}) from error
    if head in JKS_MAGICS:
        return JKS
    return PKCS12 if head[:1] == b"\x30" else PEM


def _wrong(setting: str, path: str, kind: str, taken: str, remedy: str) -> ConfigError:
    return ConfigError({setting: f"{setting} {path!r} is a {kind} file, and {taken}; convert it: {remedy}"})


def _to_pkcs12(path: str) -> str:
    command = f"keytool -importkeystore -srckeystore {path} -destkeystore {path}.p12 -deststoretype PKCS12"
    return f"{command}, and name {path}.p12 instead, with its password in ssl.keystore.password"


def _to_trusted_pem(path: str, kind: str) -> str:
    """Java's trusted entries in a PKCS#12 file are unlike others': keytool reads them whatever wrote them."""
    return f"keytool -list -rfc -keystore {path} -storetype {kind} > {path}.pem, and name {path}.pem instead"


def _lines(pem: str) -> str:
    r"""PEM given in a properties file: line ends may be written as spaces or `\n`."""
    text = pem.strip().replace("\\n", "\n")
    if "\n" in text:
        return text + "\n"
    return text.replace("----- ", "-----\n").replace(" -----", "\n-----") + "\n"
