"""Numbers that Java's clients take make clients of librdkafka, too."""

import logging

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from millstream.broker.connect import open_broker
from millstream.broker.ports import ConsumerSettings
from millstream.errors import ConfigError
from millstream.settings.bounds import BOUNDS
from millstream.settings.client import client_definitions
from millstream.settings.librdkafka import translate
from millstream_api.config import ConfigType

CLIENTS = {"producer": Producer, "consumer": Consumer, "admin": AdminClient}
LARGEST = {ConfigType.INT: 2**31 - 1, ConfigType.LONG: 2**63 - 1}
NUMBERS = [
    (client, one.name, number)
    for client in CLIENTS
    for one in client_definitions(client)
    if one.type in LARGEST and not one.name.startswith(("sasl.", "compression."))
    for number in (0, 1, LARGEST[one.type])
]
#: by Java, too, with its other defaults
REFUSED = {
    *(("max.in.flight.requests.per.connection", 0), ("max.poll.interval.ms", 0), ("max.poll.records", 0)),
    *(("delivery.timeout.ms", 0), ("delivery.timeout.ms", 1), ("session.timeout.ms", 0), ("session.timeout.ms", 1)),
    *(("heartbeat.interval.ms", 0), ("heartbeat.interval.ms", 2**31 - 1)),
}
LEVELS = [("gzip", 9), ("gzip", -1), ("lz4", 17), ("zstd", 22), ("zstd", -131_072)]


def made(client, settings):
    needed = {"bootstrap.servers": "127.0.0.1:1", **({"group.id": "g"} if client == "consumer" else {})}
    CLIENTS[client]({**needed, **settings, "log_level": 0})


@pytest.mark.parametrize(("client", "name", "number"), NUMBERS)
def test_the_least_and_the_most_of_every_number_of_java_makes_a_client(client, name, number):
    if (name, number) in REFUSED:
        with pytest.raises(ConfigError, match=r" is .*; expected "):
            translate(client, {name: str(number)})
    else:
        made(client, translate(client, {name: str(number)}).settings)


@pytest.mark.parametrize(("codec", "level"), LEVELS)
def test_every_level_of_java_makes_a_producer(codec, level):
    found = translate("producer", {"compression.type": codec, f"compression.{codec}.level": str(level)})
    made("producer", found.settings)
    assert (f"compression.{codec}.level" in found.notes) == (level not in (9, -1))


@pytest.mark.parametrize("name", sorted(BOUNDS.keys() - {"compression.gzip.level", "retries"}))
def test_a_number_that_librdkafka_does_not_take_is_named_with_the_one_that_is_used(name):
    client = next(each for each in CLIENTS if name in {one.name for one in client_definitions(each)})
    codec = {"compression.type": name.split(".")[1]} if name.startswith("compression.") else {}
    high = BOUNDS[name].high
    if high == LARGEST[ConfigType.INT]:
        number, used = (BOUNDS[name].low - 1, BOUNDS[name].low) if BOUNDS[name].low > 0 else (high + 1, high)
    else:
        number, used = high + 1, high
    given = {**codec, name: str(number)}
    if name == "heartbeat.interval.ms":
        given |= {"session.timeout.ms": str(number + 1), "max.poll.interval.ms": str(number + 1)}
    if name == "session.timeout.ms":
        given["max.poll.interval.ms"] = str(number)
    notes = translate(client, given).notes
    assert f"; {used} " in notes[name]


def test_a_number_that_java_refuses_is_refused_under_its_name():
    for name, number in (
        ("linger.ms", -1),
        ("retries", -1),
        ("send.buffer.bytes", -2),
        ("max.in.flight.requests.per.connection", 0),
        ("batch.size", -1),
        ("buffer.memory", -1),
        ("max.block.ms", -1),
    ):
        with pytest.raises(ConfigError, match=rf"{name} is {number}; expected at least"):
            translate("producer", {name: str(number)})
    for name, number in (("max.poll.records", 0), ("default.api.timeout.ms", -1)):
        with pytest.raises(ConfigError, match=rf"{name} is {number}; expected at least"):
            translate("consumer", {name: str(number)})
    with pytest.raises(ConfigError, match=r"delivery\.timeout\.ms is 20; expected more than linger\.ms, which is 20"):
        translate("producer", {"delivery.timeout.ms": "20", "linger.ms": "20"})
    with pytest.raises(ConfigError, match=r"heartbeat\.interval\.ms is 45000; expected less than session\.timeout\.ms"):
        translate("consumer", {"heartbeat.interval.ms": "45000"})
    with pytest.raises(ConfigError, match=r"session\.timeout\.ms is 3000; expected more than heartbeat\.interval\.ms"):
        translate("consumer", {"session.timeout.ms": "3000"})


def test_a_setting_of_another_client_is_no_number_to_look_at():
    assert "linger.ms" not in translate("admin", {"compression.zstd.level": "x", "linger.ms": "x"}).notes


@pytest.mark.parametrize(
    ("given", "wait", "longest"),
    [
        ({"reconnect.backoff.ms": "5000"}, "5000", "5000"),
        ({"reconnect.backoff.max.ms": "10"}, "10", "10"),
        ({"reconnect.backoff.ms": "500", "reconnect.backoff.max.ms": "20"}, "20", "20"),
        ({"reconnect.backoff.ms": "20", "reconnect.backoff.max.ms": "500"}, "20", "500"),
    ],
)
def test_pauses_between_connections_are_as_java_takes_them(given, wait, longest):
    found = translate("admin", given).settings
    assert (found["reconnect.backoff.ms"], found["reconnect.backoff.max.ms"]) == (wait, longest)
    made("admin", found)


@pytest.mark.parametrize(
    ("given", "session", "poll", "named"),
    [
        ({"max.poll.interval.ms": "10000"}, "10000", "10000", "max.poll.interval.ms"),
        ({"max.poll.interval.ms": "1000"}, "6000", "6000", "max.poll.interval.ms"),
        ({"max.poll.interval.ms": "1000", "session.timeout.ms": "4000"}, "4000", "4000", "max.poll.interval.ms"),
        ({"session.timeout.ms": "600000"}, "300000", "300000", "session.timeout.ms"),
        ({"max.poll.interval.ms": "45000"}, None, "45000", None),
    ],
)
def test_a_session_is_no_longer_than_the_time_between_polls(given, session, poll, named):
    found = translate("consumer", given)
    settings = found.settings
    assert (settings.get("session.timeout.ms"), settings["max.poll.interval.ms"]) == (session, poll)
    assert set(found.notes) == ({named} if named else set())
    made("consumer", settings)


def test_a_heartbeat_that_has_to_be_more_often_than_it_is_written_is_named():
    found = translate("consumer", {"heartbeat.interval.ms": "20000", "max.poll.interval.ms": "9000"})
    assert found.settings["heartbeat.interval.ms"] == "3000"
    assert "; 3000 is used" in found.notes["heartbeat.interval.ms"]
    assert "heartbeat.interval.ms" not in translate("consumer", {"max.poll.interval.ms": "9000"}).notes


@pytest.mark.parametrize("poll", ["1000", "10000"])
def test_a_member_by_the_new_protocol_may_be_asked_for_often(poll):
    made("consumer", translate("consumer", {"group.protocol": "consumer", "max.poll.interval.ms": poll}).settings)


def test_a_sink_that_may_be_slow_for_ten_seconds_has_a_consumer_and_that_is_said(caplog):
    broker = open_broker("127.0.0.1:1", {})
    with caplog.at_level(logging.WARNING):
        broker.consumer(ConsumerSettings("c", "g", overrides={"max.poll.interval.ms": "10000"})).close()
    broker.close()
    assert "consumer.override.max.poll.interval.ms is not followed as it is written" in caplog.text
    assert "10000 and 10000 are used" in caplog.text


def test_an_answer_may_be_as_large_as_fetches_are_and_rows_that_wait_are_counted_by_the_worker():
    largest = translate("consumer", {"fetch.max.bytes": "300000000"}).settings
    assert largest["receive.message.max.bytes"] == "300000512"
    assert translate("producer", {}).settings["queue.buffering.max.messages"] == "0"
