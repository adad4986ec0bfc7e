"""What cannot be a listener's TLS is refused with the setting, what it says, and what would be right."""

import re
import ssl
from pathlib import Path

import pytest
from certificates import DAY, NOW, certificate, encrypted

from millstream.errors import ConfigError
from millstream.rest.listeners import settings_of
from millstream.rest.tls import server_context


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("keys"), "localhost", NOW + DAY)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "ssl.keystore.location: an https listener needs a key and a certificate, as PEM"),
        ({"ssl.keystore.location": "store.jks"}, "'store.jks' is a JKS store, and this worker reads PEM. Convert it: "),
        (
            {"ssl.keystore.location": "store.p12", "ssl.keystore.type": "PKCS12"},
            "'store.p12' is a PKCS12 store, and this worker reads PEM. Convert it: keytool -importkeystore",
        ),
        ({"ssl.keystore.location": "/nowhere.pem"}, "ssl.keystore.location: '/nowhere.pem' cannot be used: "),
        (
            {"ssl.keystore.certificate.chain": "hidden", "ssl.keystore.key": "hidden"},
            "ssl.keystore.key: it, with the certificate chain, cannot be used: ",
        ),
    ],
)
def test_a_key_that_cannot_be_read_says_which_and_how_to_convert_it(settings: dict[str, str], said: str) -> None:
    with pytest.raises(
        ConfigError, match=re.escape(f"listeners.https.{said}" if said[:3] == "ssl" else said)
    ) as caught:
        server_context(settings, "listeners.https.")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "text", "said"),
    [
        ("ssl.client.auth", "maybe", "'maybe' is not one of none, requested, required"),
        ("ssl.enabled.protocols", "TLSv1.1,TLSv1.2", "'TLSv1.1,TLSv1.2' is not a list of TLSv1.2, TLSv1.3"),
        ("ssl.enabled.protocols", " , ", "' , ' is not a list of TLSv1.2, TLSv1.3"),
        (
            "ssl.cipher.suites",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' cannot be used; expected OpenSSL's names, such as ECDHE-",
        ),
        ("ssl.cipher.suites", "AES\0", r"'AES\x00' cannot be used; expected OpenSSL's names, such as ECDHE-"),
        ("ssl.truststore.location", "/nowhere.pem", "'/nowhere.pem' cannot be used: "),
        ("ssl.truststore.certificates", "nonsense", "it cannot be used: "),
    ],
)
def test_a_setting_of_tls_that_cannot_be_meant_is_named(own: Path, setting: str, text: str, said: str) -> None:
    settings = {"ssl.keystore.location": str(own), "ssl.client.auth": "required", setting: text}
    with pytest.raises(ConfigError, match=re.escape(f"listeners.https.{setting}: {said}")):
        server_context(settings, "listeners.https.")


@pytest.mark.parametrize(
    ("auth", "mode"), [("none", ssl.CERT_NONE), ("requested", ssl.CERT_OPTIONAL), ("Required", ssl.CERT_REQUIRED)]
)
def test_a_client_is_asked_for_a_certificate_as_the_setting_says(own: Path, auth: str, mode: ssl.VerifyMode) -> None:
    settings = {"ssl.keystore.location": str(own), "ssl.truststore.location": str(own), "ssl.client.auth": auth}
    context = server_context(settings)
    assert context.verify_mode is mode
    assert len(context.get_ca_certs()) == (mode is not ssl.CERT_NONE)


def test_versions_and_ciphers_are_those_of_the_settings(own: Path) -> None:
    suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    settings = {"ssl.keystore.location": str(own), "ssl.cipher.suites": ",".join(suites)}
    context = server_context({**settings, "ssl.enabled.protocols": "TLSv1.2"})
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert [each["name"] for each in context.get_ciphers() if each["protocol"] == "TLSv1.2"] == suites
    context = server_context(settings)
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def test_settings_of_a_kind_of_listener_stand_in_place_of_the_plain_ones() -> None:
    plain = {"ssl.keystore.location": "plain.pem", "ssl.client.auth": "required", "listeners": "https://:1"}
    own = {"listeners.https.ssl.keystore.location": "own.pem"}
    assert settings_of({**plain, **own}, "listeners.https.") == {"ssl.keystore.location": "own.pem"}
    assert settings_of({**plain, **own}, "admin.listeners.https.") == {
        "ssl.keystore.location": "plain.pem",
        "ssl.client.auth": "required",
    }


def test_an_encrypted_key_needs_its_password_and_nobody_is_asked_for_it(own: Path) -> None:
    settings = {"ssl.keystore.location": str(encrypted(own, "open sesame"))}
    with pytest.raises(
        ConfigError, match=r"cannot be used: the key is encrypted; set listeners\.https\.ssl\.key\.pass"
    ):
        server_context(settings, "listeners.https.")
    assert isinstance(server_context({**settings, "ssl.key.password": "open sesame"}), ssl.SSLContext)
