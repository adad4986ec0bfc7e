"""What of numbered lines came through a topic into a file: lost, repeated, out of order."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from services.kafka import Kafka

LINE_BYTES = 100
PADDING = "abcdefghij" * 9 + "\n"
IN_A_LOG = re.compile(rb"(\d{9})" + PADDING[:-1].encode())
READ_S = 60.0
LOOK_S = 0.3  # `consume` waits so long for as many as it may give


def line(number: int) -> str:
    return f"{number:09d}{PADDING}"


def number_of(text: str) -> int:
    """-1 for what is none of the lines, or only a part of one."""
    whole = len(text) == LINE_BYTES - 1 and text.endswith(PADDING[:-1]) and text[:9].isdigit()
    return int(text[:9]) if whole else -1


@dataclass(frozen=True)
class Written:
    """A line as a sink wrote it. Partition, offset and pid are None when the sink does not tell them."""

    number: int
    partition: int | None = None
    offset: int | None = None
    pid: int | None = None


@dataclass
class Account:
    """gone: lines that were in a topic that was deleted: the one in its name need not have them."""

    lines: int
    gone: frozenset[int] = frozenset()
    lost_topic: int = 0
    lost_file: int = 0
    repeats_topic: int = 0
    repeats_file: int = 0
    rewinds_topic: int = 0
    rewinds_file: int = 0
    behind_successor: int = 0
    foreign: list[str] = field(default_factory=list)


def topic_rows(kafka: Kafka, topic: str) -> dict[int, list[int]]:
    """The number of every line in each partition, in order, read by a consumer of its own."""
    settings = {**kafka.client(), "group.id": "accounting", "enable.auto.commit": False, "enable.partition.eof": True}
    reader = Consumer(settings)
    found: dict[int, list[int]] = {}
    try:
        known = reader.list_topics(topic, READ_S).topics[topic].partitions
        ends = {each: reader.get_watermark_offsets(TopicPartition(topic, each), READ_S) for each in known}
        reader.assign([TopicPartition(topic, each, first) for each, (first, _) in ends.items()])
        left = {each for each, (first, end) in ends.items() if end > first}
        found = {each: [] for each in known}
        deadline = time.monotonic() + READ_S
        while left:
            assert time.monotonic() < deadline, f"{topic} could not be read to its end in {READ_S:.0f} s"
            for message in reader.consume(10_000, LOOK_S):
                partition = message.partition()
                assert partition is not None
                if message.error() is not None:  # its end, when it is no failure
                    assert message.error().code() == -191, message.error()
                    left.discard(partition)
                else:
                    found[partition].append(number_of((message.value() or b"").decode()))
    finally:
        reader.close()
    return found


def deleted_lines(kafka: Kafka, topic: str, partitions: int) -> frozenset[int] | None:
    """The lines of a topic that was just deleted; None: it is not yet.

    A broker renames the logs, appends nothing to them from then on, and removes them a minute later
    (file.delete.delay.ms). Rows are not compressed, so that lines are found as they are.
    """
    logs = [*(kafka.instance.program.folder / "data").glob(f"{topic}-*-delete")]
    if len(logs) < partitions:
        return None
    segments = [segment.read_bytes() for log in logs for segment in log.glob("*.log")]
    return frozenset(int(number) for segment in segments for number in IN_A_LOG.findall(segment))


def file_rows(path: Path, witness: bool) -> tuple[list[Written], list[str]]:
    """What is in a sink's file, and what of it is no line."""
    written, foreign = [], []
    for text in path.read_text().split("\n"):
        one = _witnessed(text) if witness else Written(number_of(text))
        if one.number < 0:
            foreign.append(text[:40])
        else:
            written.append(one)
    if foreign and foreign[-1] == "":  # behind the last line end
        foreign.pop()
    return written, foreign


def _witnessed(text: str) -> Written:
    parts = text.split(" ", 3)
    if len(parts) != 4 or not all(map(str.isdigit, parts[:3])):
        return Written(-1)
    partition, offset, pid = map(int, parts[:3])
    return Written(number_of(parts[3]), partition, offset, pid)


def rewinds(numbers: Iterable[int]) -> int:
    """How often a number is not larger than the one before it."""
    found, before = 0, -1
    for number in numbers:
        found += number <= before
        before = number
    return found


def accounted(account: Account, topic: Mapping[int, Sequence[int]], file: Sequence[Written]) -> Account:
    """Count. Order is a partition's: how often a partition steps back, the most of all partitions."""
    in_topic = [number for numbers in topic.values() for number in numbers]
    have, came = set(in_topic), {one.number for one in file}
    wanted = set(range(account.lines)) - account.gone
    account.lost_topic = len(wanted - have)
    account.lost_file = len((wanted | have) - came)
    account.repeats_topic = len(in_topic) - len(have)
    account.rewinds_topic = max(map(rewinds, topic.values()), default=0)
    account.repeats_file = len(file) - len(in_topic) if not account.gone else len(file) - len(came)
    account.rewinds_file = max(map(rewinds, _by_partition(topic, file).values()), default=0)
    account.behind_successor = behind_successor(file)
    return account


def _by_partition(topic: Mapping[int, Sequence[int]], file: Sequence[Written]) -> dict[int, list[int]]:
    """The file's lines by the partition they came from; of a line that is in the topic twice nobody can say."""
    found: dict[int, list[int]] = {}
    if all(one.offset is not None for one in file):
        for one in file:
            found.setdefault(one.partition or 0, []).append(one.offset or 0)
        return found
    times: dict[int, int] = {}
    place: dict[int, int] = {}
    for partition, numbers in topic.items():
        for number in numbers:
            times[number] = times.get(number, 0) + 1
            place[number] = partition
    for one in file:
        if times.get(one.number) == 1:
            found.setdefault(place[one.number], []).append(one.number)
    return found


def behind_successor(file: Sequence[Written]) -> int:
    """Rows that a task wrote to the file after another one that began later had written them: a fenced member's."""
    began: dict[tuple[int, int], int] = {}  # partition, pid -> place in the file
    reached: dict[int, tuple[int, int]] = {}  # partition -> pid of the newest writer, its last offset
    found = 0
    for place, one in enumerate(file):
        if one.partition is None or one.pid is None or one.offset is None:
            continue
        began.setdefault((one.partition, one.pid), place)
        newest = reached.get(one.partition)
        if newest is None or began[one.partition, one.pid] >= began[one.partition, newest[0]]:
            reached[one.partition] = (one.pid, one.offset)
        elif one.offset <= newest[1]:
            found += 1
    return found
