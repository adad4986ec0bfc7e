"""Clients of the embedded log: when they work, what they share, and a log that is opened with the first look."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from embedded_bench import NOBODY, T0, ignore, read, write

from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.ports import (
    AdminSettings,
    ConsumerSettings,
    Delivered,
    NewTopic,
    Outgoing,
    ProducerSettings,
)
from millstream.errors import BrokerError, IllegalStateError
from millstream_api.records import Origin, TopicPartition


def test_a_client_that_crossed_a_fork_or_was_closed_refuses_to_work(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = broker.producer(ProducerSettings("p"))
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: 1)
        with pytest.raises(IllegalStateError, match="before a fork; open it anew"):
            producer.partitions("t")
    producer.close(1)
    with pytest.raises(IllegalStateError, match="is closed"):
        producer.send(Outgoing("t", [b"x"]), ignore)


def test_calls_out_of_turn_are_refused(broker: EmbeddedBroker) -> None:
    producer = broker.producer(ProducerSettings("p"))
    with pytest.raises(IllegalStateError, match="begin comes before commit"):
        producer.commit()
    with pytest.raises(IllegalStateError, match="begin comes before abort"):
        producer.abort()
    producer.begin()
    with pytest.raises(IllegalStateError, match="is open already"):
        producer.begin()
    producer.close(1)
    told: list[Delivered] = []
    reporting = broker.producer(ProducerSettings("p", report_each=True))
    reporting.begin()
    reporting.send(Outgoing("t", [b"a"]), told.append)
    assert told[0].origins is not None
    with pytest.raises(IllegalStateError, match="where a row is, is known once its transaction has been committed"):
        told[0].origins()
    reporting.commit()
    assert told[0].origins() == [Origin("t", 0, 0, "CreateTime")]
    reporting.close(1)
    consumer = broker.consumer(ConsumerSettings("c"))
    with pytest.raises(IllegalStateError, match="without a group cannot subscribe"):
        consumer.subscribe(["t"], None, NOBODY)
    with pytest.raises(IllegalStateError, match="without a group has no committed"):
        consumer.commit_now({T0: 1})
    consumer.close()
    with pytest.raises(IllegalStateError, match="is closed"):
        consumer.poll(1, 0)


def test_the_clients_of_a_broker_share_a_connection_to_each_file_until_the_last_of_them_is_closed(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_embedded(f"sqlite:{path}").close()
    opened: list[str] = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **how: opened.append(name) or connect(name, **how))
    broker = open_embedded(f"sqlite:{path}")
    producer, admin = broker.producer(ProducerSettings("p")), broker.admin(AdminSettings("a"))
    reader = broker.consumer(ConsumerSettings("c"))
    assert opened == [path]
    admin.topics()  # looks into the file of configs and statuses, too
    assert opened == [path, path.replace(".db", "-meta.db")]
    for closing_twice in (broker.close, broker.close, admin.close, admin.close):
        closing_twice()
    producer.send(Outgoing("t", [b"a"]), ignore)
    producer.close(1)
    reader.assign({T0: "beginning"})
    assert [incoming.values for incoming in reader.poll(1, 0)] == [[b"a"]]
    reader.close()
    with pytest.raises(IllegalStateError, match="was closed by this client"):
        admin.topics()
    assert len(opened) == 2


def test_one_topic_is_described_without_a_look_into_the_other_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_embedded(f"sqlite:{path}")) as broker:
        write(broker, [b"a"])
    opened: list[str] = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **how: opened.append(name) or connect(name, **how))
    with closing(open_embedded(f"sqlite:{path}")) as broker, closing(broker.admin(AdminSettings("a"))) as admin:
        assert list(admin.topics(["t"])) == ["t"]
        assert opened == [path]


def test_a_log_that_is_not_opened_at_once_is_there_with_the_first_row(path: str) -> None:
    with closing(open_embedded(f"sqlite:{path}", at_once=False)) as broker:
        producer = broker.producer(ProducerSettings("p"))
        assert not os.path.exists(path)
        producer.send(Outgoing("t", [b"a"]), ignore)
        producer.close(1)
        assert read(broker) == [b"a"]


def test_what_is_wrong_with_a_log_that_is_not_opened_at_once_is_told_by_the_first_look_into_it(path: str) -> None:
    Path(path).write_bytes(b"broker.id=0\n" * 100)
    with closing(open_embedded(f"sqlite:{path}", at_once=False)) as broker:
        producer = broker.producer(ProducerSettings("p"))
        for look in (broker.check, lambda: producer.send(Outgoing("t", [b"a"]), ignore), broker.check):
            with pytest.raises(BrokerError, match="it is no SQLite file"):
                look()
        producer.close(1)


def test_a_log_that_nobody_looked_into_is_closed_and_stays_closed(path: str) -> None:
    broker = open_embedded(f"sqlite:{path}", at_once=False)
    broker.close()
    with pytest.raises(IllegalStateError, match="was closed by this client"):
        broker.check()
    assert not os.path.exists(path)


def test_threads_that_share_a_broker_write_one_transaction_after_the_other(broker: EmbeddedBroker) -> None:
    rows = [[b"%d-%d" % (writer, row) for row in range(20)] for writer in range(4)]

    def work(writer: int) -> None:
        producer = broker.producer(ProducerSettings(f"p{writer}"))
        for value in rows[writer]:
            producer.begin()
            producer.send(Outgoing("t", [value]), ignore)
            producer.send(Outgoing("u", [value]), ignore)
            producer.commit()
        producer.close(1)

    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("t"), NewTopic("u")])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = read(broker)
    assert sorted(found) == sorted(value for some in rows for value in some)
    for some in rows:
        assert [value for value in found if value in some] == some
    consumer = broker.consumer(ConsumerSettings("c"))
    consumer.assign({TopicPartition("u", 0): "beginning"})
    assert [value for incoming in consumer.poll(500, 0) for value in incoming.values] == found
    consumer.close()


def test_memory_is_shared_by_name_and_gone_with_its_last_client() -> None:
    first, second = open_embedded("sqlite::memory:shared"), open_embedded("sqlite::memory:shared")
    write(first, [b"a"])
    assert read(second) == [b"a"]
    first.close()
    assert read(second) == [b"a"]
    second.close()
    with closing(open_embedded("sqlite::memory:shared")) as third, closing(third.admin(AdminSettings("a"))) as admin:
        assert admin.topics() == {}
