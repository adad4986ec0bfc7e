"""The embedded log by itself: owners and epochs, what can be wrong with its file, a full disk, shared connections."""

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from embedded_bench import NOBODY, T0, ignore, open_and_read, read, write

from millstream.broker.connect import open_broker
from millstream.broker.embedded import filesystem, groups
from millstream.broker.embedded.consumer import Tail
from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.embedded.producer import LINGER_BYTES, Outbox
from millstream.broker.embedded.schema import APPLICATION_ID
from millstream.broker.embedded.store import Store
from millstream.broker.embedded.writing import Prepared
from millstream.broker.ports import (
    AdminSettings,
    ConsumerSettings,
    Delivered,
    NewTopic,
    Outgoing,
    ProducerSettings,
    RebalanceListener,
)
from millstream.errors import BrokerError, ConfigError, FencedError, IllegalStateError
from millstream.lifecycle import ManualClock
from millstream_api.records import Origin, TopicPartition


def test_a_second_worker_is_told_who_has_the_log(broker: EmbeddedBroker, path: str) -> None:
    owner = broker.own()
    with (
        closing(open_broker(f"sqlite:{path}")) as second,
        pytest.raises(BrokerError, match=f"in use by pid {os.getpid()}; stop that worker"),
    ):
        second.own()
    write(broker, [b"a"])
    with closing(open_embedded(f"sqlite:{path}")) as reader:
        assert read(reader) == [b"a"]  # the command line reads beside the owner
    owner.release()
    owner.release()
    broker.own().release()


def test_a_later_start_fences_producers_and_consumers_of_an_earlier_one(broker: EmbeddedBroker) -> None:
    first = broker.own()
    write(broker, [b"a"], first.epoch)
    consumer = broker.consumer(ConsumerSettings("c", "g", epoch=first.epoch))
    consumer.subscribe(["t"], None, NOBODY)
    consumer.poll(1, 0)
    first.release()
    second = broker.own()
    assert second.epoch == first.epoch + 1
    with pytest.raises(FencedError, match=rf"epoch {second.epoch}, this writer has {first.epoch}"):
        write(broker, [b"never"], first.epoch)
    with pytest.raises(FencedError):
        consumer.commit_now({T0: 1})
    consumer.close()
    write(broker, [b"b"], second.epoch)
    assert read(broker) == [b"a", b"b"]
    second.release()


def test_a_log_that_is_removed_while_it_is_in_use_is_told_and_so_is_one_that_stands_in_its_place(
    broker: EmbeddedBroker,
) -> None:
    owner = broker.own()
    write(broker, [b"a"], owner.epoch)
    assert broker.retain([]) == 0
    for file in (broker.files.data, broker.files.meta):
        os.remove(file)
    with pytest.raises(BrokerError, match="was removed or replaced while this worker uses it, and what it writes is"):
        broker.retain([])
    with closing(open_embedded(f"sqlite:{broker.files.data}")) as another:
        with pytest.raises(FencedError, match="was removed or replaced while the worker runs"):
            write(another, [b"never"], owner.epoch)
        with pytest.raises(BrokerError, match="was removed or replaced while this worker uses it"):
            broker.retain([])
        assert another.retain([]) == 0
    owner.release()


def test_what_the_outside_is_told_by_is_forced_to_the_disk_and_nothing_else_is(broker: EmbeddedBroker) -> None:
    said: list[str] = []
    broker._catalog.data._use().set_trace_callback(said.append)

    def forced(step: Callable[[], object]) -> list[bool]:
        """Of each transaction, whether SQLite forces it to the disk."""
        said.clear()
        step()
        last = {"commit": False, "pragma synchronous=full": True, "pragma synchronous=normal": False}
        known = [each.lower() for each in said if each.lower() in last]
        return [index > 0 and last[known[index - 1]] for index, each in enumerate(known) if each == "commit"]

    producer = broker.producer(ProducerSettings("p"))
    admin = broker.admin(AdminSettings("a"))
    consumer = broker.consumer(ConsumerSettings("c", "g"))
    write(broker, [b"a"])
    producer.begin()
    producer.send(Outgoing("t", [b"b"]), ignore)
    assert forced(producer.commit) == [False]
    assert forced(producer.durable) == [True]
    assert forced(producer.durable) == []
    consumer.subscribe(["t"], None, NOBODY)
    consumer.poll(1, 0)
    assert forced(lambda: consumer.commit_now({T0: 1})) == [True]
    consumer.close()
    assert forced(lambda: admin.alter_group_offsets("g", {T0: 0})) == [True]
    assert forced(lambda: admin.delete_group_offsets("g", [T0])) == [True]
    producer.close(1)


def test_the_cluster_id_outlives_the_broker(path: str) -> None:
    with closing(open_embedded(f"sqlite:{path}")) as first, closing(open_embedded(f"sqlite:{path}")) as second:
        assert first.cluster_id == second.cluster_id
    with closing(open_embedded(f"sqlite:{path}")) as third:
        assert third.cluster_id == first.cluster_id


def test_a_folder_holds_log_db_and_its_meta_file(tmp_path: Path) -> None:
    open_embedded(f"sqlite:{tmp_path}/data/").close()
    assert {"log.db", "log-meta.db"} <= {entry.name for entry in (tmp_path / "data").iterdir()}


def test_the_file_is_as_it_was_decided(broker: EmbeddedBroker, path: str) -> None:
    with closing(sqlite3.connect(path)) as shell:
        for pragma, expected in (
            ("page_size", 16384),
            ("journal_mode", "wal"),
            ("application_id", APPLICATION_ID),
            ("user_version", 1),
        ):
            assert shell.execute(f"pragma {pragma}").fetchone() == (expected,)


def test_a_file_that_is_no_sqlite_file_is_refused(path: str) -> None:
    Path(path).write_bytes(b"broker.id=0\n" * 100)
    with pytest.raises(BrokerError, match=f"'{re.escape(path)}' is not a log: it is no SQLite file"):
        open_embedded(f"sqlite:{path}")


def test_another_programs_file_is_refused(path: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table mine(x)")
    with pytest.raises(BrokerError, match="is an SQLite file of another program"):
        open_embedded(f"sqlite:{path}")


def test_a_log_of_a_newer_version_is_refused(path: str) -> None:
    open_embedded(f"sqlite:{path}").close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("pragma user_version=99")
    with pytest.raises(BrokerError, match=r"newer Millstream \(schema 99, this one knows 1\); upgrade"):
        open_embedded(f"sqlite:{path}")


def test_a_damaged_log_is_named(path: str) -> None:
    with closing(open_embedded(f"sqlite:{path}")) as broker:
        write(broker, [b"x" * 1000] * 500)
    with open(path, "r+b") as file:
        file.seek(16384)
        file.write(b"\xff" * (os.path.getsize(path) - 16384))
    with pytest.raises(BrokerError, match=r"the log .* (is damaged|failed)") as caught:
        open_and_read(path)
    assert not caught.value.retriable


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(BrokerError, match=r"cannot make the folder '/proc/nowhere'.*bootstrap.servers=sqlite:<path>"):
        open_embedded("sqlite:/proc/nowhere/log.db")
    with pytest.raises(BrokerError, match=r"cannot open '/proc/log.db.lock'.*folder of the log must be writable"):
        open_embedded("sqlite:/proc/log.db")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("log.db", "{cwd}/log.db"),
        ("./data//log.db", "{cwd}/data/log.db"),
        ("data/../log", "{cwd}/data/../log"),
        (".", "{cwd}/log.db"),
        ("new/", "{cwd}/new/log.db"),
        ("/var/lib/./it.sqlite", "/var/lib/it.sqlite"),
    ],
)
def test_a_log_is_at_an_absolute_path_without_dots_for_nothing(
    path: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = filesystem.log_files(path)
    assert found.data == data.format(cwd=tmp_path)
    stem, dot, suffix = found.data.rpartition("/")[2].partition(".")
    assert found.meta == f"{os.path.dirname(found.data)}/{stem}-meta{dot}{suffix}"


def test_a_log_at_an_absolute_path_is_found_when_the_working_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert filesystem.log_files("/var/lib/it.sqlite").data == "/var/lib/it.sqlite"


@pytest.mark.parametrize(("magic", "name"), [(0x6969, "NFS"), (0x01021997, "9p"), (0x65735546, "FUSE or virtiofs")])
def test_a_file_system_of_the_network_is_refused(
    path: str, magic: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "magic_of", lambda folder: magic)
    with pytest.raises(BrokerError, match=f"'{re.escape(path)}' would lie on a {name} file system.*a local disk"):
        open_embedded(f"sqlite:{path}")


def test_statfs_is_asked_where_it_is_known() -> None:
    if os.path.exists("/proc/self"):
        assert filesystem.magic_of("/proc") == 0x9FA0


def test_wrong_settings_are_all_told_at_once() -> None:
    wrong = {"log.sync": "never", "num.partitions": "0", "log.retention.ms": "soon"}
    with pytest.raises(ConfigError) as caught:
        open_embedded("sqlite::memory:wrong", wrong)
    text = str(caught.value)
    assert "log.sync='never'" in text
    assert "num.partitions='0' is too small" in text
    assert "log.retention.ms='soon' is not a whole number" in text


@pytest.mark.parametrize(
    ("bootstrap", "said"),
    [
        ("sqlite:", "bootstrap.servers=sqlite: names no file; write sqlite:<path>, such as sqlite:./log.db"),
        ("./log.db", "'./log.db' is not an embedded log: name its file, as bootstrap.servers=sqlite:<path>"),
    ],
)
def test_a_path_is_needed(bootstrap: str, said: str) -> None:
    with pytest.raises(BrokerError, match=re.escape(said)):
        open_embedded(bootstrap)


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


def test_a_member_reads_though_retention_cannot_be_told_of_it_yet(
    broker: EmbeddedBroker, clock: ManualClock, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(broker, [b"a"])
    consumer = broker.consumer(ConsumerSettings("c", "g", reset="earliest"))
    consumer._catalog.data._use().execute("pragma busy_timeout=10")
    consumer.subscribe(["t"], None, NOBODY)
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("begin immediate")
        assert [list(incoming.values) for incoming in consumer.poll(1, 0)] == [[b"a"]]
        shell.execute("rollback")
    assert "Retention does not know yet that group 'g' reads ['t'], and is told at the next look: " in caplog.text
    clock.advance(2.0)
    consumer.poll(1, 0)
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute("select * from interest").fetchall() == [("g", "t")]
    consumer.close()


def test_members_share_partitions_by_ranges_and_reshare() -> None:
    assert [list(groups.share(5, member, 2)) for member in range(2)] == [[0, 1, 2], [3, 4]]
    assert [list(groups.share(1, member, 3)) for member in range(3)] == [[0], [], []]


def test_a_failed_members_partitions_go_to_the_others(broker: EmbeddedBroker, clock: ManualClock) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("t", 4)])
    events: list[tuple[str, int]] = []
    listener = RebalanceListener(
        lambda found: events.append(("assigned", len(found))),
        lambda found: events.append(("revoked", len(found))),
        print,
    )
    consumer = broker.consumer(ConsumerSettings("c", "g", share=(1, 2)))
    consumer.subscribe(["t"], None, listener)
    consumer.poll(1, 0)
    assert {partition for _, partition in consumer.assignment()} == {2, 3}
    consumer.reshare(0, 1)
    consumer.poll(1, 0)
    assert {partition for _, partition in consumer.assignment()} == {0, 1, 2, 3}
    consumer.reshare(1, 4)
    consumer.poll(1, 0)
    assert events == [("assigned", 2), ("assigned", 2), ("revoked", 3)]
    with pytest.raises(ValueError, match="member 4 of 4: members are numbered from 0"):
        consumer.reshare(4, 4)
    consumer.close()


def test_a_log_is_looked_at_less_often_when_idle(broker: EmbeddedBroker, clock: ManualClock) -> None:
    tail = Tail(broker._catalog)
    assert tail.pause() == 0.02
    clock.advance(11)
    assert tail.pause() == 0.25
    tail.got_rows()
    assert tail.pause() == 0.02
    tail.changed()
    assert not tail.changed()
    write(broker, [b"x"])
    assert tail.changed()


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


def followed(broker: EmbeddedBroker, topics: Sequence[str] | None, **overrides: str) -> set[str]:
    """The topics that a member of a group is given."""
    given = {name.replace("_", "."): text for name, text in overrides.items()}
    with closing(broker.consumer(ConsumerSettings("c", "g", overrides=given))) as consumer:
        consumer.subscribe(topics, None if topics else re.compile(".*"), NOBODY)
        consumer.poll(1, 0)
        return {partition.topic for partition in consumer.assignment()}


def test_a_pattern_matches_the_workers_own_topics_when_it_is_asked_to_alone(path: str, clock: ManualClock) -> None:
    with (
        closing(open_embedded(f"sqlite:{path}", {"offset.storage.topic": "own "}, clock)) as broker,
        closing(broker.admin(AdminSettings("a"))) as admin,
    ):
        kept = {"cleanup.policy": "compact"}
        configs = NewTopic("connect-configs", 1, -1, {**kept, "millstream.file": "meta"})
        admin.create_topics([configs, NewTopic("own", 1, -1, kept), NewTopic("compacted", 1, -1, kept), NewTopic("t")])
        assert followed(broker, None) == {"t", "compacted"}
        assert followed(broker, None, exclude_internal_topics=" FALSE ") == {"t", "compacted", "own", "connect-configs"}
        assert followed(broker, ["own"]) == {"own"}


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


def test_a_consumer_waiting_at_the_end_sees_what_a_client_of_its_own_broker_writes(broker: EmbeddedBroker) -> None:
    write(broker, [b"a"])
    consumer = broker.consumer(ConsumerSettings("c"))
    consumer.assign({T0: "end"})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(consumer.poll, 10, 20.0)
        write(broker, [b"b"])
        assert [incoming.values for incoming in waiting.result()] == [[b"b"]]
    consumer.close()


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
