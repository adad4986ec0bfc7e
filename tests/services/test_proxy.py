"""What the proxy does to connections, seen from both ends."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from services.kafka import Kafka
from services.ports import HOST, RANGE
from services.proxy import Proxy

PATIENCE_S = 60.0
MOMENT_S = 0.3


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a server that sends back what it receives."""
    server = socket.create_server((HOST, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=[server.accept()[0]]).start()

    def echo(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    serving = threading.Thread(target=serve)
    serving.start()
    made = Proxy(server.getsockname()[1])
    yield made
    made.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    serving.join()


@contextlib.contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port), PATIENCE_S) as client:
        yield client


def answer(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return client.recv(len(data), socket.MSG_WAITALL)


def test_all_bytes_pass_in_order(proxy: Proxy) -> None:
    data = bytes(range(256)) * 8192
    received = bytearray()
    with connected(proxy) as client:
        sending = threading.Thread(target=client.sendall, args=[data])
        sending.start()
        while len(received) < len(data):
            received += client.recv(65536)
        sending.join()
    assert received == data


def test_the_end_of_one_direction_passes_and_the_other_goes_on(proxy: Proxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(4, socket.MSG_WAITALL) == b"last"
        assert client.recv(1) == b""


def test_a_cut_resets_who_is_connected_and_lets_the_next_through(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert answer(client, b"before") == b"before"
        assert proxy.connections == 1
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(proxy) as client:
        assert answer(client, b"after") == b"after"


def test_a_frozen_connection_stays_and_goes_on_when_healed(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert answer(client, b"before") == b"before"
        proxy.freeze()
        client.sendall(b"kept")
        client.settimeout(MOMENT_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.heal()
        client.settimeout(PATIENCE_S)
        assert client.recv(4, socket.MSG_WAITALL) == b"kept"


def test_refused_until_healed(proxy: Proxy) -> None:
    with connected(proxy) as client:
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port), PATIENCE_S)
    assert proxy.port in RANGE  # no kernel gives it away meanwhile
    proxy.heal()
    with connected(proxy) as client:
        assert answer(client, b"after") == b"after"


def test_frozen_in_one_way_the_other_goes_on(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert answer(client, b"before") == b"before"
        proxy.freeze("back")
        client.sendall(b"there")
        client.settimeout(MOMENT_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.freeze("there")
        client.settimeout(PATIENCE_S)
        assert client.recv(5, socket.MSG_WAITALL) == b"there"
        client.sendall(b"later")
        client.settimeout(MOMENT_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.heal()
        client.settimeout(PATIENCE_S)
        assert client.recv(5, socket.MSG_WAITALL) == b"later"


def test_a_delay_is_paid_each_way(proxy: Proxy) -> None:
    with connected(proxy) as client:
        proxy.delay(MOMENT_S)
        began = time.monotonic()
        assert answer(client, b"late") == b"late"
        assert time.monotonic() - began >= 2 * MOMENT_S


def test_a_client_of_kafka_stays_behind_the_proxy(kafka: Kafka, kafka_proxy: Proxy) -> None:
    admin = AdminClient({**kafka.client("PROXIED"), "reconnect.backoff.max.ms": "100"})
    (broker,) = admin.list_topics(timeout=PATIENCE_S).brokers.values()
    assert f"{broker.host}:{broker.port}" == f"{HOST}:{kafka_proxy.port}"
    kafka_proxy.refuse()
    with pytest.raises(Exception, match=r"_TRANSPORT|_TIMED_OUT"):
        admin.list_topics(timeout=MOMENT_S)
    kafka_proxy.heal()
    assert admin.list_topics(timeout=PATIENCE_S).brokers
