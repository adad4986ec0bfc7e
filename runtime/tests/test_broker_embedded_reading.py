"""Who reads the embedded log: members that share it, what a pattern finds, how often it is looked at."""

import re
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from embedded_bench import NOBODY, T0, write

from millstream.broker.embedded import groups
from millstream.broker.embedded.consumer import Tail
from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.ports import (
    AdminSettings,
    ConsumerSettings,
    NewTopic,
    RebalanceListener,
)
from millstream.lifecycle import ManualClock


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


def test_a_consumer_waiting_at_the_end_sees_what_a_client_of_its_own_broker_writes(broker: EmbeddedBroker) -> None:
    write(broker, [b"a"])
    consumer = broker.consumer(ConsumerSettings("c"))
    consumer.assign({T0: "end"})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(consumer.poll, 10, 20.0)
        write(broker, [b"b"])
        assert [incoming.values for incoming in waiting.result()] == [[b"b"]]
    consumer.close()
