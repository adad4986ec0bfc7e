"""What the embedded log forgets: by age, by size, tombstones, and what `compact` gives back."""

import os
import re
from contextlib import closing

import pytest
from embedded_bench import NOBODY, T0, ignore, read, write

from millstream.broker.embedded.log import EmbeddedBroker, compact, open_embedded
from millstream.broker.ports import (
    AdminSettings,
    ConsumerSettings,
    NewTopic,
    Outgoing,
    ProducerSettings,
    SinkGroup,
)
from millstream.errors import BrokerError
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition


def test_retention_removes_whole_batches_by_age(broker: EmbeddedBroker, clock: ManualClock) -> None:
    for _ in range(70):
        write(broker, [b"old"])
    clock.advance(8 * 24 * 3600)
    write(broker, [b"new", b"newer"])
    assert broker.retain([]) == 70
    assert read(broker) == [b"new", b"newer"]
    with closing(broker.admin(AdminSettings("a"))) as admin:
        assert admin.beginning_offsets([T0]) == {T0: 70}
        assert admin.end_offsets([T0]) == {T0: 72}


def test_what_is_to_be_kept_for_ever_is_kept(path: str, clock: ManualClock) -> None:
    with closing(open_embedded(f"sqlite:{path}", {"log.retention.ms": "-1"}, clock)) as broker:
        write(broker, [b"old"])
        clock.advance(10 * 365 * 24 * 3600)
        assert broker.retain([]) == 0
        assert read(broker) == [b"old"]


def test_retention_removes_by_size(path: str, clock: ManualClock) -> None:
    with closing(open_embedded(f"sqlite:{path}", {"log.retention.bytes": "2500"}, clock)) as broker:
        for number in range(5):
            write(broker, [b"%d" % number * 1000])
        assert broker.retain([]) == 3
        assert len(read(broker)) == 2


def test_a_size_of_nothing_keeps_nothing(path: str, clock: ManualClock) -> None:
    with closing(open_embedded(f"sqlite:{path}", {"log.retention.bytes": "0"}, clock)) as broker:
        write(broker, [b"a"])
        write(broker, [b"b"])
        assert broker.retain([]) == 2
        assert read(broker) == []


def test_retention_waits_for_sinks_that_exist_and_for_no_other(broker: EmbeddedBroker, clock: ManualClock) -> None:
    for number in range(4):
        write(broker, [b"%d" % number])
    sink = broker.consumer(ConsumerSettings("c", "connect-sink"))
    sink.subscribe(["t"], None, NOBODY)
    sink.poll(1, 0)
    clock.advance(8 * 24 * 3600)
    assert broker.retain([SinkGroup("connect-sink")]) == 0
    sink.commit_now({T0: 2})
    assert broker.retain([SinkGroup("connect-sink")]) == 2
    assert read(broker) == [b"2", b"3"]
    assert broker.retain([]) == 2
    assert read(broker) == []
    sink.close()


def test_retention_goes_by_what_the_sinks_are_to_read_whether_they_ran_or_not(
    broker: EmbeddedBroker, clock: ManualClock
) -> None:
    write(broker, [b"a"])
    with closing(broker.consumer(ConsumerSettings("c", "moved"))) as sink:
        sink.subscribe(["t"], None, NOBODY)
        sink.poll(1, 0)
    clock.advance(8 * 24 * 3600)
    assert broker.retain([SinkGroup("never-ran", ["t"])]) == 0
    assert broker.retain([SinkGroup("never-ran", pattern=re.compile("[s-u]"))]) == 0
    assert broker.retain([SinkGroup("moved")]) == 0
    assert broker.retain([SinkGroup("moved", ["other"]), SinkGroup("never-ran", pattern=re.compile("x.*"))]) == 1


def test_rows_that_retention_took_are_passed_over_in_silence_by_none_who_says_so(
    broker: EmbeddedBroker, clock: ManualClock
) -> None:
    write(broker, [b"old"])
    with closing(broker.consumer(ConsumerSettings("c", "careful"))) as sink:
        sink.subscribe(["t"], None, NOBODY)
        sink.poll(1, 0)
        sink.commit_now({T0: 0})
    clock.advance(8 * 24 * 3600)
    assert broker.retain([]) == 1
    write(broker, [b"new"])
    with closing(broker.consumer(ConsumerSettings("c", "careful", reset="none"))) as sink:
        sink.subscribe(["t"], None, NOBODY)
        with pytest.raises(
            BrokerError, match=r"t-0: offset 0 is not in the log, and auto\.offset\.reset is none"
        ) as caught:
            sink.poll(1, 0)
        assert not caught.value.retriable
        assert sink.position(T0) == 0
    with closing(broker.consumer(ConsumerSettings("c", "careful"))) as sink:
        sink.subscribe(["t"], None, NOBODY)
        assert [list(incoming.values) for incoming in sink.poll(1, 0)] == [[b"new"]]


def test_a_tombstone_goes_after_a_day(broker: EmbeddedBroker, clock: ManualClock) -> None:
    with closing(broker.admin(AdminSettings("a"))) as admin:
        admin.create_topics([NewTopic("c", 1, -1, {"cleanup.policy": "compact"})])
    producer = broker.producer(ProducerSettings("p"))
    producer.send(Outgoing("c", [b"1", None], [b"a", b"b"]), ignore)
    producer.close(1)
    clock.advance(25 * 3600)
    broker.retain([])
    consumer = broker.consumer(ConsumerSettings("c"))
    consumer.assign({TopicPartition("c", 0): "beginning"})
    (incoming,) = consumer.poll(10, 0)
    assert list(incoming.keys or ()) == [b"a"]
    assert consumer.position(TopicPartition("c", 0)) == 2
    consumer.close()


def test_compact_gives_freed_pages_back_offline(path: str, clock: ManualClock) -> None:
    with closing(open_embedded(f"sqlite:{path}", {}, clock)) as broker:
        for _ in range(20):
            write(broker, [os.urandom(50_000)])
        clock.advance(8 * 24 * 3600)
        write(broker, [b"kept"])
        broker.retain([])
        owner = broker.own()
        with pytest.raises(BrokerError, match="in use by pid"):
            compact(f"sqlite:{path}")
        owner.release()
    before, after = compact(f"sqlite:{path}")[path]
    assert after < before / 2
    with closing(open_embedded(f"sqlite:{path}")) as broker:
        assert read(broker) == [b"kept"]


def test_compact_needs_a_log(path: str) -> None:
    with pytest.raises(BrokerError, match="there is no log at"):
        compact(f"sqlite:{path}")
