"""HTTPS: a context from Java's `ssl.*` settings, with PEM."""

import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from millstream.errors import ConfigError

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
CLIENT_AUTH = {"none": ssl.CERT_NONE, "requested": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def server_context(settings: Mapping[str, str], prefix: str = "") -> ssl.SSLContext:
    """A context for listeners. Raises ConfigError that names the setting.

    settings: `ssl.*` as written.   prefix: what stands before them in the worker's file, for messages.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _check_type(settings, prefix, "keystore")
    _load_key(context, settings, prefix)
    _set_versions(context, settings, prefix)
    if ciphers := settings.get("ssl.cipher.suites"):
        _set_ciphers(context, ciphers, prefix)
    auth = settings.get("ssl.client.auth", "none").strip().lower()
    if auth not in CLIENT_AUTH:
        raise _problem(prefix, "ssl.client.auth", f"{auth!r} is not one of {', '.join(CLIENT_AUTH)}")
    if auth != "none":
        _check_type(settings, prefix, "truststore")
        _load_trust(context, settings, prefix)
        context.verify_mode = CLIENT_AUTH[auth]
    return context


def _check_type(settings: Mapping[str, str], prefix: str, store: str) -> None:
    location, inline = settings.get(f"ssl.{store}.location", ""), _inline(settings, store)
    kind = settings.get(f"ssl.{store}.type", "").upper()
    if inline or kind == "PEM" or (not kind and location.endswith((".pem", ".crt", ".key"))):
        return
    if store == "keystore" and not location:
        raise _problem(prefix, "ssl.keystore.location", "an https listener needs a key and a certificate, as PEM")
    if not location:
        return
    raise _problem(
        prefix,
        f"ssl.{store}.type",
        f"{location!r} is a {kind or 'JKS'} store, and this worker reads PEM. Convert it:"
        f" keytool -importkeystore -srckeystore {location} -destkeystore store.p12 -deststoretype PKCS12 &&"
        f" openssl pkcs12 -in store.p12 -nodes -out store.pem (a PKCS12 store needs the second command alone),"
        f" and set {prefix}ssl.{store}.type=PEM and {prefix}ssl.{store}.location=store.pem",
    )


def _inline(settings: Mapping[str, str], store: str) -> bool:
    return (f"ssl.{store}.certificate.chain" if store == "keystore" else f"ssl.{store}.certificates") in settings


def _load_key(context: ssl.SSLContext, settings: Mapping[str, str], prefix: str) -> None:
    password = settings.get("ssl.key.password") or settings.get("ssl.keystore.password")

    def asked() -> str:
        """Called for an encrypted key without password: nobody is to be asked on a terminal."""
        raise ValueError(f"the key is encrypted; set {prefix}ssl.key.password")

    def load(path: str) -> None:
        context.load_cert_chain(path, password=password or asked)

    if not _inline(settings, "keystore"):
        path = settings["ssl.keystore.location"]
        _used(prefix, "ssl.keystore.location", repr(path), lambda: load(path))
        return
    text = f"{settings.get('ssl.keystore.key', '')}\n{settings['ssl.keystore.certificate.chain']}\n"
    with tempfile.TemporaryDirectory() as folder:  # the module reads keys from files alone; the folder is ours, 0700
        file = Path(folder) / "key.pem"
        file.touch(mode=0o600)
        file.write_text(text)
        _used(prefix, "ssl.keystore.key", "it, with the certificate chain,", lambda: load(str(file)))


def _load_trust(context: ssl.SSLContext, settings: Mapping[str, str], prefix: str) -> None:
    inline = settings.get("ssl.truststore.certificates")
    location = settings.get("ssl.truststore.location")
    if inline:
        _used(prefix, "ssl.truststore.certificates", "it", lambda: context.load_verify_locations(cadata=inline))
    elif location:
        _used(prefix, "ssl.truststore.location", repr(location), lambda: context.load_verify_locations(location))
    else:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)


def _set_versions(context: ssl.SSLContext, settings: Mapping[str, str], prefix: str) -> None:
    text = settings.get("ssl.enabled.protocols", "TLSv1.2,TLSv1.3")
    given = [each.strip() for each in text.split(",") if each.strip()]
    if not given or not VERSIONS.keys() >= set(given):
        raise _problem(prefix, "ssl.enabled.protocols", f"{text!r} is not a list of {', '.join(VERSIONS)}")
    chosen = [VERSIONS[each] for each in given]
    context.minimum_version, context.maximum_version = min(chosen), max(chosen)


def _set_ciphers(context: ssl.SSLContext, ciphers: str, prefix: str) -> None:
    try:
        context.set_ciphers(ciphers.replace(",", ":"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; a character zero is a ValueError
        expected = "expected OpenSSL's names, such as ECDHE-RSA-AES128-GCM-SHA256, comma separated"
        raise _problem(prefix, "ssl.cipher.suites", f"{ciphers!r} cannot be used; {expected}") from error


def _used(prefix: str, setting: str, what: str, use: Callable[[], object]) -> None:
    """Use the setting. Raises ConfigError; what: what it says, or stands for what is secret or long."""
    try:
        use()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise _problem(prefix, setting, f"{what} cannot be used: {error}") from error


def _problem(prefix: str, setting: str, sentence: str) -> ConfigError:
    return ConfigError({f"{prefix}{setting}": f"{prefix}{setting}: {sentence}"})
