"""Settings that librdkafka makes no client of: what it says of them, in Java's names and with the remedy."""

from collections.abc import Mapping

from millstream.broker.kafka.client.peer import Peer
from millstream.errors import ConfigError

MECHANISMS = "expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"


def impossible(said: str, peer: Peer, settings: Mapping[str, str]) -> ConfigError:
    """said: librdkafka's text.   settings: librdkafka's."""
    name, problem = _of_login(said, peer, settings) or _of_stores(said, peer, settings) or ("", "")
    if name:
        return ConfigError({peer.setting(name): f"{problem} ({said})"})
    return ConfigError({f"{peer.client} client": f"the settings of the {peer.client} are not possible: {said}"})


def _of_login(said: str, peer: Peer, settings: Mapping[str, str]) -> tuple[str, str] | None:
    if "SASL mechanism" not in said and "hash function" not in said:
        return None
    found = f"{peer.setting('sasl.mechanism')} is {settings.get('sasl.mechanism')!r}"
    default = "" if "sasl.mechanism" in peer.names else " where it is not given"
    return "sasl.mechanism", f"{found}{default}, which cannot be used here; {MECHANISMS}"


def _of_stores(said: str, peer: Peer, settings: Mapping[str, str]) -> tuple[str, str] | None:
    """Java's setting, and the sentence about it. Passwords are not shown, and paths are."""
    if "ssl.ca." in said:
        name = "ssl.truststore.certificates" if "ssl.ca.pem" in settings else "ssl.truststore.location"
        shown = _shown(name, peer, settings.get("ssl.ca.location"))
        return name, f"{shown} is no PEM with the CA of the brokers' certificates"
    path = settings.get("ssl.keystore.location") or settings.get("ssl.key.location")
    name = "ssl.keystore.key" if path is None else "ssl.keystore.location"
    shown = _shown(name, peer, path)
    if "mac verify failure" in said:
        return "ssl.keystore.password", f"{peer.setting('ssl.keystore.password')} does not open {shown}"
    if "PKCS#12" in said and "unsupported" in said:
        command = f"openssl pkcs12 -legacy -in {path} -nodes -out {path}.pem"
        old = f"{shown} is encrypted as Java did it formerly, which is not read here; convert it: {command}"
        return name, f"{old}, let only the worker's user read that, and name it instead"
    if "key values mismatch" in said:
        return name, f"the private key of {shown} is another than that of its certificate"
    if "ssl.key." in said and "ssl.key.password" in settings:
        return "ssl.key.password", f"{peer.setting('ssl.key.password')} does not open the private key of {shown}"
    if any(part in said for part in ("ssl.key.", "ssl.certificate.", "ssl.keystore.")):
        return name, f"{shown} cannot be used: it is a private key, its certificate and those that signed it"
    return None


def _shown(name: str, peer: Peer, path: str | None) -> str:
    return peer.setting(name) if path is None else f"{peer.setting(name)} {path!r}"
