"""Settings of security that no client can be made of are told in Java's names, whole, with the remedy. No broker."""

from pathlib import Path

import pytest
from certificates import DAY, NOW, certificate, encrypted
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate

from millstream.broker.connect import open_broker
from millstream.broker.kafka.client.impossible import impossible
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.ports import ProducerSettings
from millstream.errors import ConfigError

SERVERS = "127.0.0.1:1"
LOGIN = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="a" password="hidden";'
SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": LOGIN}


def said_of(worker: dict[str, str], **overrides: str) -> str:
    """What making a producer says; the worker's settings are its own."""
    own = {name.replace("_", "."): text for name, text in overrides.items()}
    broker = open_broker(SERVERS, {f"producer.{name}": text for name, text in worker.items()})
    try:
        with pytest.raises(ConfigError) as caught:
            broker.producer(ProducerSettings("p", overrides=own))
    finally:
        broker.close()
    assert "hidden" not in str(caught.value)
    return str(caught.value)


def test_a_login_that_one_of_the_clients_lacks_is_told_as_that_clients() -> None:
    worker = {**SASL, "consumer.security.protocol": "SASL_PLAINTEXT", "consumer.sasl.mechanism": "PLAIN"}
    with pytest.raises(
        ConfigError,
        match=r"^consumer\.sasl\.jaas\.config is missing, and security\.protocol asks",
    ):
        Making(SERVERS, worker).tell()
    assert Making(SERVERS, worker).peer("admin", {}).who == "User:a (sasl.jaas.config)"


def test_a_setting_that_cannot_be_meant_has_its_whole_name_whoever_gave_it() -> None:
    assert "producer.sasl.jaas.config is no JAAS entry" in said_of({**SASL, "sasl.jaas.config": LOGIN[:-1]})
    assert "producer.override.sasl.jaas.config is no JAAS entry" in said_of(SASL, sasl_jaas_config=LOGIN[:-1])
    assert "producer.override.sasl.jaas.config is missing" in said_of({}, security_protocol="SASL_SSL")
    wrong = Making(SERVERS, {**SASL, "sasl.jaas.config": LOGIN[:-1]})
    with pytest.raises(ConfigError, match=r"^sasl\.jaas\.config is no JAAS entry"):
        wrong.peer("admin", {})


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-384", "DIGEST-MD5"])
def test_a_mechanism_that_is_not_there_is_told_with_those_that_are(mechanism: str) -> None:
    said = said_of({**SASL, "sasl.mechanism": mechanism})
    assert f"producer.sasl.mechanism is {mechanism!r}, which cannot be used here" in said
    assert "expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER" in said


def test_a_mechanism_that_is_not_given_is_told_to_be_the_default() -> None:
    said = str(impossible("No provider for SASL mechanism GSSAPI", Peer("b:1"), {"sasl.mechanism": "GSSAPI"}))
    assert "sasl.mechanism is 'GSSAPI' where it is not given, which cannot be used here" in said


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return certificate(tmp_path, "own", NOW + DAY)


def test_a_password_that_does_not_open_its_key_is_named(own: Path) -> None:
    path = encrypted(own, "right")
    said = said_of({"security.protocol": "SSL", "ssl.keystore.location": str(path), "ssl.key.password": "hidden"})
    assert f"producer.ssl.key.password does not open the private key of producer.ssl.keystore.location '{path}'" in said
    inline = {"ssl.keystore.key": path.read_text(), "ssl.keystore.certificate.chain": own.read_text()}
    said = said_of({"security.protocol": "SSL", **inline, "ssl.key.password": "hidden"})
    assert "producer.ssl.key.password does not open the private key of producer.ssl.keystore.key" in said


def test_a_password_that_does_not_open_its_store_is_named(own: Path) -> None:
    key = serialization.load_pem_private_key(own.read_bytes(), None)
    shut = serialization.BestAvailableEncryption(b"right")
    held = load_pem_x509_certificate(own.read_bytes())
    path = own.with_suffix(".p12")
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"own", key, held, None, shut))  # type: ignore[arg-type]  # loaded as any kind of key
    said = said_of({"security.protocol": "SSL", "ssl.keystore.location": str(path), "ssl.keystore.password": "hidden"})
    assert f"producer.ssl.keystore.password does not open producer.ssl.keystore.location '{path}'" in said


def test_a_store_that_an_old_java_wrote_is_told_with_the_command_that_converts_it() -> None:
    said = "Failed to parse ssl.keystore.location PKCS#12 file: /a.p12: error:0308010C::unsupported: (RC2-40-CBC : 0)"
    told = str(impossible(said, Peer("b:1", prefix="producer."), {"ssl.keystore.location": "/a.p12"}))
    assert "producer.ssl.keystore.location '/a.p12' is encrypted as Java did it formerly" in told
    assert "openssl pkcs12 -legacy -in /a.p12 -nodes -out /a.p12.pem, let only" in told


def test_a_key_and_a_certificate_that_do_not_belong_together_are_told(own: Path, tmp_path: Path) -> None:
    other = certificate(tmp_path, "other", NOW + DAY).read_text()
    stores = {"ssl.keystore.key": other, "ssl.keystore.certificate.chain": own.read_text()}
    said = said_of({"security.protocol": "SSL", **stores})
    assert "the private key of producer.ssl.keystore.key is another than that of its certificate" in said


def test_a_store_without_the_certificate_is_told_whether_ones_own_or_the_trusted(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN PRIVATE" + own.read_text().partition("-----BEGIN PRIVATE")[2])
    said = said_of({"security.protocol": "SSL", "ssl.keystore.location": str(path)})
    assert f"producer.ssl.keystore.location '{path}' cannot be used: it is a private key, its certificate and" in said
    said = said_of({"security.protocol": "SSL", "ssl.truststore.location": str(path)})
    assert f"producer.ssl.truststore.location '{path}' is no PEM with the CA" in said
    said = said_of({"security.protocol": "SSL", "ssl.truststore.certificates": "nothing"})
    assert "producer.ssl.truststore.certificates is no PEM with the CA" in said
