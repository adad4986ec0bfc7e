import json
import re
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from millstream.errors import ConfigError
from millstream.settings.librdkafka import BY_CODEC, LOGIN, OWN, RENAMED, SAME, TLS, TOKEN, UNUSED, translate

KEYS = json.loads(Path(__file__).with_name("golden").joinpath("kafka-client-keys.json").read_text())
MADE = {"producer": Producer, "consumer": Consumer, "admin": AdminClient}
FORMS = (SAME, RENAMED.keys(), OWN.keys(), TLS, LOGIN, UNUSED.keys(), BY_CODEC.keys())
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
ALICE = f'{PLAIN} required username="alice" password="secret";'
EVERY = [(client, name) for client in KEYS for name in KEYS[client]]
BOOTSTRAP = {"bootstrap.servers": "127.0.0.1:1"}
SAMPLES = {
    "client.id": "c",
    "group.id": "g",
    "group.instance.id": "i",
    "group.remote.assignor": "uniform",
    "client.rack": "r",
    "sasl.login.connect.timeout.ms": "1",
    "sasl.login.read.timeout.ms": "1",
}


def test_every_setting_of_javas_clients_has_exactly_one_row():
    for client, name in EVERY:
        assert sum(name in form for form in FORMS) == 1, (client, name)


def test_the_table_has_no_setting_that_java_has_not():
    known = {name for names in KEYS.values() for name in names}
    assert {name for form in FORMS for name in form} <= known


@pytest.mark.parametrize(("client", "name"), EVERY)
def test_a_setting_of_java_is_followed_or_named(client, name):
    given = {**BOOTSTRAP, name: _sample(client, name)}
    if client == "consumer":
        given.setdefault("group.id", "g")
    if name == "group.remote.assignor":
        given["group.protocol"] = "consumer"
    found = translate(client, given)
    assert (name in found.notes) is (name in UNUSED)
    settings = {key: text for key, text in found.settings.items() if not key.startswith("ssl.")}
    MADE[client]({**settings, "log_level": 0})  # librdkafka takes every one of them


ROUND_ROBIN = "org.apache.kafka.clients.consumer.RoundRobinAssignor"
#: a value of each key that is followed that is not its default, and what librdkafka gets for it where that is another
OTHER = {
    "bootstrap.servers": "127.0.0.1:2",
    "client.id": "c",
    "client.dns.lookup": "resolve_canonical_bootstrap_servers_only",
    "client.rack": "r",
    "reconnect.backoff.ms": "60",
    "reconnect.backoff.max.ms": "2000",
    "retry.backoff.ms": "150",
    "retry.backoff.max.ms": "900",
    "connections.max.idle.ms": "70000",
    "socket.connection.setup.timeout.ms": "9000",
    "metadata.recovery.strategy": "none",
    "metadata.recovery.rebootstrap.trigger.ms": "90000",
    "security.protocol": "SSL",
    "acks": "1",
    "retries": "7",
    "linger.ms": "9",
    "batch.size": "20000",
    "enable.idempotence": "false",
    "transaction.timeout.ms": "70000",
    "max.in.flight.requests.per.connection": "3",
    "group.id": "g2",
    "group.instance.id": "i",
    "group.protocol": "consumer",
    "group.remote.assignor": "uniform",
    "session.timeout.ms": "46000",
    "heartbeat.interval.ms": "4000",
    "max.partition.fetch.bytes": "2000000",
    "fetch.min.bytes": "5",
    "fetch.max.bytes": "60000000",
    "check.crcs": "false",
    "max.poll.interval.ms": "400000",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": "false",
    "max.request.size": ("2000000", {"message.max.bytes": "2000000"}),
    "compression.type": ("zstd", {"compression.codec": "zstd"}),
    "fetch.max.wait.ms": ("300", {"fetch.wait.max.ms": "300"}),
    "send.buffer.bytes": ("5000", {"socket.send.buffer.bytes": "5000"}),
    "receive.buffer.bytes": ("6000", {"socket.receive.buffer.bytes": "6000"}),
    "metadata.max.age.ms": ("90000", {"topic.metadata.refresh.interval.ms": "90000", "metadata.max.age.ms": "270000"}),
    "request.timeout.ms": ("20000", {"socket.timeout.ms": "20000"}),
    "delivery.timeout.ms": ("90000", {"message.timeout.ms": "90000"}),
    "auto.offset.reset": ("none", {"auto.offset.reset": "error"}),
    "partition.assignment.strategy": (ROUND_ROBIN, {"partition.assignment.strategy": "roundrobin"}),
}
NEEDS = {"group.remote.assignor": {"group.protocol": "consumer"}}
FOLLOWED = [(client, name) for client, name in EVERY if name in SAME or name in RENAMED]


@pytest.mark.parametrize(("client", "name"), FOLLOWED)
def test_a_value_that_is_not_the_default_is_what_librdkafka_gets(client, name):
    others = {**BOOTSTRAP, **({"group.id": "g"} if client == "consumer" else {}), **NEEDS.get(name, {})}
    sample = OTHER[name] if name != "enable.metrics.push" else "true" if client == "admin" else "false"
    value, expected = sample if isinstance(sample, tuple) else (sample, {name: sample})
    if name == "request.timeout.ms" and client == "producer":
        expected = {**expected, name: value}
    assert value != KEYS[client][name]
    before = translate(client, others).settings
    found = translate(client, {**others, name: value}).settings
    for key, text in expected.items():
        assert found[key] == text
        assert before.get(key) != text
    MADE[client]({**found, "log_level": 0})


@pytest.mark.parametrize(("codec", "level"), [("gzip", "3"), ("lz4", "5"), ("zstd", "7")])
def test_a_level_of_compression_is_of_the_codec_that_is_used(codec, level):
    levels = {"compression.gzip.level": "3", "compression.lz4.level": "5", "compression.zstd.level": "7"}
    assert translate("producer", {"compression.type": codec, **levels}).settings["compression.level"] == level
    assert "compression.level" not in translate("producer", levels).settings


@pytest.mark.parametrize("name", sorted(TOKEN))
def test_a_setting_of_tokens_is_what_librdkafka_gets(name):
    oauth = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"}
    sample = "77" if name.endswith(".seconds") else "true" if name.endswith(".include") else "sample"
    assert translate("producer", {**oauth, name: sample}).settings[TOKEN[name]] == sample


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_mechanism_is_what_librdkafka_gets(mechanism):
    login = {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.jaas.config": ALICE}
    found = translate("producer", login).settings
    assert (found["security.protocol"], found["sasl.mechanism"]) == ("SASL_SSL", mechanism)
    assert (found["sasl.username"], found["sasl.password"]) == ("alice", "secret")


def test_kerberos_settings_are_what_librdkafka_gets():
    kerberos = {"sasl.kerberos.service.name": "kafka", "sasl.kerberos.min.time.before.relogin": "70000"}
    module = 'com.sun.security.auth.module.Krb5LoginModule required principal="p@R" keyTab="/k";'
    given = {"security.protocol": "SASL_PLAINTEXT", **kerberos, "sasl.jaas.config": module}
    found = translate("consumer", given).settings
    assert {name: found[name] for name in kerberos} == kerberos
    assert (found["sasl.mechanism"], found["sasl.kerberos.principal"]) == ("GSSAPI", "p@R")
    assert found["sasl.kerberos.keytab"] == "/k"


def _sample(client, name):
    default = KEYS[client][name]
    if name in SAMPLES:
        return SAMPLES[name]
    return "127.0.0.1:1" if name == "bootstrap.servers" else default or "x"


def test_javas_and_connects_defaults_where_librdkafkas_differ():
    producer = translate("producer", BOOTSTRAP).settings
    assert producer["message.timeout.ms"] == "0"  # for ever
    assert (producer["enable.idempotence"], producer["max.in.flight.requests.per.connection"]) == ("true", "5")
    assert producer["partitioner"] == "murmur2_random"
    assert producer["message.max.bytes"] == "1048576"
    consumer = translate("consumer", {**BOOTSTRAP, "group.id": "g"}).settings
    assert consumer["isolation.level"] == "read_uncommitted"
    assert consumer["check.crcs"] == "true"
    assert consumer["enable.auto.commit"] == "false"
    assert consumer["reconnect.backoff.max.ms"] == "1000"


@pytest.mark.parametrize(
    ("given", "idempotent", "in_flight"),
    [
        ({"enable.idempotence": "false"}, "false", "1"),
        ({"acks": "1"}, "false", "1"),
        ({"acks": "-1"}, "true", "5"),
        ({"retries": "0"}, "false", "1"),
        ({"max.in.flight.requests.per.connection": "9"}, "false", "9"),
        ({"max.in.flight.requests.per.connection": "2"}, "true", "2"),
    ],
)
def test_a_producer_is_idempotent_unless_its_settings_forbid_it(given, idempotent, in_flight):
    found = translate("producer", {**BOOTSTRAP, **given}).settings
    assert (found["enable.idempotence"], found["max.in.flight.requests.per.connection"]) == (idempotent, in_flight)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("acks", "1", "Must set acks to all in order to use the idempotent producer."),
        ("retries", "0", "Must set retries to non-zero when using the idempotent producer."),
        ("max.in.flight.requests.per.connection", "6", "must be set to at most 5. Current value is 6."),
    ],
)
def test_what_forbids_the_idempotence_that_is_asked_for_is_refused_in_javas_words(name, text, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        translate("producer", {**BOOTSTRAP, "enable.idempotence": "true", name: text})
    assert [found for found, _ in caught.value.found] == [name]


def test_a_reset_by_duration_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"expected earliest, latest or none, as there is no by_duration here"):
        translate("consumer", {**BOOTSTRAP, "auto.offset.reset": "by_duration:PT1H"})


def test_other_names_and_forms():
    found = translate(
        "producer",
        {
            "delivery.timeout.ms": "9000",
            "compression.type": "gzip",
            "compression.gzip.level": "3",
            "compression.zstd.level": "9",
            "send.buffer.bytes": "-1",
            "metadata.max.age.ms": "1000",
        },
    ).settings
    assert found["message.timeout.ms"] == "9000"
    assert (found["compression.codec"], found["compression.level"]) == ("gzip", "3")
    assert found["socket.send.buffer.bytes"] == "0"
    assert (found["topic.metadata.refresh.interval.ms"], found["metadata.max.age.ms"]) == ("1000", "3000")


@pytest.mark.parametrize(
    ("given", "strategy", "note"),
    [
        ("org.apache.kafka.clients.consumer.RangeAssignor", "range", None),
        ("class org.apache.kafka.clients.consumer.CooperativeStickyAssignor", "cooperative-sticky", None),
        ("x.RangeAssignor,x.CooperativeStickyAssignor", "range", None),
        ("x.RoundRobinAssignor, x.RangeAssignor", "roundrobin,range", None),
        ("x.StickyAssignor", "range", "StickyAssignor is not there; partitions go by range"),
    ],
)
def test_assignors_by_their_java_names(given, strategy, note):
    found = translate("consumer", {"partition.assignment.strategy": given})
    assert found.settings["partition.assignment.strategy"] == strategy
    assert found.notes.get("partition.assignment.strategy") == note


def test_the_new_group_protocol_leaves_to_the_broker_what_is_its_own():
    found = translate("consumer", {"group.protocol": "consumer", "session.timeout.ms": "9000"}).settings
    assert not {"session.timeout.ms", "partition.assignment.strategy"} & found.keys()


def test_a_setting_that_neither_knows_is_named():
    assert translate("admin", {"acks": "all"}).notes == {}
    notes = translate("producer", {"abc": "1"}).notes
    assert notes == {"abc": "Kafka's producer has no such setting; it is not used"}
    notes = translate("producer", {"override.linger.ms": "1"}).notes
    assert notes == {
        "override.linger.ms": "Kafka's producer has no such setting; it is not used (in a worker's file it is"
        " producer.linger.ms)"
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"security.protocol": "TLS"}, "security.protocol is 'TLS'; expected PLAINTEXT, SSL,"),
        ({"linger.ms": "soon"}, "Invalid value soon for configuration linger.ms: Not a number of type LONG"),
        ({"security.protocol": "SASL_SSL"}, "sasl.jaas.config is missing, and security.protocol asks for SASL"),
    ],
)
def test_what_cannot_be_meant_is_refused_under_javas_name(given, sentence):
    with pytest.raises(ConfigError) as caught:
        translate("producer", given)
    assert sentence in str(caught.value)


def test_a_login_by_name_and_password():
    found = translate(
        "producer",
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required\n"
            ' username="al\\"ice" password=secret;',
        },
    ).settings
    assert found["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (found["sasl.username"], found["sasl.password"]) == ('al"ice', "secret")


def test_login_settings_matter_to_sasl_alone():
    found = translate("producer", {"sasl.mechanism": "PLAIN", "sasl.jaas.config": "nonsense"})
    assert not any(name.startswith("sasl.") for name in found.settings)
    assert found.notes == {}


def test_a_login_by_token_of_an_oidc_provider():
    found = translate(
        "producer",
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.token.endpoint.url": "https://login/token",
            "sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
            'clientId="me" clientSecret="secret" scope="kafka" extension_a="b";',
        },
    ).settings
    assert found["sasl.oauthbearer.method"] == "oidc"
    assert found["sasl.oauthbearer.client.id"] == "me"
    assert found["sasl.oauthbearer.client.secret"] == "secret"
    assert found["sasl.oauthbearer.scope"] == "kafka"
    assert found["sasl.oauthbearer.extensions"] == "a=b"
    assert found["sasl.oauthbearer.token.endpoint.url"] == "https://login/token"


@pytest.mark.parametrize("name", sorted(set(TOKEN.values())))
def test_librdkafka_has_what_settings_of_tokens_are_translated_to(name):
    sample = {"sasl.oauthbearer.assertion.algorithm": "RS256", "sasl.oauthbearer.assertion.claim.jti.include": "true"}
    Producer({"log_level": 0, name: sample.get(name, "1")})


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            f'{PLAIN} required username="a" password="hidden"',
            "is no JAAS entry (module, flag, options, and a semicolon at the end); expected such as org.apache.kafka",
        ),
        (
            'x.Module required username="a" password="hidden";',
            "names the login module 'x.Module', which cannot run",
        ),
        (
            f'{PLAIN} required username="a";',
            "lacks password; expected such as org.apache.kafka.common.security.plain.PlainLoginModule required",
        ),
        (f'{PLAIN} required username="a" = hidden;', 'something that is no option name="value" behind username'),
    ],
)
def test_a_wrong_login_entry_is_named_without_its_content(entry, sentence):
    with pytest.raises(ConfigError) as caught:
        translate(
            "admin", {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": entry}
        )
    assert sentence in str(caught.value)
    assert "hidden" not in str(caught.value)


KEY = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"
LOCKED = KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")
LOCKED_BEFORE = KEY.replace("PRIVATE KEY-----\nabc", "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nabc")
CHAIN = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"


@pytest.fixture
def stores(tmp_path):
    for name, head in (("jks", b"\xfe\xed\xfe\xed\0\0"), ("p12", b"\x30\x82\x01\x02"), ("pem", b"-----BEGIN")):
        tmp_path.joinpath(f"store.{name}").write_bytes(head)
    return tmp_path


def tls(**given):
    return translate("producer", {"security.protocol": "SSL", **{k.replace("_", "."): v for k, v in given.items()}})


def test_pem_stores_are_read_whatever_type_is_written(stores):
    pem = str(stores / "store.pem")
    Path(pem).write_text(KEY)
    found = tls(ssl_truststore_location=pem, ssl_truststore_type="JKS", ssl_keystore_location=pem).settings
    assert found["ssl.ca.location"] == found["ssl.certificate.location"] == found["ssl.key.location"] == pem


def test_a_pkcs12_key_store_is_read(stores):
    p12 = str(stores / "store.p12")
    found = tls(ssl_keystore_location=p12, ssl_keystore_password="changeit").settings
    assert (found["ssl.keystore.location"], found["ssl.keystore.password"]) == (p12, "changeit")


@pytest.mark.parametrize(
    ("setting", "kind", "said"),
    [
        (
            "ssl_truststore_location",
            "jks",
            "is a JKS file, and a trust store is read as PEM alone; convert it: keytool -list",
        ),
        (
            "ssl_truststore_location",
            "p12",
            "is a PKCS12 file, and a trust store is read as PEM alone; convert it: keytool",
        ),
        (
            "ssl_keystore_location",
            "jks",
            "is a JKS file, and a key store is read as PKCS#12 or PEM; convert it: keytool -im",
        ),
    ],
)
def test_other_stores_are_refused_with_the_command_that_converts_them(stores, setting, kind, said):
    path = str(stores / f"store.{kind}")
    with pytest.raises(ConfigError) as caught:
        tls(**{setting: path})
    assert f"{setting.replace('_', '.')} {path!r} {said}" in str(caught.value)


def test_what_a_converted_key_store_is_opened_by_is_said(stores):
    path = str(stores / "store.jks")
    with pytest.raises(ConfigError) as caught:
        tls(ssl_keystore_location=path)
    assert f"and name {path}.p12 instead, with its password in ssl.keystore.password" in str(caught.value)


def test_a_pkcs12_key_store_without_its_password_is_refused(stores):
    with pytest.raises(ConfigError, match=r"ssl\.keystore\.password is missing, and ssl\.keystore\.location '.*p12'"):
        tls(ssl_keystore_location=str(stores / "store.p12"))


@pytest.mark.parametrize("locked", [LOCKED, LOCKED_BEFORE])
def test_an_encrypted_key_without_its_password_is_refused_whether_in_a_file_or_in_the_settings(tmp_path, locked):
    path = tmp_path / "key.pem"
    path.write_text(locked + CHAIN)
    ways = (
        {"ssl_keystore_location": str(path)},
        {"ssl_keystore_key": locked, "ssl_keystore_certificate_chain": CHAIN},
    )
    for given in ways:
        with pytest.raises(ConfigError, match=r"ssl\.key\.password is missing, and the private key in ssl\.keystore"):
            tls(**given)
        assert tls(**given, ssl_key_password="p").settings["ssl.key.password"] == "p"


def test_a_key_store_without_a_key_is_refused(tmp_path):
    path = tmp_path / "chain.pem"
    path.write_text(CHAIN)
    with pytest.raises(ConfigError, match=r"ssl\.keystore\.location '.*chain\.pem' holds no private key"):
        tls(ssl_keystore_location=str(path))
    with pytest.raises(ConfigError, match=r"ssl\.keystore\.key holds no private key"):
        tls(ssl_keystore_key=CHAIN, ssl_keystore_certificate_chain=CHAIN)


def test_a_store_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"ssl.truststore.location '/nowhere/x' cannot be read: No such file"):
        tls(ssl_truststore_location="/nowhere/x")


def test_pem_in_the_settings_themselves_with_line_ends_as_a_properties_file_has_them():
    found = tls(
        ssl_truststore_certificates="-----BEGIN CERTIFICATE----- abc -----END CERTIFICATE-----",
        ssl_keystore_key="-----BEGIN PRIVATE KEY-----\\nabc\\n-----END PRIVATE KEY-----",
        ssl_keystore_certificate_chain="-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        ssl_key_password="p",
    ).settings
    assert found["ssl.ca.pem"] == "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
    assert found["ssl.key.pem"] == "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"
    assert found["ssl.key.password"] == "p"


def test_a_key_without_its_certificate_is_refused():
    with pytest.raises(ConfigError, match=r"ssl\.keystore\.certificate\.chain is missing; key and cert"):
        tls(ssl_keystore_key="-----BEGIN PRIVATE KEY-----")


def test_cipher_suites_are_a_list_of_openssls():
    found = tls(ssl_cipher_suites="TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256").settings
    assert found["ssl.cipher.suites"] == "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"


def test_host_names_are_checked_unless_that_is_switched_off():
    assert tls().settings["ssl.endpoint.identification.algorithm"] == "https"
    assert tls(ssl_endpoint_identification_algorithm="").settings["ssl.endpoint.identification.algorithm"] == "none"


def test_a_consumer_whose_queue_was_full_asks_again_at_once_and_not_after_a_second() -> None:
    consumer = translate("consumer", {}).settings
    assert (consumer["fetch.queue.backoff.ms"], consumer["queued.min.messages"]) == ("10", "10000")
