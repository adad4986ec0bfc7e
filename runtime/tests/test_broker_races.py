"""The embedded log while others write, remove and fail beside the reader: no row is passed over."""

import logging
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from embedded_bench import NOBODY, T0, ignore, read, write

from millstream.broker.embedded import cursors, groups, reading, store
from millstream.broker.embedded.catalog import Catalog, Topic
from millstream.broker.embedded.locks import FileLock
from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.ports import (
    AdminSettings,
    ConsumerSettings,
    NewTopic,
    Outgoing,
    ProducerSettings,
    RebalanceListener,
    SinkGroup,
    Start,
)
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition

SINK = SinkGroup("g", ["t"])


def test_a_row_committed_while_the_end_is_looked_up_is_not_skipped(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(broker, [b"first"])
    late = [b"second"]
    original = reading.next_offset

    def committed_meanwhile(connection: sqlite3.Connection, slot: int) -> int:
        if late:
            write(broker, [late.pop()])
        return original(connection, slot)

    with closing(broker.consumer(ConsumerSettings("reader"))) as consumer:
        consumer.assign({T0: 0})
        first = [value for incoming in consumer.poll(10, 0) for value in incoming.values]
        monkeypatch.setattr(reading, "next_offset", committed_meanwhile)
        rest = [value for _ in range(3) for incoming in consumer.poll(10, 0) for value in incoming.values]
    assert (first, rest) == ([b"first"], [b"second"])
    assert not late
    assert "removed by retention" not in caplog.text


def test_a_new_group_sees_the_row_committed_while_its_beginning_is_looked_up(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("t", 1)])
    late = [b"first"]

    class Meanwhile:
        """A connection beside which another client commits a row between any two statements."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection
            self._statements = 0

        def execute(self, *statement: Any) -> sqlite3.Cursor:
            self._statements += 1
            if self._statements == 2 and late:
                write(broker, [late.pop()])
            return self._connection.execute(*statement)

    original = reading.oldest
    monkeypatch.setattr(groups, "oldest", lambda connection, *rest: original(Meanwhile(connection), *rest))
    with closing(broker.consumer(ConsumerSettings("reader", "g"))) as consumer:
        consumer.subscribe(["t"], None, NOBODY)
        rows = [value for _ in range(3) for incoming in consumer.poll(10, 0) for value in incoming.values]
    assert not late
    assert rows == [b"first"]


def test_rows_taken_are_not_lost_when_the_next_partition_cannot_be_read(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("t", 2)])
    producer = broker.producer(ProducerSettings("p"))
    producer.send(Outgoing("t", [b"of 0", b"of 1"], partitions=[0, 1]), ignore)
    producer.close(1)
    away = [1]
    original = reading.fetch

    def fetch(topic: Topic, partition: int, position: int, max_rows: int) -> reading.Fetched | None:
        if partition in away:
            raise BrokerError("the disk does not answer", retriable=True)
        return original(topic, partition, position, max_rows)

    monkeypatch.setattr(cursors, "fetch", fetch)
    with closing(broker.consumer(ConsumerSettings("reader"))) as consumer:
        consumer.assign({T0: 0, TopicPartition("t", 1): 0})
        rows = [value for incoming in consumer.poll(10, 0) for value in incoming.values]
        with pytest.raises(BrokerError, match="does not answer"):
            consumer.poll(10, 0)
        away.clear()
        rows += [value for incoming in consumer.poll(10, 0) for value in incoming.values]
    assert rows == [b"of 0", b"of 1"]


def test_retention_waits_for_a_sink_whose_offsets_were_reset(broker: EmbeddedBroker, clock: ManualClock) -> None:
    write(broker, [b"a"])
    with closing(broker.consumer(ConsumerSettings("reader", "g"))) as consumer:
        consumer.subscribe(["t"], None, NOBODY)
        consumer.poll(10, 0)
        consumer.commit_now({T0: 1})
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.delete_group("g")
        clock.advance(8 * 24 * 3600)
        assert broker.retain([SinkGroup("g")]) == 0
        assert read(broker) == [b"a"]


def test_a_group_that_a_full_disk_kept_from_retention_is_made_known_later(
    broker: EmbeddedBroker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(broker, [b"a"])
    original, full = groups.register, [True]

    def register(*arguments: Any) -> None:
        if full:
            raise BrokerError("the disk is full", retriable=True)
        original(*arguments)

    monkeypatch.setattr(groups, "register", register)
    with closing(broker.consumer(ConsumerSettings("reader", "g"))) as consumer:
        consumer.subscribe(["t"], None, NOBODY)
        assert consumer.poll(10, 0)
        full.clear()
        clock.advance(2)
        consumer.poll(10, 0)
        clock.advance(8 * 24 * 3600)
        assert broker.retain([SinkGroup("g")]) == 0


def test_assigned_partitions_are_told_or_not_had_at_all(
    broker: EmbeddedBroker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("t", 2)])
    original, away = groups.resolved, [1]

    def resolved(catalog: Catalog, partition: TopicPartition, start: Start) -> int:
        if partition.partition in away:
            raise BrokerError("the disk does not answer", retriable=True)
        return original(catalog, partition, start)

    monkeypatch.setattr(groups, "resolved", resolved)
    told: list[TopicPartition] = []
    with closing(broker.consumer(ConsumerSettings("reader", "g"))) as consumer:
        consumer.subscribe(["t"], None, RebalanceListener(told.extend, lambda _: None, lambda _: None))
        with pytest.raises(BrokerError, match="does not answer"):
            consumer.poll(10, 0)
        assert not consumer.assignment()
        away.clear()
        clock.advance(2)
        consumer.poll(10, 0)
    assert sorted(told) == [T0, TopicPartition("t", 1)]


def test_a_checkpoint_that_fails_is_not_said_to_be_mended_by_the_commit_around_it(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "CHECKPOINT_BYTES", 1)
    monkeypatch.setattr(store, "WAL_BYTES", 0)
    real = os.stat

    def stat(path: Any, *rest: Any, **named: Any) -> os.stat_result:
        if str(path).endswith("-wal"):
            raise sqlite3.OperationalError("disk I/O error")
        return real(path, *rest, **named)

    monkeypatch.setattr(store.os, "stat", stat)
    caplog.set_level(logging.INFO)
    write(broker, [b"a"])
    write(broker, [b"b"])
    monkeypatch.undo()
    monkeypatch.setattr(store, "CHECKPOINT_BYTES", 1)
    assert "can be tidied again" not in caplog.text
    assert read(broker) == [b"a", b"b"]


WRITER = """
import random, sys
from millstream.broker.embedded.log import open_embedded
from millstream.broker.ports import Outgoing, ProducerSettings

path, number, rows, seed = sys.argv[1], *map(int, sys.argv[2:])
dice = random.Random(seed)
sizes = (1, 1, 2) if rows < 5_000 else (1, 1, 7, 400, 3000)
broker = open_embedded("sqlite:" + path, {"num.partitions": "3"})
producer = broker.producer(ProducerSettings("p"))
failed = []
written = 0
while written < rows:  # each row: its writer, its number; small and large batches, one or several a transaction
    producer.begin()
    for _ in range(dice.randrange(1, 4)):
        size = min(dice.choice(sizes), rows - written)
        values = [b"%d %d" % (number, row) for row in range(written, written + size)]
        batch = Outgoing("t", values, partitions=[dice.randrange(3)] * size)
        producer.send(batch, lambda told: failed.extend(told.failures))
        written += size
    producer.commit()
    producer.durable() if dice.random() < 0.1 else None
producer.close(1)
sys.exit(bool(failed))
"""

READER = """
import os, random, sys
from millstream.broker.embedded.log import open_embedded
from millstream.broker.ports import ConsumerSettings, RebalanceListener

path, member, members, seed = sys.argv[1], *map(int, sys.argv[2:])
dice = random.Random(seed)
broker = open_embedded("sqlite:" + path, {"num.partitions": "3"})
consumer = broker.consumer(ConsumerSettings("r", "g", share=(member, members)))
place = {}
commit = lambda partitions: consumer.commit_now({tp: place[tp] for tp in partitions if tp in place})
consumer.subscribe(["t"], None, RebalanceListener(lambda _: None, commit, lambda _: None))
print("ready", flush=True)
quiet = 0
while quiet < 30:  # polls without a row since the writers ended
    over = os.path.exists(path + ".over")
    polled = consumer.poll(dice.choice((1, 50, 500, 5000)), 0.05)
    quiet = 0 if polled or not over else quiet + 1
    for one in polled:
        tp = next(tp for tp in consumer.assignment() if (tp.topic, tp.partition) == (one.topic, one.partition))
        place[tp] = one.offsets[-1] + 1
        print("\\n".join(f"{one.partition} {o} {v.decode()}" for o, v in zip(one.offsets, one.values)))
    if polled and dice.random() < 0.3:
        commit(list(consumer.assignment()))
    if dice.random() < 0.02:
        sys.stdout.flush()
consumer.close()
"""

ROUNDS = int(os.environ.get("MILLSTREAM_LOG_ROUNDS", "2"))


def start(program: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
def test_readers_beside_writers_and_retention_get_each_row_once_and_in_order(tmp_path: Path, seed: int) -> None:
    """Two writers, one to three readers that wait for the topic, retention of everything that was committed."""
    dice = random.Random(seed)
    path, over = tmp_path / "log.db", tmp_path / "log.db.over"
    rows_each = 2_000 if seed % 2 else 20_000  # few: a transaction a row or two, with the readers at its heels
    members = dice.randrange(1, 4)
    with closing(open_embedded(f"sqlite:{path}", {"log.retention.bytes": "0", "num.partitions": "3"})) as broker:
        readers = [start(READER, path, member, members, dice.randrange(1 << 16)) for member in range(members)]
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        writers = [start(WRITER, path, number, rows_each, seed * 10 + number) for number in range(2)]
        removed = 0
        with ThreadPoolExecutor(len(readers)) as pool:
            waiting = [pool.submit(reader.communicate) for reader in readers]
            while not all(done.done() for done in waiting):
                removed += broker.retain([SINK])
                if all(writer.poll() is not None for writer in writers):
                    over.touch()
        said = [writer.communicate()[1] for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0], said
        outputs = [done.result() for done in waiting]
        assert [reader.returncode for reader in readers] == [0] * members, outputs
    assert removed, "retention had nothing to remove: the round tried nothing"
    rows = [tuple(map(int, line.split())) for out, _ in outputs for line in out.splitlines()]
    assert sorted((writer, number) for _, _, writer, number in rows) == [
        (writer, number) for writer in range(2) for number in range(rows_each)
    ]
    for partition in range(3):
        offsets = [offset for at, offset, _, _ in rows if at == partition]
        assert offsets == list(range(len(offsets))), f"partition {partition} is not read in order, each row once"
    assert not [err for _, err in outputs if "removed by retention" in err]


def test_a_lock_that_a_stopped_process_holds_is_named_and_keeps_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "OPEN_SECONDS", 0.1)
    monkeypatch.setattr(store, "CLOSE_SECONDS", 0.1)
    path = tmp_path / "log.db"
    opened = open_embedded(f"sqlite:{path}")
    write(opened, [b"a"])
    holder = FileLock(f"{path}.lock")
    holder.acquire()
    with pytest.raises(BrokerError, match=r"another process has held .*log.db.lock for 0 s.*`lsof"):
        open_embedded(f"sqlite:{path}")
    opened.close()
    assert "this one goes without closing the log, which loses nothing" in caplog.text
    holder.release()
    holder.close()
    with closing(open_embedded(f"sqlite:{path}")) as again:
        assert read(again) == [b"a"]


class Member:
    """A task of a sink, as far as the log sees it. delivered: what all members were given, partition -> offsets."""

    def __init__(
        self, broker: EmbeddedBroker, share: tuple[int, int], delivered: dict[TopicPartition, set[int]]
    ) -> None:
        self.consumer = broker.consumer(ConsumerSettings("m", "g", share=share))
        self.place: dict[TopicPartition, int] = {}
        self._delivered = delivered
        self._alive = True
        listener = RebalanceListener(self._assigned, self._revoked, lambda _: None)
        self.consumer.subscribe(["t"], None, listener)

    def poll(self, rows: int) -> None:
        for incoming in self.consumer.poll(rows, 0):
            partition = TopicPartition("t", incoming.partition)
            begin = incoming.offsets[0]
            assert begin >= self.place[partition], "rows come twice to one member"
            # retention takes what another member has committed that has this partition already
            passed_over = set(range(self.place[partition], begin)) - self._delivered.get(partition, set())
            assert not passed_over, f"rows of {partition} are passed over: {passed_over}"
            self.place[partition] = incoming.offsets[-1] + 1
            self._delivered.setdefault(partition, set()).update(incoming.offsets)

    def commit(self) -> None:
        self.consumer.commit_now(dict(self.place))

    def die(self) -> None:
        """As the end of its process leaves it: nothing committed any more, nothing held any more."""
        self._alive = False
        self.consumer.close()

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.place.update({partition: self.consumer.position(partition) for partition in partitions})

    def _revoked(self, partitions: Collection[TopicPartition]) -> None:
        if self._alive:
            self.consumer.commit_now({partition: self.place.pop(partition) for partition in partitions})


@pytest.mark.parametrize("seed", range(max(12, ROUNDS)))
def test_members_that_come_and_go_and_die_deliver_every_row_and_commit_nothing_they_did_not_deliver(
    broker: EmbeddedBroker, clock: ManualClock, seed: int
) -> None:
    dice = random.Random(seed)
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("t", dice.randrange(1, 5), -1, {"retention.bytes": "0"})])
    delivered: dict[TopicPartition, set[int]] = {}
    members: list[Member] = [Member(broker, (0, 1), delivered)]
    producer = broker.producer(ProducerSettings("p"))
    for step in range(120):
        deed = dice.choice(("write", "write", "poll", "poll", "poll", "commit", "share", "die", "retain"))
        member = dice.choice(members)
        if deed == "write":
            producer.begin()
            producer.send(Outgoing("t", [b"%d" % step] * dice.choice((1, 3, 40))), ignore)
            producer.commit()
        elif deed == "poll":
            member.poll(dice.choice((1, 5, 500)))
        elif deed == "commit":
            member.commit()
        elif deed == "retain":
            broker.retain([SINK])
        else:  # the worker deals anew: one more member, or one less that had no time to commit
            if deed == "die" and len(members) > 1:
                members.remove(member)
                member.die()
            elif len(members) < 4:
                members.append(Member(broker, (len(members), len(members) + 1), delivered))
            for number, each in enumerate(members):
                each.consumer.reshare(number, len(members))
        clock.advance(dice.choice((0.0, 0.3, 2.0)))
    with closing(broker.admin(AdminSettings("a"))) as admin:
        partitions = [TopicPartition("t", number) for number in range(admin.topics()["t"].partitions)]
        for _ in range(60):
            clock.advance(2)
            for each in members:
                each.poll(500)
                each.commit()
            for partition, offset in admin.group_offsets("g").items():
                assert set(range(offset)) <= delivered.get(partition, set()), f"{partition} is committed to {offset}"
        for partition, end in admin.end_offsets(partitions).items():
            assert delivered.get(partition, set()) == set(range(end))
    producer.close(1)
    for each in members:
        each.consumer._reader.cursors.clear()  # they are over: no last commit
        each.consumer.close()
