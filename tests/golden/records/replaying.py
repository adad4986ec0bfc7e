"""The cases in one running worker, a connector each, side by side."""

import base64
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from golden.records.recording import DEAD_LETTERS, INPUT_MS, LINES, Answer, Case
from golden.rest.recording import DAY_MS, RECORDING_MS
from running import PROPERTIES, WorkerProcess

from millstream.broker.connect import open_broker
from millstream.broker.ports import (
    AdminSettings,
    Broker,
    ConsumerSettings,
    Delivered,
    HeaderRow,
    Incoming,
    Outgoing,
    ProducerSettings,
)
from millstream_api import TopicPartition

#: how long a case may take to become what was recorded
PATIENCE_S = 60.0
#: what the file sources of the recordings read
IN_TXT = 'line 0\n\nünï €😀 "q" \\ \t|\n{"a":1}\n  spaces \r\nlast\n'


@dataclass(frozen=True)
class Trial:
    """A case as it is run. more: settings besides the recorded ones; such a trial has a connector of its own."""

    case: Case
    more: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.case.connector}-more" if self.more else self.case.connector

    def config(self, data: Path) -> dict[str, str]:
        # one that asks for a dead letter queue is refused: it runs without
        given = {name: text for name, text in self.case.config.items() if not name.startswith(DEAD_LETTERS)}
        file = {"file": f"$DATA/{self.name}.out"} if self.case.kind == "sink" else {}
        return {name: text.replace("$DATA", str(data)) for name, text in {**given, **file, **self.more}.items()}


def replay(trials: Sequence[Trial], folder: Path) -> dict[str, Answer]:
    """Trial -> what came of it, in the shape of the recordings."""
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "in.txt").write_bytes(IN_TXT.encode())
    bootstrap = f"sqlite:{folder / 'log.db'}"
    broker = open_broker(bootstrap)
    try:
        write({trial.case.topic: trial.case for trial in trials if trial.case.input is not None}.values(), broker)
        worker = WorkerProcess(
            folder, {**PROPERTIES, "bootstrap.servers": bootstrap, "offset.flush.interval.ms": "200"}
        )
        try:
            worker.start()
            told = _told(worker, trials, data, broker)
        finally:
            worker.stop()
        sources = {trial.case.topic for trial in trials if trial.case.kind == "source"}
        records = topics_read(sources | {trial.case.dead_letters for trial in trials}, broker)
        return {trial.name: _answer(trial, told[trial.name], worker, records) for trial in trials}
    finally:
        broker.close()


def write(cases: Collection[Case], broker: Broker) -> None:
    """The records of the sinks' topics."""
    refused: dict[int, Exception] = {}

    def done(delivered: Delivered) -> None:
        refused.update(delivered.failures)

    producer = broker.producer(ProducerSettings("recorder"))
    for case in cases:
        assert case.input is not None
        rows = len(case.input.values)
        stamps, headers = [INPUT_MS] * rows, [case.input.headers] * rows
        producer.send(Outgoing(case.topic, case.input.values, case.input.keys, None, stamps, headers), done)
    left = producer.flush(PATIENCE_S)
    producer.close(PATIENCE_S)
    assert (left, refused) == (0, {})


def _told(worker: WorkerProcess, trials: Sequence[Trial], data: Path, broker: Broker) -> dict[str, dict[str, Any]]:
    """Status and offsets of each connector, once it has done what was recorded or its patience is at an end."""
    for trial in trials:
        worker.create(trial.name, **trial.config(data))
    deadline = time.monotonic() + PATIENCE_S
    told: dict[str, dict[str, Any]] = {}
    while len(told) < len(trials):
        late = time.monotonic() > deadline
        written = _written({trial.case.topic for trial in trials}, broker)
        for trial in trials:
            if trial.name not in told:
                found = _status(worker, trial)
                if late or _is_done(trial, found, written.get(trial.case.topic, 0)):
                    told[trial.name] = found
        time.sleep(0.05)
    return told


def _status(worker: WorkerProcess, trial: Trial) -> dict[str, Any]:
    found = {"status": worker.call("GET", f"/connectors/{trial.name}/status").json}
    if trial.case.kind == "sink":
        found["offsets"] = worker.call("GET", f"/connectors/{trial.name}/offsets").json
    return found


def _is_done(trial: Trial, found: Mapping[str, Any], written: int) -> bool:
    tasks = found["status"].get("tasks", ())
    if any(task["state"] == "FAILED" for task in tasks):
        return True
    if trial.case.kind == "sink":
        return bool(tasks) and found["offsets"].get("offsets") == trial.case.answer["offsets"]["offsets"] != []
    return bool(tasks) and tasks[0]["state"] == "RUNNING" and written >= len(trial.case.answer["records"]) > 0


def _written(topics: set[str], broker: Broker) -> dict[str, int]:
    admin = broker.admin(AdminSettings("recorder"))
    try:
        there = [TopicPartition(topic, 0) for topic in topics & set(admin.names())]
        return {place.topic: end for place, end in admin.end_offsets(there).items()}
    finally:
        admin.close()


def topics_read(topics: set[str], broker: Broker) -> dict[str, list[dict[str, Any]]]:
    """Topic -> its records as the recordings have them."""
    records: dict[str, list[dict[str, Any]]] = {topic: [] for topic in topics}
    ends = _written(topics, broker)
    consumer = broker.consumer(ConsumerSettings("recorder"))
    try:
        consumer.assign({TopicPartition(topic, 0): 0 for topic in ends})
        deadline = time.monotonic() + PATIENCE_S
        while sum(map(len, records.values())) < sum(ends.values()) and time.monotonic() < deadline:
            for batch in consumer.poll(1000, 0.1):
                records[batch.topic] += _rows(batch)
    finally:
        consumer.close()
    return records


def _rows(batch: Incoming) -> list[dict[str, Any]]:
    nothing = [None] * len(batch.offsets)
    keys, headers = batch.keys or nothing, batch.headers or [()] * len(batch.offsets)
    columns = zip(batch.offsets, batch.timestamps, keys, batch.values, headers, strict=True)
    return [
        {
            **{"topic": batch.topic, "partition": batch.partition, "offset": offset},
            "timestamp": [1 if batch.timestamp_type == "CreateTime" else batch.timestamp_type, _moment(stamp)],
            **_both("key", key),
            **_both("value", value),
            "headers": _headers(row) or None,
        }
        for offset, stamp, key, value, row in columns
    ]


def _headers(row: HeaderRow) -> list[dict[str, str | None]]:
    return [{"key": name, **_both("value", data)} for name, data in row]


def _moment(stamp: int) -> int:
    return RECORDING_MS if abs(stamp - time.time() * 1000) < DAY_MS else stamp


def _both(name: str, data: bytes | None) -> dict[str, str | None]:
    """Text, null where there is none, and base64, as the recordings hold bytes."""
    try:
        text = None if data is None else data.decode()
    except UnicodeDecodeError:
        text = None
    return {name: text, f"{name}_base64": None if data is None else base64.b64encode(data).decode()}


# ---- what came of a case


def _answer(
    trial: Trial, told: Mapping[str, Any], worker: WorkerProcess, records: Mapping[str, list[dict[str, Any]]]
) -> Answer:
    tasks = told["status"]["tasks"]
    states, traces = [task["state"] for task in tasks], [_trace(task.get("trace")) for task in tasks]
    if trial.case.kind == "source":
        everyone = [told["status"]["connector"], *tasks]
        failed = [_trace(each.get("trace")) for each in everyone if each["state"] == "FAILED"]
        answer = {"state": "FAILED" if failed else "RUNNING", "records": records[trial.case.topic]}
        return {**answer, "trace": failed[0]} if failed else answer
    written = Path(trial.config(worker.folder / "data")["file"])
    return {
        "state": states,
        "file": written.read_bytes().decode(errors="backslashreplace") if written.exists() else None,
        "offsets": told["offsets"],
        "trace": traces,
        "log": [event.line for event in logged(worker.log, trial.name)][:LINES],
        "dlq": records[trial.case.dead_letters],
    }


def _trace(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    lines = text.splitlines()
    start = "Caused by: "
    return {"first": lines[0], "causes": [line.removeprefix(start) for line in lines if line.startswith(start)]}


@dataclass(frozen=True)
class Logged:
    """What the error reporter said of a record, as a line of the recordings; and the error, the last line of its trace.

    In our log the name of the logger stands behind the trace.
    """

    line: str
    error: str


def logged(log: str, connector: str) -> list[Logged]:
    """What the error reporter said of a connector's first task."""
    entry = re.compile(
        rf"^\[.*?\] (\w+) \[.*?\] (Error encountered in task {connector}-0\..*)\n([^\[].*\n)*?(.*) (\([\w.]+\))$",
        re.MULTILINE,
    )
    return [Logged(f"{level} {text} {logger}", error) for level, text, _, error, logger in entry.findall(log)]
