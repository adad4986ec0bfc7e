"""A writer killed at any moment: what it said is durable is there, and offsets agree with the rows."""

import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from millstream.broker.embedded.log import open_embedded
from millstream.broker.ports import ConsumerSettings
from millstream_api.records import TopicPartition

ROUNDS = 25
SEED = 20260101

WRITER = """
import sys
from millstream.broker.embedded.log import open_embedded
from millstream.broker.ports import AdminSettings, NewTopic, Outgoing, ProducerSettings
import millstream.broker.embedded.store as store

store.CHECKPOINT_BYTES = 400_000  # so that rounds are killed inside checkpoints, too
broker = open_embedded("sqlite:" + sys.argv[1])
count = int(sys.argv[2])
epoch = broker.own().epoch
broker.admin(AdminSettings("a")).create_topics([NewTopic("offsets", 1, -1, {"cleanup.policy": "compact"})])
producer = broker.producer(ProducerSettings("p", epoch=epoch))
while True:
    size = 1 + count * 7919 % 90
    producer.begin()
    producer.send(Outgoing("t", [b"%d" % i + b"." * 200 for i in range(count, count + size)]), lambda told: None)
    producer.send(Outgoing("offsets", [b"%d" % (count + size)], [b"source"]), lambda told: None)
    producer.commit()
    count += size
    if size % 3 == 0:
        producer.durable()
        sys.stdout.write("%d\\n" % count)
        sys.stdout.flush()
"""


def everything(path: str) -> tuple[list[bytes | None], int]:
    """The rows and the stored source offset."""
    with closing(open_embedded(f"sqlite:{path}")) as broker:
        consumer = broker.consumer(ConsumerSettings("c"))
        rows: list[bytes | None] = []
        offset = 0
        topics = [name for name in ("t", "offsets") if name in broker._catalog.names()]
        consumer.assign({TopicPartition(name, 0): "beginning" for name in topics})
        while polled := consumer.poll(5000, 0):
            for incoming in polled:
                if incoming.topic == "t":
                    rows.extend(incoming.values)
                else:
                    offset = int(incoming.values[-1] or 0)
        consumer.close()
        return rows, offset


@pytest.mark.timeout(300)  # a program is started each round
def test_no_acknowledged_row_is_lost_and_offsets_agree_whenever_the_writer_is_killed(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    path = str(tmp_path / "log.db")
    stored = 0
    killed_with_rows = 0
    for number in range(ROUNDS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(stored)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert writer.stdout is not None
        acknowledged = stored
        wanted = dice.randrange(0, 12)
        for _ in range(wanted):
            acknowledged = int(writer.stdout.readline())
        if wanted:
            spin(dice.randrange(0, 300_000))
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout.read().split(b"\n")[:-1]:
            acknowledged = int(line)
        writer.stdout.close()
        assert writer.wait(20) == -signal.SIGKILL
        rows, offset = everything(path)
        assert len(rows) >= acknowledged, (
            f"round {number} of seed {SEED}: {acknowledged} were durable, {len(rows)} are there"
        )
        assert rows == [b"%d" % i + b"." * 200 for i in range(len(rows))], f"round {number} of seed {SEED}"
        assert offset == len(rows), f"round {number} of seed {SEED}"
        killed_with_rows += len(rows) > stored
        stored = len(rows)
    assert killed_with_rows >= ROUNDS // 2


def spin(turns: int) -> None:
    """Let a little time pass, as much as the dice say."""
    for _ in range(turns):
        pass
