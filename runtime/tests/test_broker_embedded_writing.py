"""What is written to the embedded log: when it cannot be, and where and how it lies there."""

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest
from embedded_bench import ignore, read, write

from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.embedded.producer import LINGER_BYTES, Outbox
from millstream.broker.embedded.store import Store
from millstream.broker.embedded.writing import Prepared
from millstream.broker.ports import (
    AdminSettings,
    Delivered,
    NewTopic,
    Outgoing,
    ProducerSettings,
)
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition


def test_a_full_disk_is_told_to_the_writer_and_nothing_is_skipped(
    path: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_embedded(f"sqlite:{path}", {}, clock)) as broker:
        producer = broker.producer(ProducerSettings("p"))
        write(broker, [b"first"])
        connection = producer._catalog.data._use()
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count={pages}")
        told: list[Delivered] = []
        producer.begin()
        producer.send(Outgoing("t", [b"x" * 100_000]), told.append)
        for _ in range(3):
            with pytest.raises(BrokerError, match="the disk is full; free some space") as caught:
                producer.commit()
            assert caught.value.retriable
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        connection.execute("pragma max_page_count=1000000")
        producer.commit()
        assert len(told) == 1
        producer.close(1)
        assert read(broker) == [b"first", b"x" * 100_000]


def test_a_lock_of_another_program_is_named_and_can_be_waited_out(broker: EmbeddedBroker, path: str) -> None:
    write(broker, [b"a"])
    producer = broker.producer(ProducerSettings("p"))
    producer._catalog.data._use().execute("pragma busy_timeout=10")
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("begin immediate")
        producer.send(Outgoing("t", [b"b"]), ignore)
        with pytest.raises(BrokerError, match="is locked by another program") as caught:
            producer.poll()
        assert caught.value.retriable
        shell.execute("rollback")
    assert producer.flush(1) == 0
    producer.close(1)
    assert read(broker) == [b"a", b"b"]


def test_what_a_send_took_is_not_taken_again_when_the_log_cannot_be_written(broker: EmbeddedBroker, path: str) -> None:
    producer = broker.producer(ProducerSettings("p"))
    write(broker, [b"a"])
    producer._catalog.data._use().execute("pragma busy_timeout=10")
    large = Outgoing("t", [b"x" * LINGER_BYTES])
    told: list[Delivered] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("begin immediate")
        producer.send(large, told.append)
        for _ in range(3):
            with pytest.raises(BrokerError, match="is locked by another program") as caught:
                producer.send(Outgoing("t", [b"next"]), told.append)
            assert caught.value.retriable
        shell.execute("rollback")
    producer.send(Outgoing("t", [b"next"]), told.append)
    assert producer.flush(1) == 0
    producer.close(1)
    assert read(broker) == [b"a", large.values[0], b"next"]
    assert len(told) == 2


def test_rows_whose_writing_a_signal_ended_are_not_written_again(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = broker.producer(ProducerSettings("p"))
    write(broker, [b"a"])
    real = Outbox._write_to
    told: list[Delivered] = []

    def written_and_ended(outbox: Outbox, store: Store, sent: Sequence[Prepared]) -> None:
        real(outbox, store, sent)
        for prepared in sent:
            for piece in prepared.pieces:
                piece.base = -1  # as when the signal comes between the commit and these
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "_write_to", written_and_ended)
        producer.send(Outgoing("t", [b"b"]), told.append)
        with pytest.raises(KeyboardInterrupt):
            producer.poll()
    with pytest.raises(BrokerError, match="whether those rows are in it is not known") as caught:
        producer.flush(1)
    assert not caught.value.retriable
    with pytest.raises(BrokerError, match="is not known"):
        producer.close(1)
    assert len(told) == 1
    assert read(broker) == [b"a", b"b"]


def test_rows_for_a_topic_that_is_missing_and_may_not_be_made_are_refused_with_the_remedy(
    broker: EmbeddedBroker,
) -> None:
    told: list[Delivered] = []
    with closing(broker.admin(AdminSettings("a"))) as admin:
        producer = broker.producer(ProducerSettings("p", create_topics=False))
        producer.send(Outgoing("t", [b"a", b"b"]), told.append)
        said = "topic 't' does not exist, and this producer may not create it; create it first"
        assert {row: str(error) for row, error in told[0].failures.items()} == {0: said, 1: said}
        producer.close(1)
        assert list(admin.names()) == []


def test_a_large_batch_is_cut_into_blobs_of_bounded_size(broker: EmbeddedBroker, path: str) -> None:
    values = [b"%d" % i for i in range(12_000)]
    write(broker, values)
    assert read(broker, 11_999) == [b"11999"]
    assert read(broker) == values
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute("select max(n), sum(n) from batches").fetchone()[1] == 12_000
        assert shell.execute("select max(n) from batches").fetchone()[0] <= 5_000


def test_topics_of_configs_lie_in_the_second_file(broker: EmbeddedBroker, path: str) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        config = {"cleanup.policy": "compact", "millstream.file": "meta"}
        admin.create_topics([NewTopic("connect-configs", 1, -1, config)])
        assert admin.topics()["connect-configs"].config == {"cleanup.policy": "compact"}
    with closing(sqlite3.connect(path)) as data, closing(sqlite3.connect(path.replace(".db", "-meta.db"))) as meta:
        assert data.execute("select count(*) from topic").fetchone() == (0,)
        assert meta.execute("select name from topic").fetchall() == [("connect-configs",)]


def test_a_producer_that_ignores_keys_gives_a_batch_to_one_partition(broker: EmbeddedBroker) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("spread", 8)])
        keys = [b"%d" % number for number in range(100)]
        for ignoring, partitions in (("false", 8), (" TRUE", 1)):
            before = admin.end_offsets([TopicPartition("spread", number) for number in range(8)])
            overrides = {"partitioner.ignore.keys": ignoring}
            producer = broker.producer(ProducerSettings("p", overrides=overrides))
            producer.send(Outgoing("spread", keys, keys), ignore)
            producer.close(1)
            after = admin.end_offsets(before)
            assert sum(after[each] > before[each] for each in before) == partitions
            assert sum(after.values()) - sum(before.values()) == 100


def test_a_topics_settings_are_taken_without_blanks_and_what_brokers_refuse_is_refused(broker: EmbeddedBroker) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        given = NewTopic("c", 1, -1, {"cleanup.policy": " compact ", "retention.ms": " 5 "})
        wrong = NewTopic("w", 1, -1, {"retention.ms": "-5", "max.message.bytes": "-1"})
        answers = admin.create_topics([given, wrong])
        assert answers["c"] is None
        assert admin.topics()["c"].config == {"cleanup.policy": "compact", "retention.ms": "5"}
        assert str(answers["w"]) == (
            "cannot create the topic 'w': retention.ms is -5; expected at least -1; max.message.bytes is -1; expected "
            "at least 0"
        )
        assert "w" not in admin.names()


def test_what_the_log_does_not_do_of_a_topics_settings_is_said_when_it_is_made(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        harmless = {
            "min.insync.replicas": "2",
            "compression.type": "zstd",
            "segment.ms": "9",
            "millstream.file": "meta",
        }
        admin.create_topics([NewTopic("quiet", 1, 3, harmless)])
        assert caplog.messages == []
        told = {"message.timestamp.type": "LogAppendTime", "retention.mss": "1", "confluent.tier.enable": "true"}
        admin.create_topics([NewTopic("t", 1, -1, told)])
    assert caplog.messages == [
        "topic 't': message.timestamp.type=LogAppendTime is not followed as it is written: records keep the time that"
        " they were given",
        "topic 't': Kafka's topics have no such settings; they are not used: retention.mss (did you mean"
        " retention.ms?), confluent.tier.enable",
    ]
