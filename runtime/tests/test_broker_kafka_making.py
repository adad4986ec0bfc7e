"""From a worker's and a connector's settings to clients: what wins, what is said, what is refused. No broker needed."""

import logging
import socket
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.broker.connect import open_broker
from millstream.broker.kafka import broker
from millstream.broker.kafka.client.contact import Patience, await_contact, steps
from millstream.broker.kafka.client.failures import Watch, explained
from millstream.broker.kafka.client.lines import Seldom
from millstream.broker.kafka.client.making import Making, check_resolvable
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.consumer import _composed
from millstream.broker.kafka.writing.clients import Terms
from millstream.broker.ports import ConsumerSettings, ProducerSettings
from millstream.errors import BrokerError, ConfigError, FencedError
from millstream.lifecycle import ManualClock, StopToken
from millstream.settings.librdkafka import translate

SERVERS = "127.0.0.1:1"


def making(**worker: str) -> Making:
    return Making(SERVERS, {name.replace("_", "."): text for name, text in worker.items()})


def test_the_connectors_settings_win_over_the_workers_and_those_over_ours():
    worker = making(producer_linger_ms="1", producer_acks="1", consumer_client_id="theirs")
    terms = Terms.of(worker, ProducerSettings("ours", overrides={"acks": "all"}, queue_bytes=5_000_000))
    assert terms.java == {"client.id": "ours", "bootstrap.servers": SERVERS, "linger.ms": "1", "acks": "all"}
    assert terms.buffer == 5_000_000
    java, _ = _composed(worker, ConsumerSettings("ours", "g"))
    assert java["client.id"] == "theirs"


def test_what_a_connector_says_of_the_buffer_wins_over_the_share_of_memory():
    terms = Terms.of(making(), ProducerSettings("p", overrides={"buffer.memory": "99"}, queue_bytes=5_000_000))
    assert terms.buffer == 99


def test_security_without_a_prefix_is_the_admin_clients_alone():
    worker = making(security_protocol="SSL", admin_request_timeout_ms="1", metrics_num_samples="3", key_converter="x")
    assert worker.settings("producer", {}) == {"bootstrap.servers": SERVERS}
    assert worker.settings("admin", {}) == {
        "bootstrap.servers": SERVERS,
        "security.protocol": "SSL",
        "request.timeout.ms": "1",
    }


def test_a_reader_without_a_group_sees_committed_rows_alone_and_a_member_what_its_settings_say():
    reader, beside = _composed(making(), ConsumerSettings("r"))
    assert (reader["isolation.level"], beside) == ("read_committed", {"enable.partition.eof": True})
    member, beside = _composed(making(), ConsumerSettings("m", "g"))
    assert "isolation.level" not in member
    assert beside == {}


def test_what_a_member_reads_ahead_and_asks_for_at_once_is_a_quarter_of_its_share():
    member, beside = _composed(making(), ConsumerSettings("m", "g", queue_bytes=8 << 20))
    assert (member["fetch.max.bytes"], member["max.partition.fetch.bytes"]) == (str(2 << 20), str(1 << 20))
    assert beside == {"queued.max.messages.kbytes": 2048, "queued.min.messages": 4096}
    member, beside = _composed(making(), ConsumerSettings("m", "g", queue_bytes=4 << 20))
    assert (member["fetch.max.bytes"], member["max.partition.fetch.bytes"]) == (str(1 << 20), str(1 << 19))
    assert beside == {"queued.max.messages.kbytes": 1024, "queued.min.messages": 2048}


def test_a_large_share_is_rows_for_longer_than_librdkafka_rests_when_it_has_enough():
    _, beside = _composed(making(), ConsumerSettings("m", "g", queue_bytes=64 << 20))
    rest_ms = int(making().translated("consumer", {})["fetch.queue.backoff.ms"])
    assert beside["queued.min.messages"] >= 1_500 * 2 * rest_ms  # 1.5 million rows a second


def test_what_an_operator_lets_a_member_fetch_stays_as_it_is():
    said = making(**{"consumer.fetch.max.bytes": "50000000", "consumer.max.partition.fetch.bytes": "3000000"})
    member, _ = _composed(said, ConsumerSettings("m", "g", queue_bytes=4 << 20))
    assert (member["fetch.max.bytes"], member["max.partition.fetch.bytes"]) == ("50000000", "3000000")


def test_what_is_not_followed_is_said_once_the_workers_by_the_worker_a_connectors_by_its_task(caplog):
    worker = making(producer_interceptor_classes="x")
    worker.tell()
    worker.tell()
    for _ in range(2):
        Terms.of(worker, ProducerSettings("p", overrides={"interceptor.classes": "x", "abc": "1"}))
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(" is not followed as it is written: ")[::2] for text in said] == [
        (
            "producer.interceptor.classes",
            translate("producer", {"interceptor.classes": "x"}).notes["interceptor.classes"],
        ),
        ("producer.override.abc", translate("producer", {"abc": "1"}).notes["abc"]),
    ]


def test_listeners_of_the_rest_api_are_no_settings_of_an_admin_client(caplog):
    rest = {"admin.listeners": "https://127.0.0.1:0", "admin.listeners.https.ssl.keystore.location": "a.pem"}
    Making(SERVERS, {**rest, "admin.request.timeout.ms": "9000"}).tell()
    assert caplog.messages == []


def test_settings_that_librdkafka_refuses_are_a_configuration_error():
    broker = open_broker(SERVERS, {"consumer.client.dns.lookup": "default"})
    with pytest.raises(ConfigError, match=r"the settings of the consumer are not possible: .*client\.dns\.lookup"):
        broker.consumer(ConsumerSettings("c", "g"))


@pytest.mark.parametrize("servers", ["kafka", "kafka:", ":9092", "kafka:port"])
def test_servers_that_are_no_addresses_are_named(servers):
    with pytest.raises(ConfigError, match="expected host:port"):
        check_resolvable(servers)


def test_one_server_with_an_address_is_enough(monkeypatch):
    def looked_up(host, port):  # a name server that is away answers late
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    check_resolvable("nowhere.invalid:1, PLAINTEXT://127.0.0.1:2")


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (KafkaError._AUTHENTICATION, "SASL authentication error: no", "check sasl.jaas.config and sasl.mechanism"),
        (KafkaError._SSL, "certificate verify failed: x, verify that ssl.ca.location is", "ssl.truststore.location"),
        (
            KafkaError._SSL,
            "routines::ssl/tls alert bad certificate: SSL alert number 42",
            "check ssl.keystore.location",
        ),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "no", "grant Read on the group GROUP: kafka-acls.sh --add"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, "no", "producer.enable.idempotence=false"),
    ],
)
def test_what_cannot_pass_by_itself_is_raised_with_the_setting(code, text, said):
    watch = Watch("c", SERVERS)
    watch.heard(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    watch.check()
    watch.heard(KafkaError(code, text))
    with pytest.raises(BrokerError) as caught:
        watch.check()
    assert said in str(caught.value)
    assert "ssl.ca.location" not in str(caught.value)
    assert not caught.value.retriable


EVE = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="eve" password="x";'


def test_whom_a_client_talks_to_and_by_which_settings() -> None:
    worker = making(bootstrap_servers=SERVERS, producer_acks="1", consumer_security_protocol="PLAINTEXT")
    plain = worker.peer("producer", {"acks": "1"})
    assert (str(plain), plain.apart, plain.who) == (f"bootstrap.servers {SERVERS}", False, "User:ANONYMOUS")
    assert plain.setting("acks") == "producer.acks"
    assert plain.setting("ssl.truststore.location") == "producer.ssl.truststore.location"
    own = worker.peer("consumer", {"security.protocol": "PLAINTEXT", "bootstrap.servers": "127.0.0.1:2"}, "g")
    assert str(own) == "consumer.override.bootstrap.servers 127.0.0.1:2"
    assert (own.apart, own.group) == (True, "g")
    assert own.setting("security.protocol") == "consumer.security.protocol"
    assert own.setting("max.poll.records") == "consumer.override.max.poll.records"
    assert worker.peer("admin", {}).setting("ssl.truststore.location") == "ssl.truststore.location"


def test_a_client_that_talks_in_another_way_than_the_worker_is_apart_and_one_with_another_login_is_not() -> None:
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    worker = making(**{**login, "sasl.jaas.config": EVE.replace("eve", "alice")})
    assert worker.peer("producer", {}).apart
    eve = worker.peer("producer", {**login, "sasl.jaas.config": EVE})
    assert (eve.apart, eve.who) == (False, "User:eve (producer.override.sasl.jaas.config)")
    assert not making().peer("producer", {"security.protocol": "plaintext"}).apart


@pytest.mark.parametrize(
    ("client", "code", "granted"),
    [
        ("consumer", KafkaError.TOPIC_AUTHORIZATION_FAILED, "--operation Read --operation Describe --topic t"),
        ("producer", KafkaError.TOPIC_AUTHORIZATION_FAILED, "--operation Write --operation Describe --topic t"),
        ("admin", KafkaError.TOPIC_AUTHORIZATION_FAILED, "--operation Create --operation Describe --topic t"),
        ("consumer", KafkaError.GROUP_AUTHORIZATION_FAILED, "--operation Read --group g"),
        ("producer", KafkaError.CLUSTER_AUTHORIZATION_FAILED, "--operation IdempotentWrite --cluster; or set"),
    ],
)
def test_a_missing_right_is_told_with_whose_it_is_and_the_command_that_grants_it(client, code, granted) -> None:
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": EVE}
    peer = making().peer(client, login, "g")
    said = str(explained(KafkaError(code, "no"), "doing", peer, "t"))
    assert said.startswith(f"doing: not authorized, as User:eve ({client}.override.sasl.jaas.config) (no); grant ")
    right, *instead = granted.split("; ")
    command = f"kafka-acls.sh --add --allow-principal User:eve {right} --bootstrap-server {SERVERS} --command-config"
    whose = "admin.properties; admin.properties holds security.protocol and the login of one who may grant it"
    assert "; ".join([f"{command} {whose}", *instead]) in said


def test_two_members_of_one_instance_id_are_told_with_the_setting() -> None:
    peer = Making("127.0.0.1:1", {"consumer.group.instance.id": "me"}).peer("consumer", {})
    said = "Fatal error: Broker: Static consumer fenced by other consumer with same group.instance.id"
    for code in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
        error = explained(KafkaError(code, said), "reading", peer)
        assert "member with the same consumer.group.instance.id: set tasks.max to 1, or leave that out" in str(error)
        assert not error.retriable


def test_a_session_that_the_brokers_do_not_take_is_told_with_the_setting() -> None:
    peer = making().peer("consumer", {"session.timeout.ms": "100", "heartbeat.interval.ms": "50"}, "g")
    error = explained(KafkaError(KafkaError.INVALID_SESSION_TIMEOUT, "JoinGroup failed"), "reading", peer)
    assert str(error).startswith("reading: JoinGroup failed; set consumer.override.session.timeout.ms to what the ")
    assert "group.min.session.timeout.ms" in str(error)
    assert not error.retriable


@pytest.mark.parametrize("given", ["worker", "connector"])
def test_the_command_that_grants_a_right_has_a_file_with_a_login_where_the_brokers_ask_for_one(given) -> None:
    def said(protocol: str) -> str:
        asked = {"security.protocol": protocol}
        worker, own = (asked, {}) if given == "worker" else ({}, asked)
        peer = Making(SERVERS, {f"producer.{name}": text for name, text in worker.items()}).peer("producer", own)
        return str(explained(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no"), "doing", peer, "t"))

    assert said("PLAINTEXT").endswith(f"--bootstrap-server {SERVERS}")
    assert f"--bootstrap-server {SERVERS} --command-config admin.properties; admin.properties holds" in said("SSL")


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN])
def test_who_does_not_answer_is_told_with_the_setting_that_names_him(code) -> None:
    peer = making().peer("consumer", {"bootstrap.servers": "127.0.0.1:2"})
    error = explained(KafkaError(code, "no answer"), "committing positions", peer)
    assert str(error) == "committing positions: no answer (consumer.override.bootstrap.servers 127.0.0.1:2)"
    assert error.retriable


class Probe:
    """An admin client whose brokers answer once they are there."""

    def __init__(self, clock: ManualClock, there: bool = False, takes: float = 0.0) -> None:
        self.clock = clock
        self.there = there
        self.takes = takes  # seconds, of each answer
        self.asked: list[float] = []

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        assert topic, "all topics of a large cluster take long"
        self.asked.append(timeout)
        if not self.there or timeout < self.takes:
            self.clock.advance(timeout)
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(brokers={1: SimpleNamespace(host="127.0.0.1", port=2)})

    def poll(self, timeout: float) -> None:
        """Nothing is heard."""


def own_watch() -> Watch:
    return Watch("c", making().peer("producer", {"bootstrap.servers": "127.0.0.1:2"}))


def test_a_client_that_is_never_answered_is_given_up_when_its_time_is_over() -> None:
    clock, watch = ManualClock(), own_watch()
    probe = Probe(clock)
    await_contact(probe, watch, Patience(2.5, "producer.override.max.block.ms"), clock, StopToken())
    assert 2.5 <= clock.monotonic() <= 2.6
    with pytest.raises(BrokerError, match=r"127.0.0.1:2 did not answer within 2.5 s \(producer.override.max") as caught:
        watch.check()
    assert not caught.value.retriable


def test_brokers_whose_answers_take_long_are_heard() -> None:
    clock, watch = ManualClock(), own_watch()
    probe = Probe(clock, there=True, takes=20.0)
    await_contact(probe, watch, Patience(60.0, "x"), clock, StopToken())
    assert watch.met
    assert probe.asked == [1.0, 2.0, 4.0, 8.0, 16.0, 29.0]
    watch.check()


def test_an_answer_that_comes_with_the_end_of_patience_counts() -> None:
    watch = own_watch()
    watch.answered()
    watch.give_up(BrokerError("nobody answered"))
    watch.check()


def test_the_worker_asks_its_own_brokers_again_for_longer_each_time_and_can_still_be_interrupted() -> None:
    clock = ManualClock()
    asked = []
    for seconds in steps(30.0, clock, 5.0):
        asked.append(seconds)
        clock.advance(seconds)
    assert asked == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 3.0, 0.01]


def test_a_worker_that_waits_for_its_brokers_says_so_and_in_the_end_for_how_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(Making, "admin", lambda making, java, watch: Probe(clock))
    kafka = broker.KafkaBroker(SERVERS, {"default.api.timeout.ms": "9000"})
    kafka._clock = clock  # type: ignore[assignment]  # waiting moves it
    with pytest.raises(BrokerError, match=r":1 could not be reached within 9 s \(default\.api\.timeout\.ms\)"):
        _ = kafka.cluster_id
    assert [record.getMessage().partition(":1 ")[2] for record in caplog.records] == [
        "cannot be reached yet: no answer; security.protocol may be another than that of the brokers' listener"
    ]


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_no_client_is_left_behind_when_what_asks_its_brokers_cannot_be_made(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(broker, "KafkaProducer", lambda *_: made.append("producer"))
    monkeypatch.setattr(broker, "KafkaConsumer", lambda *_: made.append("consumer"))

    def impossible(*_: object) -> None:
        raise ConfigError({"admin client": "not possible"})

    monkeypatch.setattr(Making, "admin", impossible)
    own = {"bootstrap.servers": "127.0.0.1:2"}
    kafka = broker.KafkaBroker(SERVERS, {})
    settings = ProducerSettings if client == "producer" else ConsumerSettings
    with pytest.raises(ConfigError):
        getattr(kafka, client)(settings("c", overrides=own))
    assert not made


def test_a_client_that_was_answered_once_is_not_given_up() -> None:
    clock, watch, stopped = ManualClock(), own_watch(), StopToken()
    await_contact(Probe(clock, there=True), watch, Patience(0.0, "x"), clock, StopToken())
    assert watch.met
    stopped.set()
    for met, stop in ((True, StopToken()), (False, stopped)):
        watch = own_watch()
        watch.met = met
        probe = Probe(clock)
        await_contact(probe, watch, Patience(9.0, "x"), clock, stop)
        assert not probe.asked
        watch.check()


def test_what_is_wrong_with_the_connection_is_the_reason_and_not_its_consequence():
    watch = Watch("c", SERVERS)
    assert "security.protocol" in watch.problem
    watch.heard(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    watch.heard(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert watch.problem == "Connection refused"
    error = watch.unreachable("asking")
    assert str(error) == "asking: bootstrap.servers 127.0.0.1:1 cannot be reached: Connection refused"
    assert error.retriable


def test_that_brokers_do_not_answer_is_said_while_it_lasts_and_once_when_it_is_over(caplog):
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    watch = Watch("c", SERVERS, clock)

    def down() -> None:
        watch.heard(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
        watch.heard(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))

    down()
    watch.answered()
    down()
    clock.advance(600.0)
    down()
    assert not caplog.records  # idle connections ended
    watch.answered()
    for _ in range(400):
        clock.advance(0.1)
        watch.heard(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    watch.answered()
    watch.answered()
    sentence = "brokers of bootstrap.servers 127.0.0.1:1 cannot be reached: Connection refused. Nothing is skipped"
    assert [record.getMessage().startswith(sentence) for record in caplog.records] == [True, True, False]
    assert caplog.records[-1].getMessage() == "bootstrap.servers 127.0.0.1:1 can be reached"


def test_who_is_asked_says_it_to_who_asks(caplog):
    watch = Watch("c", SERVERS)
    for _ in range(3):
        watch.heard(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    watch.answered()
    assert not caplog.records


def test_a_lasting_trouble_is_in_the_log_every_30_seconds():
    clock = ManualClock()
    seldom = Seldom(clock)

    def passes(text: str) -> bool:
        return seldom.filter(logging.LogRecord("l", logging.ERROR, "f", 1, text, (), None))

    assert passes("FAIL after 12 ms")
    assert not passes("FAIL after 13 ms")
    assert passes("another")
    clock.advance(30.0)
    assert passes("FAIL after 14 ms")


JAVAS_RETRIABLE = [
    "BROKER_NOT_AVAILABLE",
    "CONCURRENT_TRANSACTIONS",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    "FENCED_LEADER_EPOCH",
    "FETCH_SESSION_ID_NOT_FOUND",
    "INCONSISTENT_TOPIC_ID",
    "INVALID_FETCH_SESSION_EPOCH",
    "KAFKA_STORAGE_ERROR",
    "LEADER_NOT_AVAILABLE",
    "LISTENER_NOT_FOUND",
    "NETWORK_EXCEPTION",
    "NOT_CONTROLLER",
    "NOT_COORDINATOR",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_LEADER_FOR_PARTITION",
    "OFFSET_NOT_AVAILABLE",
    "PREFERRED_LEADER_NOT_AVAILABLE",
    "REBOOTSTRAP_REQUIRED",
    "REPLICA_NOT_AVAILABLE",
    "REQUEST_TIMED_OUT",
    "THROTTLING_QUOTA_EXCEEDED",
    "UNKNOWN_LEADER_EPOCH",
    "UNKNOWN_TOPIC_ID",
    "UNSTABLE_OFFSET_COMMIT",
]
AGAIN_A_MEMBER = [
    "ILLEGAL_GENERATION",
    "REBALANCE_IN_PROGRESS",
    "STALE_MEMBER_EPOCH",
    "FENCED_MEMBER_EPOCH",
    "UNKNOWN_MEMBER_ID",
]


@pytest.mark.parametrize("name", [*JAVAS_RETRIABLE, *AGAIN_A_MEMBER])
def test_what_brokers_and_groups_mend_by_themselves_passes(name):
    assert explained(KafkaError(getattr(KafkaError, name), "x"), "doing", Peer("")).retriable


def test_every_error_that_is_there_is_one_of_a_record_or_none_that_may_be_left_out():
    names = [name for name in dir(KafkaError) if isinstance(getattr(KafkaError, name), int)]
    found = {name: explained(KafkaError(getattr(KafkaError, name), "x"), "doing", Peer("")) for name in names}
    assert {name for name, error in found.items() if error.skippable} == {
        *("INVALID_MSG_SIZE", "INVALID_RECORD", "INVALID_TIMESTAMP", "MSG_SIZE_TOO_LARGE", "POLICY_VIOLATION"),
        *("RECORD_LIST_TOO_LARGE", "TOPIC_EXCEPTION"),
    }
    assert not [name for name, error in found.items() if error.skippable and error.retriable]
    assert {name for name, error in found.items() if isinstance(error, FencedError)} == {
        *("_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"),
    }
    for final in ("_FATAL", "OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID", "FENCED_INSTANCE_ID"):
        assert not found[final].retriable
