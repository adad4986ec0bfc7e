"""The kit's harness and the worker say the same of the same plugin, so that the two cannot drift.

Each scenario runs twice: through the harness, whose records a converter then writes, and in a running worker, whose
topic is read as it is. Compared are keys, values, headers, partitions, their order, timestamps where the source has its
own, and the offsets that are stored.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running import BIN, PROPERTIES, WorkerProcess, until

from millstream_api import STRING, SourceRecord, Subject
from millstream_conformance.contexts import spelled
from millstream_conformance.harness import Row, RunningSink, collect, load, offsets_after
from millstream_json.converter import JsonConverter

pytestmark = pytest.mark.timeout(400)

LINES = ["one", "", "ünï €😀", "tab\there", "last"]
JSON = "org.apache.kafka.connect.json.JsonConverter"
#: topic, partition, timestamp, key, value, headers of a record as it is written
Written = dict[str, Any]


ROLES = ("key", "value", "header")


@dataclass(frozen=True)
class Scenario:
    """A source with settings; `{folder}` in them is the folder with `in.txt`.

    records:     how many of them are compared; None: all there are.
    timestamps:  whether the source gives moments of its own, and not the present one.
    tasks:       how many it has; between their records there is no order.
    """

    name: str
    connector: str
    config: Mapping[str, str]
    records: int | None = None
    timestamps: bool = False
    tasks: int = 1

    def created(self, settings: Mapping[str, str]) -> dict[str, str]:
        """What the worker is given."""
        return {"connector.class": self.connector, "tasks.max": str(self.tasks), **settings}

    def ordered(self, records: Sequence[Written]) -> Sequence[Written]:
        """By key, which names the task, and in the order of each."""
        return records if self.tasks == 1 else sorted(records, key=lambda record: str(record["key"]))

    def settings(self, folder: Path) -> dict[str, str]:
        return {name: text.replace("{folder}", str(folder)) for name, text in self.config.items()}


GOLDEN = "millstream_golden.source:GoldenSource"
FILE, SINK = "millstream_file.source:FileStreamSource", "millstream_file.sink:FileStreamSink"
SCENARIOS = [
    Scenario("heartbeat", "millstream_heartbeat:HeartbeatSource", {"topic": "heartbeat", "interval.ms": "5"}, 20),
    Scenario("file", FILE, {"topic": "file", "file": "{folder}/in.txt"}),
    Scenario("file-in-batches", FILE, {"topic": "file-in-batches", "file": "{folder}/in.txt", "batch.size": "2"}),
    *(
        Scenario(f"golden-{mode}", GOLDEN, {"topic": f"golden-{mode}", "mode": mode, "count": "7"}, None, True)
        for mode in ("typed", "map", "string", "null")
    ),
    Scenario("golden-shared", GOLDEN, {"topic": "golden-shared", "mode": "string", "count": "7"}, None, True, 3),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker with every scenario's source in it."""
    folder = tmp_path_factory.mktemp("same")
    (folder / "in.txt").write_text("".join(f"{line}\n" for line in LINES))
    own = {"header.converter": JSON, "offset.flush.interval.ms": "200"}
    kept = {"log.retention.ms": "-1"}  # records of 2023 go when retention first looks, half a minute after the start
    made = WorkerProcess(folder, {**PROPERTIES, **own, **kept}).start()
    try:
        for scenario in SCENARIOS:
            made.create(scenario.name, **scenario.created(scenario.settings(folder)))
        yield made
    finally:
        made.kill()


def harnessed(scenario: Scenario, folder: Path) -> list[SourceRecord]:
    most = scenario.records if scenario.records is not None else 10_000
    return collect(load(scenario.connector), scenario.settings(folder), {}, most, scenario.tasks)[:most]


def written(scenario: Scenario, topic: str, records: Sequence[SourceRecord]) -> list[Written]:
    """The records as the worker writes them with JSON converters."""
    made = {role: JsonConverter(JsonConverter.config_class.parse({"converter.type": role})) for role in ROLES}
    return [
        {
            "topic": topic,
            "partition": record.partition or 0,
            "key": _encoded(made["key"], Subject(topic, record.key_schema, "key"), record.key),
            "value": _encoded(made["value"], Subject(topic, record.value_schema, "value"), record.value),
            "headers": [
                [header.name, _text(made["header"].to_bytes(topic, header.name, header.value, header.schema))]
                for header in record.headers
            ],
            **({"timestamp": record.timestamp} if scenario.timestamps else {}),
        }
        for record in records
    ]


def _encoded(converter: JsonConverter, subject: Subject, value: Any) -> str | None:
    return _text(converter.encoder(subject)([value], None)[0])


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode()


def in_topic(worker: WorkerProcess, scenario: Scenario, topic: str) -> list[Written]:
    """What is in a topic now; nothing while there is no such topic."""
    command = [BIN / "millstream", "consume", topic, "--from-beginning", "--json", "--config", "worker.properties"]
    done = subprocess.run(command, cwd=worker.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 or f"there is no topic '{topic}'" in done.stderr, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    unlike = {"offset"} if scenario.timestamps else {"offset", "timestamp"}
    return [{name: part for name, part in row.items() if name not in unlike} for row in found]


def arrived(worker: WorkerProcess, scenario: Scenario, topic: str, count: int) -> None:
    until(lambda: len(in_topic(worker, scenario, topic)) >= count, f"{count} records in {topic}", 60)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_records_are_the_same(worker: WorkerProcess, scenario: Scenario) -> None:
    wanted = written(scenario, scenario.name, harnessed(scenario, worker.folder))
    assert wanted, "the harness found nothing to compare"
    arrived(worker, scenario, scenario.name, len(wanted))
    found = in_topic(worker, scenario, scenario.name)
    assert scenario.ordered(found[: len(wanted)]) == scenario.ordered(wanted)
    if scenario.records is None:
        assert len(found) == len(wanted)


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.records is None], ids=lambda scenario: scenario.name
)
def test_the_stored_offsets_are_the_same(worker: WorkerProcess, scenario: Scenario) -> None:
    wanted = offsets_after(harnessed(scenario, worker.folder))

    def stored() -> dict[str, Any]:
        return {spelled(each["partition"]): each["offset"] for each in worker.offsets(scenario.name)}

    until(lambda: stored() == wanted, f"the offsets {wanted} of {scenario.name}")


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.name != "heartbeat"], ids=lambda scenario: scenario.name
)
def test_after_a_restart_in_the_middle_the_rest_is_the_same(worker: WorkerProcess, scenario: Scenario) -> None:
    """The offsets of a prefix are set by REST, and the source goes on from there, as in the harness."""
    whole = harnessed(scenario, worker.folder)
    stored = offsets_after(whole[:3])
    again = f"{scenario.name}-again"
    settings = {**scenario.settings(worker.folder), "topic": again}
    config = scenario.created(settings)
    body = {"name": again, "config": config, "initial_state": "STOPPED"}
    assert worker.call("POST", "/connectors", body).status == 201
    until(lambda: worker.states(again) == ["STOPPED"], f"{again} to be STOPPED")
    offsets = [{"partition": json.loads(partition), "offset": offset} for partition, offset in stored.items()]
    answer = worker.call("PATCH", f"/connectors/{again}/offsets", {"offsets": offsets})
    assert answer.status == 200, answer.text
    assert worker.call("PUT", f"/connectors/{again}/resume").status == 202
    rest = collect(load(scenario.connector), settings, stored, 10_000, scenario.tasks)
    wanted = written(scenario, again, rest)
    assert len(wanted) == len(whole) - 3
    arrived(worker, scenario, again, len(wanted))
    assert scenario.ordered(in_topic(worker, scenario, again)) == scenario.ordered(wanted)


def test_a_sink_writes_the_same_and_its_position_is_the_same(worker: WorkerProcess, tmp_path: Path) -> None:
    sink = RunningSink(load(SINK), {"file": str(tmp_path / "out.txt")}, "file")
    sink.put(LINES, schema=STRING)
    committed = sink.commit()
    sink.stop()
    worker.create("sink", **{"connector.class": "FileStreamSink", "file": "out.txt", "topics": "file"})
    original = (tmp_path / "out.txt").read_bytes()
    copy = worker.folder / "out.txt"
    until(lambda: copy.exists() and copy.read_bytes() == original, "the worker's copy to be the harness's")
    at = {"kafka_topic": sink.partition.topic, "kafka_partition": sink.partition.partition}
    position = {"partition": at, "offset": {"kafka_offset": committed[sink.partition]}}
    until(lambda: worker.offsets("sink") == [position], f"{position} to be stored")


def test_two_tasks_of_a_sink_write_the_same_beside_each_other(worker: WorkerProcess, tmp_path: Path) -> None:
    wide = Scenario("golden-wide", GOLDEN, {"topic": "golden-wide", "mode": "string", "count": "1"}, None, True)
    creation = {"topic.creation.default.partitions": "2", "topic.creation.default.replication.factor": "1"}
    worker.create(wide.name, **{**wide.created(wide.settings(worker.folder)), **creation})
    arrived(worker, wide, wide.name, 1)
    keyed = "".join(f"k{number}=value {number}\n" for number in range(12))
    command = [BIN / "millstream", "produce", wide.name, "--key-separator", "=", "--config", "worker.properties"]
    subprocess.run(command, cwd=worker.folder, input=keyed, text=True, timeout=60, check=True)
    rows = in_topic(worker, wide, wide.name)
    values = {number: [row["value"] for row in rows if row["partition"] == number] for number in (0, 1)}
    assert all(values.values()), "all keys are of one partition"
    file, settings = tmp_path / "wide.txt", {"file": str(tmp_path / "wide.txt")}
    tasks = [RunningSink(load(SINK), settings, wide.name, task=number) for number in (0, 1)]
    for sink, number in zip(tasks, (0, 1), strict=True):
        sink.put_rows([Row(value, partition=number) for value in values[number][:4]], STRING)
    for sink, number in zip(tasks, (0, 1), strict=True):
        sink.put_rows([Row(value, partition=number) for value in values[number][4:]], STRING)
    committed = {**tasks[0].commit(), **tasks[1].commit()}
    for sink in tasks:
        sink.stop()
    string = dict.fromkeys(("key.converter", "value.converter"), "org.apache.kafka.connect.storage.StringConverter")
    sink_config = {"connector.class": "FileStreamSink", "file": "wide.txt", "topics": wide.name, "tasks.max": "2"}
    worker.create("wide-sink", **sink_config, **string)
    copy = worker.folder / "wide.txt"
    until(lambda: copy.exists() and len(copy.read_text().splitlines()) == 13, "the worker's copy", 60)
    for number in (0, 1):
        mine, workers = (
            [line for line in each.read_text().splitlines() if line in values[number]] for each in (file, copy)
        )
        assert mine == workers == values[number]

    def stored() -> dict[int, int]:
        found = worker.offsets("wide-sink")
        return {each["partition"]["kafka_partition"]: each["offset"]["kafka_offset"] for each in found}

    until(lambda: stored() == {at.partition: offset for at, offset in committed.items()}, "the offsets to be stored")
