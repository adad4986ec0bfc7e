"""Members of a group on the embedded log: a partition has one reader, and goes to the next when that one lets go."""

import logging
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from millstream.broker.embedded import claims
from millstream.broker.embedded.consumer import EmbeddedConsumer
from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.ports import AdminSettings, ConsumerSettings, NewTopic, Outgoing, ProducerSettings
from millstream.broker.ports import RebalanceListener as Listener
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition

T1 = TopicPartition("t", 1)
LOOK = 2.0  # seconds, after which a consumer looks at the topics again


@pytest.fixture(params=["file", "memory"])
def bootstrap(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/log.db" if request.param == "file" else f"sqlite::memory:{tmp_path}"


@pytest.fixture
def broker(bootstrap: str, clock: ManualClock) -> Iterator[EmbeddedBroker]:
    """Topic t, two partitions with two rows each."""
    with closing(open_embedded(bootstrap, {}, clock)) as broker:
        with closing(broker.admin(AdminSettings("a"))) as admin:
            admin.create_topics([NewTopic("t", 2)])
        producer = broker.producer(ProducerSettings("p"))
        producer.send(Outgoing("t", [b"a", b"b", b"c", b"d"], None, [0, 0, 1, 1]), lambda _: None)
        producer.close(1)
        yield broker


def member(broker: EmbeddedBroker, number: int, count: int, group: str = "g") -> EmbeddedConsumer:
    """A reader that commits in `revoked` where it is, as a sink task does."""
    consumer = broker.consumer(ConsumerSettings(f"c{number}", group, share=(number, count)))

    def revoked(going: Collection[TopicPartition]) -> None:
        consumer.commit_now({partition: consumer.position(partition) for partition in going})

    consumer.subscribe(["t"], None, Listener(lambda _: None, revoked, lambda _: None))
    return consumer


def partitions(consumer: EmbeddedConsumer) -> set[int]:
    return {partition for _, partition in consumer.assignment()}


def test_a_partition_goes_to_its_new_reader_when_the_former_has_committed_it_and_let_go(
    broker: EmbeddedBroker, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = member(broker, 0, 1)
    assert sum(len(some.values) for some in first.poll(10, 0)) == 4  # and is in a long put with them now
    first.reshare(0, 2)
    second = member(broker, 1, 2)
    for _ in range(3):
        assert second.poll(10, 0) == []
        clock.advance(LOOK)
    assert partitions(second) == set()
    waited = [line for line in caplog.messages if "Waiting until another reader" in line]
    assert waited == ["Waiting until another reader of group 'g' has let go of t-1"]
    first.poll(10, 0)
    assert partitions(first) == {0}
    clock.advance(LOOK)
    assert second.poll(10, 0) == []  # it begins behind what the first one committed
    assert (partitions(second), second.position(T1)) == ({1}, 2)
    first.close()
    second.close()


def test_a_reader_that_closes_lets_go_of_everything(broker: EmbeddedBroker, clock: ManualClock) -> None:
    first, second = member(broker, 0, 1), member(broker, 0, 1)
    first.poll(10, 0)
    second.poll(10, 0)
    assert partitions(second) == set()
    first.close()
    clock.advance(LOOK)
    second.poll(10, 0)
    assert partitions(second) == {0, 1}
    second.close()


def test_readers_of_other_groups_do_not_wait_for_each_other(broker: EmbeddedBroker) -> None:
    with closing(member(broker, 0, 1)) as one, closing(member(broker, 0, 1, "h")) as other:
        one.poll(10, 0)
        other.poll(10, 0)
        assert partitions(one) == partitions(other) == {0, 1}


def test_a_reader_that_has_not_polled_for_five_minutes_is_not_waited_for(
    broker: EmbeddedBroker, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    hung, heir = member(broker, 0, 1), member(broker, 0, 1)
    hung.poll(10, 0)
    heir.poll(10, 0)
    clock.advance(claims.LONGEST_SECONDS - 1)
    heir.poll(10, 0)
    assert partitions(heir) == set()
    clock.advance(2)
    heir.poll(10, 0)
    assert partitions(heir) == {0, 1}
    assert "t-0 is read on although another reader of group 'g', which has not polled for 301 s" in caplog.text
    hung.close()
    heir.close()


def test_a_partition_that_is_long_in_other_hands_is_told_once_with_whose_they_are(
    broker: EmbeddedBroker, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    hung, heir = member(broker, 0, 1), member(broker, 0, 1)
    hung.poll(10, 0)
    heir.poll(10, 0)
    clock.advance(claims.LONG_SECONDS - 1)
    heir.poll(10, 0)
    assert caplog.messages == []
    for _ in range(3):
        clock.advance(LOOK)
        heir.poll(10, 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0] == (
        "Nobody reads t-0, t-1 here since 16 s: another reader of group 'g' has not let go of it, a thread of this "
        f"process (pid {os.getpid()}) that is still in a call of its plugin, though its task may have been given up "
        "(task.isolation=thread). It is read on in 284 s at the latest, or as soon as that one lets go or its process "
        "ends"
    )
    hung.close()
    heir.close()


HOLDER = """
import sys
from millstream.broker.embedded.log import open_embedded
from millstream.broker.ports import ConsumerSettings, RebalanceListener
consumer = open_embedded(sys.argv[1]).consumer(ConsumerSettings("c", "g"))
consumer.subscribe(["t"], None, RebalanceListener(lambda _: None, lambda _: None, lambda _: None))
print(len(consumer.poll(10, 0)), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("bootstrap", ["file"], indirect=True)
def test_a_reader_that_was_killed_is_not_waited_for(
    broker: EmbeddedBroker, bootstrap: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, bootstrap], stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "2\n"
        with closing(member(broker, 0, 1)) as heir:
            heir.poll(10, 0)
            assert partitions(heir) == set()
            clock.advance(claims.LONG_SECONDS)
            heir.poll(10, 0)
            assert f"has not let go of it, in pid {holder.pid}. It is read on in" in caplog.text
            holder.kill()
            holder.wait(20)
            clock.advance(LOOK)
            heir.poll(10, 0)
            assert partitions(heir) == {0, 1}
