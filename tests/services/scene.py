"""A standalone worker with a file source, a topic and a sink on a broker, in the middle of which something goes wrong.

Needs /proc.
"""

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from crashing import has_open
from running import processes

from services.accounting import LINE_BYTES
from services.flow import Flow
from services.kafka import Kafka
from services.standalone import SINK, SOURCE, named, worker_on

T = TypeVar("T")

WITNESS = "millstream_hostile.witness:WitnessSink"
PATIENCE_S = 240.0
SETTLE_S = 120.0
ASK_S = 60.0
GLANCE_S = 10.0  # for what is asked again anyway
LOOK_S = 0.05
#: of a worker that cannot start: what a supervisor such as systemd waits before it starts it again
SUPERVISOR_S = 1.0


class StuckError(Exception):
    """Something did not come."""


@dataclass(frozen=True)
class Setting:
    """What a round runs on. settings: of the worker, beside the usual ones.   pattern: the sink has `topics.regex`."""

    kafka: Kafka
    listener: str = "PLAINTEXT"
    partitions: int = 1
    tasks: int = 1
    witness: bool = False
    pattern: bool = False
    settings: dict[str, str] = field(default_factory=dict)


class Scene:
    """restarts: of the source's task, alone or with its worker.   human: what nobody but a human would have done."""

    def __init__(self, folder: Path, setting: Setting, dice: random.Random, lines: int) -> None:
        self.folder = folder
        self.setting = setting
        self.kafka = setting.kafka
        self.dice = dice
        self.lines = lines
        self.topic = named("faults")
        self.source, self.sink = f"{self.topic}-source", f"{self.topic}-sink"
        self.original, self.copy, self.slow = folder / "in.txt", folder / "out.txt", folder / "slow"
        self.restarts = 0
        self.human: list[str] = []
        self.ended: list[int] = []  # exit codes of a worker that ended by itself
        self.supervised = False
        self.gone: frozenset[int] = frozenset()  # lines that were in a topic that was deleted
        self._past = ""
        self._counted, self._bytes = 0, 0
        folder.mkdir(parents=True, exist_ok=True)
        client = self.kafka.java_client(setting.listener)
        self.worker = worker_on(client, folder, offset_flush_interval_ms="1000", **setting.settings)
        self.worker.arguments = ["source.properties", "sink.properties"]
        self.admin = AdminClient(self.kafka.client())
        self.flow: Flow | None = None

    def begin(self, at_once: float, seconds: float) -> None:
        """The topic is made, the worker runs, the file grows."""
        self.make_topic()
        kind = {"connector.class": SINK, "file": str(self.copy)}
        if self.setting.witness:
            kind = {"connector.class": WITNESS, "file": str(self.copy), "slow": str(self.slow)}
        subscription = "topics.regex" if self.setting.pattern else "topics"
        sink = {"name": self.sink, subscription: self.topic, "tasks.max": str(self.setting.tasks), **kind}
        source = {"name": self.source, "connector.class": SOURCE, "file": str(self.original), "topic": self.topic}
        for name, config in (("source", source), ("sink", sink)):
            text = "".join(f"{key}={value}\n" for key, value in config.items())
            (self.folder / f"{name}.properties").write_text(text)
        self.flow = Flow(self.original, self.lines, at_once, seconds)
        self.launch()
        self.until(self.listening, "the worker to be ready", PATIENCE_S)
        self.until(lambda: self.all_running() and self.dealt_out(), "all to run, each with its partitions", PATIENCE_S)
        self.flow.start()

    def make_topic(self) -> None:
        self.admin.create_topics([NewTopic(self.topic, self.setting.partitions)])[self.topic].result(ASK_S)

    # -- the worker

    @property
    def said(self) -> str:
        """All that the workers of this scene have logged."""
        try:
            return self._past + self.worker.log
        except FileNotFoundError:
            return self._past

    def launch(self) -> None:
        self._past = self.said
        self.worker.url = ""
        self.worker.launch()

    def listening(self) -> bool:
        ready = [line for line in self.worker.log.splitlines() if "the REST API is at " in line]
        if ready:
            self.worker.url = ready[0].split("the REST API is at ")[1].split()[0].rstrip(",")
        return bool(ready)

    def tend(self) -> None:
        """A supervisor: what ended by itself is started again, where that is to be expected."""
        process = self.worker.process
        if not self.supervised or process is None or process.poll() is None:
            return
        self.ended.append(process.returncode)
        self.restarts += 1
        time.sleep(SUPERVISOR_S)
        self.launch()

    def pid(self) -> int:
        assert self.worker.process is not None
        return self.worker.process.pid

    def pid_of(self, what: str) -> int:
        """A process of the source, of the sink (one of several by chance) or their template."""
        return self.until(lambda: self._pid_of(what), f"a process of the {what}", PATIENCE_S)

    def _pid_of(self, what: str) -> int | None:
        running = processes(self.worker)
        if what == "template":
            templates = [pid for pid, (parent, _) in running.items() if parent == self.pid()]
            children = {pid: sum(parent == pid for parent, _ in running.values()) for pid in templates}
            return max(children, key=lambda pid: children[pid]) if any(children.values()) else None
        path = self.original if what == "source" else self.copy
        found = sorted(pid for pid in running if has_open(pid, path))
        if len(found) < (1 if what == "source" else self.setting.tasks):
            return None
        return self.dice.choice(found)

    def states(self) -> list[str]:
        """Of both connectors and all tasks; empty while the worker does not answer."""
        found: list[str] = []
        for name in (self.source, self.sink):
            status = self.ask(f"/connectors/{name}/status")
            if not status:
                return []
            found += [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
        return found

    def all_running(self) -> bool:
        found = self.states()
        if not self.worker.url:
            self.listening()
        return len(found) == 3 + self.setting.tasks and set(found) == {"RUNNING"}

    def dealt_out(self) -> bool:
        """Whether each task of the sink was given its share of the partitions last."""
        last = dict(re.findall(r"task-(\d+)\] Partitions assigned: (.*) \(", self.said))
        share = self.setting.partitions // self.setting.tasks
        return [named.count(self.topic) for named in last.values()] == [share] * self.setting.tasks

    def trace(self, name: str) -> str:
        status = self.ask(f"/connectors/{name}/status")
        return "\n".join(task.get("trace", "") for task in status["tasks"]) if status else ""

    def ask(self, path: str) -> Any:
        try:
            answer = self.worker.call("GET", path) if self.worker.url else None
        except OSError:
            return None
        return answer.json if answer is not None and answer.status == 200 else None

    def stop_tree(self, number: int) -> None:
        """A signal to the worker and all its children: SIGSTOP is a machine that stands still."""
        for pid in (self.pid(), *processes(self.worker)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    # -- how far it is

    def until(self, condition: Callable[[], T], what: str, patience: float = PATIENCE_S) -> Any:
        deadline = time.monotonic() + patience
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise StuckError(f"waited {patience:.0f} s for {what}; states: {self.states()}")
            self.tend()
            time.sleep(LOOK_S)

    def rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.tend()
            time.sleep(LOOK_S)

    def sunk(self) -> int:
        """Lines of the sink's file."""
        try:
            with self.copy.open("rb") as file:
                file.seek(self._bytes)
                while block := file.read(1 << 20):
                    self._bytes += len(block)
                    self._counted += block.count(b"\n")
        except FileNotFoundError:
            return 0
        return self._counted

    def written(self) -> int:
        """Rows of the topic."""
        return sum(self.ends().values())

    def ends(self) -> dict[TopicPartition, int]:
        try:
            partitions = self.admin.list_topics(self.topic, timeout=GLANCE_S).topics[self.topic].partitions
            asked = self.admin.list_offsets(
                {TopicPartition(self.topic, each): OffsetSpec.latest() for each in partitions}
            )
            return {at: future.result(GLANCE_S).offset for at, future in asked.items()}
        except KafkaException:
            return {}

    def committed(self) -> dict[TopicPartition, int]:
        try:
            asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(f"connect-{self.sink}")])
            (answer,) = asked.values()
            return {
                TopicPartition(at.topic, at.partition): at.offset for at in answer.result(GLANCE_S).topic_partitions
            }
        except KafkaException:
            return {}

    def share(self, side: str) -> float:
        return (self.sunk() if side == "sink" else self.written()) / self.lines

    def settled(self) -> bool:
        """Everything runs, and both sides have committed all there is."""
        if not self.all_running():
            return False
        offsets = self.ask(f"/connectors/{self.source}/offsets")
        stored = [each["offset"].get("position") for each in offsets["offsets"]] if offsets else []
        ends = self.ends()
        return stored == [self.lines * LINE_BYTES] and bool(ends) and self._caught_up(ends)

    def _caught_up(self, ends: dict[TopicPartition, int]) -> bool:
        committed = self.committed()
        return all(committed.get(at, -1) == end for at, end in ends.items() if end)

    def tells(self, pattern: str, since: int) -> str:
        """The line of the log behind `since`, or of a trace, that the pattern is found in."""
        for text in (self.said[since:], self.trace(self.source), self.trace(self.sink)):
            found = re.search(f"^.*{pattern}.*$", text, re.MULTILINE)
            if found:
                return found[0][:400]
        return ""

    def end(self) -> int:
        """Ask the worker to end; its exit code."""
        assert self.worker.process is not None
        self.supervised = False
        self.worker.process.terminate()
        return self.worker.process.wait(SETTLE_S)

    def close(self) -> None:
        """Whatever happened, nothing of it stays."""
        self.supervised = False
        if self.flow is not None:
            self.flow.finish()
        process = self.worker.process
        if process is not None and process.poll() is None:
            self.stop_tree(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(ASK_S)
            except subprocess.TimeoutExpired:
                self.worker.kill()
