import logging

import pytest

from millstream.errors import ConfigError
from millstream.settings.reading import WITHOUT_A_FILE, unknown_settings, worker_config
from millstream.settings.rest import header_rules

LEAST = {"key.converter": "JsonConverter", "value.converter": "JsonConverter"}


def refused(**settings):
    with pytest.raises(ConfigError) as caught:
        worker_config({**LEAST, **{name.replace("__", "."): value for name, value in settings.items()}})
    return caught.value.problems


def test_a_worker_without_a_file_has_json_and_listens_on_this_machine_only():
    config = worker_config(WITHOUT_A_FILE)
    assert config.listeners == ["http://127.0.0.1:8083"]
    assert config.key_converter == "org.apache.kafka.connect.json.JsonConverter"
    assert config.bootstrap_servers is None
    assert (config.task_isolation, config.task_start, config.log_sync) == ("process", None, "normal")
    assert (config.num_partitions, config.max_message_bytes, config.log_retention_ms) == (1, 1_048_588, 604_800_000)


def test_a_file_without_converters_is_refused_as_java_refuses_it():
    with pytest.raises(ConfigError) as caught:
        worker_config({"bootstrap.servers": "sqlite:x.db"})
    assert caught.value.problems == {
        name: f'Missing required configuration "{name}" which has no default value.'
        for name in ("key.converter", "value.converter")
    }


def test_all_problems_are_said_at_once():
    problems = refused(offset__flush__interval__ms="soon", log__sync="often", num__partitions="0")
    assert problems == {
        "offset.flush.interval.ms": (
            "Invalid value soon for configuration offset.flush.interval.ms: Not a number of type LONG"
        ),
        "log.sync": "Invalid value often for configuration log.sync: String must be one of: normal, full",
        "num.partitions": "Invalid value 0 for configuration num.partitions: Value must be at least 1",
    }


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        (
            "group.id",
            "connect",
            "group.id asks for distributed mode, which is not built yet; remove it, and the worker runs alone, in"
            " standalone mode",
        ),
        (
            "metric.reporters",
            "com.example.Reporter",
            "com.example.Reporter: Java's metric reporters cannot run here; remove the setting, metrics are at GET"
            " /metrics as Prometheus text",
        ),
        (
            "ssl.engine.factory.class",
            "com.example.Factory",
            "'com.example.Factory' is a Java class and cannot run here; remove the setting and give certificates by"
            " ssl.keystore.* and ssl.truststore.*",
        ),
        (
            "listeners",
            "localhost:8083",
            "Invalid value [localhost:8083] for configuration listeners: Listener 'localhost:8083' doesn't have the"
            " right format (protocol://hostname:port).",
        ),
        (
            "listeners",
            "ftp://:1",
            'Invalid value [ftp://:1] for configuration listeners: Listener protocol must be either "http" or'
            " \"https\", and is 'ftp' in 'ftp://:1'.",
        ),
        (
            "listeners",
            "http://:99999",
            "Invalid value [http://:99999] for configuration listeners: Port 99999 in 'http://:99999' is not between 0"
            " and 65535.",
        ),
        (
            "listeners",
            "",
            "Invalid value [] for configuration listeners: At least one listener is needed, such as http://:8083",
        ),
        (
            "response.http.headers.config",
            "remove X:1",
            "Invalid value remove X:1 for configuration response.http.headers.config: 'remove X:1' is not"
            " [set|add|setDate|addDate] [name]:[value]",
        ),
        (
            "worker.memory.limit",
            "0%",
            "Invalid value 0% for configuration worker.memory.limit: expected bytes, at least 1000000, a size such as"
            " 512m or 2g, or a share of the memory from 1% to 100%",
        ),
        (
            "task.start",
            "magic",
            "Invalid value magic for configuration task.start: String must be one of: template, spawn",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_with_what_to_do(setting, value, sentence):
    assert refused(**{setting: value}) == {setting: sentence}


def test_header_rules_are_split_outside_quotes():
    text = 'add X-A: 1, "set Cache-Control: no-cache, no-store",setDate Expires:31540000000,,'
    assert header_rules(text) == [
        "add X-A: 1",
        "set Cache-Control: no-cache, no-store",
        "setDate Expires:31540000000",
    ]
    worker_config({**LEAST, "response.http.headers.config": text})


def test_an_unknown_setting_is_warned_of_with_the_nearest_known_one(caplog):
    with caplog.at_level(logging.INFO):
        worker_config({**LEAST, "offset.flush.intervall.ms": "1", "completely.strange.thing": "2"})
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "the worker does not know the setting 'offset.flush.intervall.ms', and does not use it; did you mean"
            " 'offset.flush.interval.ms'?",
        ),
        ("WARNING", "the worker does not know the setting 'completely.strange.thing', and does not use it"),
    ]


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("rest.port", "Kafka 3.0 has taken it away: write listeners=http://<host>:<port>"),
        ("acks", "it is a setting of connectors' clients: did you mean 'producer.acks'?"),
        (
            "interceptor.classes",
            "it is a setting of connectors' clients: did you mean 'producer.interceptor.classes' and"
            " 'consumer.interceptor.classes'?",
        ),
        ("tasks.max", "it is a connector's: put it into the connector's own file or request"),
        ("transforms.a.type", "it is a connector's: put it into the connector's own file or request"),
        ("plugins.path", "did you mean 'plugin.path'?"),
    ],
)
def test_an_unknown_setting_that_belongs_elsewhere_is_said_to(setting, meant):
    assert unknown_settings({**LEAST, setting: "x"}) == {setting: meant}


@pytest.mark.parametrize("listeners", ["listeners", "admin.listeners"])
def test_tls_settings_that_a_listener_has_are_not_said_to_change_nothing(listeners, caplog):
    settings = {**LEAST, listeners: "https://127.0.0.1:0", "ssl.keystore.location": "a.pem", "sasl.mechanism": "PLAIN"}
    with caplog.at_level(logging.INFO):
        worker_config(settings)
    assert [record.getMessage() for record in caplog.records] == [
        "these settings are for clients of Kafka, and change nothing on the embedded log: sasl.mechanism"
    ]


def test_a_complete_worker_file_of_java_is_read_with_a_line_for_each_thing_not_followed(caplog):
    settings = {
        **LEAST,
        "bootstrap.servers": "sqlite:/tmp/x.db",
        "key.converter.schemas.enable": "true",
        "offset.storage.file.filename": "/tmp/connect.offsets",
        "offset.flush.interval.ms": "10000",
        "plugin.path": "/usr/share/java,/opt/connectors",
        "plugin.discovery": "HYBRID_WARN",
        "producer.acks": "all",
        "config.providers": "file",
        "config.providers.file.class": "FileConfigProvider",
        "internal.key.converter": "JsonConverter",
        "internal.key.converter.schemas.enable": "false",
        "config.storage.topic": "connect-configs",
        "exactly.once.source.support": "enabled",
        "security.protocol": "SSL",
    }
    with caplog.at_level(logging.INFO):
        worker_config(settings)
    assert [record.getMessage() for record in caplog.records] == [
        "not used any more, as internal topics are always JSON without schemas: internal.key.converter,"
        " internal.key.converter.schemas.enable",
        "these settings are for a JVM, and change nothing here: plugin.path, plugin.discovery",
        "offset.storage.file.filename is not used: the embedded log keeps the offsets of sources; positions in that"
        " file are not read",
        "these settings are for clients of Kafka, and change nothing on the embedded log: security.protocol",
        "these settings are for distributed mode, and change nothing in standalone: config.storage.topic,"
        " exactly.once.source.support",
    ]
    assert unknown_settings(settings) == {}
