"""Why a certificate is not trusted, asked of a server that is there."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer

import pytest
from certificates import DAY, NOW, certificate
from confluent_kafka import KafkaError

from millstream.broker.kafka.client import trust
from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.client.trust import TRUSTED, Inquiry, found_out
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own server answers, be it late."""
    monkeypatch.setattr(trust, "SECONDS", 20.0)


class Quiet(TCPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust it ends the handshake."""


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """What librdkafka would say of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with Quiet(("127.0.0.1", 0), BaseRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"sasl_ssl://127.0.0.1:{server.server_address[1]}/bootstrap: certificate verify failed"
        finally:
            server.shutdown()
            thread.join()


def test_a_name_that_is_another_is_told_with_those_that_it_is_for(tmp_path: Path) -> None:
    own = certificate(tmp_path, "kafka.example", NOW + DAY)
    with serving(own) as said:
        assert found_out(said, {"ssl.ca.location": str(own)}) == ("127.0.0.1", ["kafka.example"])
        only = own.read_text().partition("-----BEGIN PRIVATE")[0]
        assert found_out(said, {"ssl.ca.pem": only}) == ("127.0.0.1", ["kafka.example"])


def test_a_name_that_is_right_or_does_not_count_is_not_blamed(tmp_path: Path) -> None:
    own = certificate(tmp_path, "localhost", NOW + DAY)
    with serving(own) as said:
        known = {"ssl.ca.location": str(own)}
        assert found_out(said.replace("127.0.0.1", "localhost"), known) == TRUSTED
        assert found_out(said, known) == ("127.0.0.1", ["localhost"])
        assert found_out(said, {**known, "ssl.endpoint.identification.algorithm": "none"}) == TRUSTED
        watch = Watch("c", Peer("localhost:1", authority=known))
        watch.heard(KafkaError(KafkaError._SSL, said.replace("127.0.0.1", "localhost")))
        with pytest.raises(BrokerError, match=r"yet Python trusts it .*check ssl\.truststore\.location") as caught:
            watch.check()
    assert "is not for" not in str(caught.value)


def test_what_else_is_wrong_is_told_as_that(tmp_path: Path) -> None:
    old, other = certificate(tmp_path, "old", NOW - DAY), certificate(tmp_path, "other", NOW + DAY)
    with serving(old) as said:
        known = {"ssl.ca.location": str(old)}
        assert found_out(said, known) == "certificate has expired"
        watch = Watch("c", Peer("127.0.0.1:1", authority=known))
        watch.heard(KafkaError(KafkaError._SSL, said))
        with pytest.raises(
            BrokerError, match=r"\(certificate has expired\); have the certificate .* renewed"
        ) as caught:
            watch.check()
    assert "ssl.truststore.location" not in str(caught.value)  # which is right
    with serving(certificate(tmp_path, "own", NOW + DAY)) as said:
        assert found_out(said, {"ssl.ca.location": str(other)}) == "self-signed certificate"


def test_an_intermediate_ca_without_its_root_is_told_as_librdkafka_takes_it(tmp_path: Path) -> None:
    root = certificate(tmp_path, "root", NOW + DAY)
    between = certificate(tmp_path, "between", NOW + DAY, root)
    with serving(certificate(tmp_path, "localhost", NOW + DAY, between)) as said:
        told = found_out(said.replace("127.0.0.1", "localhost"), {"ssl.ca.location": str(between)})
    assert told == "unable to get issuer certificate"


def test_nobody_there_is_no_answer() -> None:
    assert found_out("ssl://127.0.0.1:1/bootstrap: x", {}) == ""
    assert found_out("no address", {}) == ""


DISTRUST = "ssl://kafka.example:1/bootstrap: certificate verify failed: x, verify that ssl.ca.location is"


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set once somebody looks a name up. No name server answers until the test is over."""
    asked, over = threading.Event(), threading.Event()

    def silent(*_: object, **__: object) -> None:
        asked.set()
        over.wait(30.0)
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr("millstream.broker.kafka.client.trust.socket.create_connection", silent)
    yield asked
    over.set()


def test_a_callback_of_the_client_does_not_wait_for_a_name_server(looked_up: threading.Event) -> None:
    watch = Watch("c", Peer("kafka.example:1"))
    began = time.monotonic()
    inquiries = set()
    for _ in range(3):
        watch.heard(KafkaError(KafkaError._SSL, DISTRUST))
        inquiries.add(watch._distrust)
    assert time.monotonic() - began < trust.ANSWER_SECONDS
    assert looked_up.wait(10.0)
    assert len(inquiries) == 1


def test_what_is_not_found_out_in_time_is_told_as_far_as_it_is_known(looked_up: threading.Event) -> None:
    clock = ManualClock()
    inquiry = Inquiry(DISTRUST, {}, clock)
    assert looked_up.wait(10.0)
    clock.advance(trust.ANSWER_SECONDS)
    assert inquiry.answer() == ""


def test_a_distrusted_client_waits_for_the_reason_once_and_no_longer_than_that(
    looked_up: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "ANSWER_SECONDS", 0.05)
    watch = Watch("c", Peer("kafka.example:1"))
    watch.heard(KafkaError(KafkaError._SSL, DISTRUST))
    watch.give_up(BrokerError("nobody answered"))
    for _ in range(2):
        with pytest.raises(
            BrokerError, match=r"certificate verify failed: x; check ssl\.truststore\.location"
        ) as caught:
            watch.check()
        assert not caught.value.retriable
