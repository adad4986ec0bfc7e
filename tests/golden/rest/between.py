"""What the recorder did between the steps and waited for: in the recordings only the steps themselves stand."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from golden.rest.asking import Asked
from running import until

Deed = Callable[[Asked], None]

JSON_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
EARLIEST = {"consumer.override.auto.offset.reset": "earliest"}
#: what the topic `lines` held when the sink's offsets were recorded
LINES = 75


# ---- deeds


def settled(name: str, tasks: int = 1, state: str = "RUNNING", task_state: str | None = None) -> Deed:
    return lambda asked: asked.settle(name, state, task_state or state, tasks)


def call(method: str, path: str, body: Any = None) -> Deed:
    """A request that was made and not recorded. Whether it succeeded shows in the steps that follow."""

    def called(asked: Asked) -> None:
        asked.call(method, path, body)

    return called


def create(name: str, config: Mapping[str, str], **more: str) -> Deed:
    return call("POST", "/connectors", {"name": name, "config": config, **more})


def source(topic: str = "lines", **config: str) -> dict[str, str]:
    return {"connector.class": "FileStreamSource", "tasks.max": "1", "file": "$DATA/in.txt", "topic": topic, **config}


def sink(name: str, **config: str) -> dict[str, str]:
    given = {"connector.class": "FileStreamSink", "tasks.max": "1", "file": f"$DATA/{name}.out", "topics": "lines"}
    return {**given, **config}


def offsets_known(name: str) -> Deed:
    path = f"/connectors/{name}/offsets"
    return lambda asked: until(lambda: (asked.json(path) or {}).get("offsets"), f"offsets of {name}")


def position(name: str, bytes_read: int) -> Deed:
    """Wait until the file source has committed this position."""

    def committed(asked: Asked) -> bool:
        found = (asked.json(f"/connectors/{name}/offsets") or {}).get("offsets")
        return bool(found and found[0]["offset"] == {"position": bytes_read})

    return lambda asked: until(lambda: committed(asked), f"{name} to have committed {bytes_read}")


def failed_times(task: str, times: int) -> Deed:
    """Wait until a task has failed so many times: between two failures its state may not have changed."""
    words = f"[{task}] FAILED: "
    return lambda asked: until(lambda: asked.worker.log.count(words) >= times, f"{task} to have failed {times} times")


def produced(topic: str, *lines: str, keys: bool = False) -> Deed:
    """Records of these lines; with `keys`, what stands before `|` is the key."""
    return lambda asked: asked.produce(topic, lines, *(["--key-separator", "|"] if keys else []))


def delete_all(asked: Asked) -> None:
    """Delete every connector, and wait until none is there."""
    for name in asked.json("/connectors"):
        asked.call("DELETE", f"/connectors/{quote(name, safe='')}")
    until(lambda: asked.json("/connectors") == [], "no connector to be left")


def empty_file(name: str) -> Deed:
    return lambda asked: (Path(asked.here.data) / name).touch()


def line(number: int) -> str:
    """A record as the source writes it through the JSON converter."""
    return json.dumps({"schema": {"type": "string", "optional": False}, "payload": f"line {number}"})


# ---- which, before which step

S1, S2 = settled("s1"), settled("s2")
GOLDEN = {"connector.class": "GoldenSource", "tasks.max": "1", "topic": "golden", "count": "1"}
FAILED_FILE = settled("f-file", 2, "RUNNING", "FAILED")

BEFORE: Mapping[str, Sequence[Deed]] = {
    # lifecycle
    "lifecycle: create again": [S1, position("s1", 35)],
    "lifecycle: PUT config without name": [S1],
    "lifecycle: GET config": [S1],
    "lifecycle: PUT config other name": [S1],
    "lifecycle: PUT creates": [call("PUT", "/connectors/s1/config", {"name": "s1", **source()}), S1],
    "lifecycle: GET s2": [S2],
    "lifecycle: PATCH config remove": [S2],
    "lifecycle: PATCH remove required": [S2],
    "lifecycle: pause": [S1, S2],
    "lifecycle: pause again": [settled("s1", 1, "PAUSED")],
    "lifecycle: stop": [settled("s1", 1, "PAUSED")],
    "lifecycle: resume again": [S1],
    **{f"lifecycle: restart{query}": [S1] for query in ("", "?includeTasks=true", "?onlyFailed=true", "?includeTasks")},
    "lifecycle: restart?includeTasks=true&onlyFailed=true": [S1],
    "lifecycle: restart?includeTasks=bogus": [S1],
    "lifecycle: restart with body": [S1],
    "lifecycle: restart task 0": [S1],
    "lifecycle: POST s1/tasks/9/restart": [S1],
    "lifecycle: restart stopped": [settled("s2", 0, "STOPPED")],
    "lifecycle: restart stopped with tasks": [settled("s2", 0, "STOPPED")],
    "lifecycle: restart task of stopped": [settled("s2", 0, "STOPPED")],
    "lifecycle: restart paused with tasks": [call("PUT", "/connectors/s2/pause"), settled("s2", 0, "PAUSED")],
    # offsets
    "offsets: GET source": [create("fo", source()), settled("fo"), position("fo", 35)],
    "offsets: PATCH while paused": [call("PUT", "/connectors/fo/pause"), settled("fo", 1, "PAUSED")],
    "offsets: GET stopped": [call("PUT", "/connectors/fo/stop"), settled("fo", 0, "STOPPED")],
    "offsets: GET after resume": [call("PUT", "/connectors/fo/resume"), settled("fo"), position("fo", 35)],
    "offsets: GET sink": [
        produced("lines", *(line(number) for number in range(LINES - 10))),
        create("ko", sink("ko", **EARLIEST, **{"value.converter": JSON_CONVERTER})),
        settled("ko"),
        offsets_known("ko"),
    ],
    "offsets: PATCH sink ok": [call("PUT", "/connectors/ko/stop"), settled("ko", 0, "STOPPED")],
    "offsets: PATCH golden (primitive values)": [
        create("go", GOLDEN, initial_state="STOPPED"),
        settled("go", 0, "STOPPED"),
    ],
    "offsets: GET offsets of never run": [
        create(
            "gn",
            {"connector.class": "golden.one.TwinConnector", "tasks.max": "1", "topic": "golden"},
            initial_state="STOPPED",
        ),
        settled("gn", 0, "STOPPED"),
    ],
    # failures
    "failures: status f-file": [
        empty_file("plain"),
        create("f-file", sink("f-file", **{"file": "$DATA/plain/below", "tasks.max": "2"})),
        FAILED_FILE,
    ],
    "failures: restart onlyFailed": [failed_times("f-file|task-0", 1), failed_times("f-file|task-1", 1)],
    "failures: restart connector only": [
        failed_times("f-file|task-0", 2),
        failed_times("f-file|task-1", 2),
        FAILED_FILE,
    ],
    "failures: restart task": [FAILED_FILE],
    "failures: status after": [failed_times("f-file|task-0", 3), FAILED_FILE],
    "failures: stop failed": [settled("f-file", 2, "PAUSED", "FAILED")],
    "failures: status f-conv": [
        create("f-conv", sink("f-conv", **EARLIEST, topics="plain-text")),
        produced("plain-text", "k|not json", keys=True),
        settled("f-conv", 1, "RUNNING", "FAILED"),
    ],
    "failures: status f-schema": [
        create("f-schema", sink("f-schema", **EARLIEST, topics="no-envelope")),
        produced("no-envelope", '1|{"a":1}', keys=True),
        settled("f-schema", 1, "RUNNING", "FAILED"),
    ],
    **{
        f"failures: {step} f-{stage}": [
            settled(f"f-{stage}", *((0, "FAILED") if stage == "connector" else (1, "RUNNING", "FAILED")))
        ]
        for stage in ("start", "poll", "connector")
        for step in ("status", "restart", "restart onlyFailed with tasks", "offsets")
    },
    "failures: status of source with missing file": [settled("f-src")],
    "failures: status f-smt": [settled("f-smt", 1, "RUNNING", "FAILED")],
    # standalone
    "standalone: root": [settled("from-properties"), settled("from-map"), position("from-properties", 35)],
    "standalone: create again": [settled("new")],
    "standalone: PATCH config": [settled("new")],
    "standalone: pause": [settled("new")],
    "standalone: pause nope": [settled("new", 1, "PAUSED")],
    "standalone: restart": [settled("new", 1, "PAUSED")],
    "standalone: restart with tasks": [settled("new", 1, "PAUSED")],
    "standalone: restart task": [settled("new", 1, "PAUSED")],
    "standalone: restart no task": [settled("new", 1, "PAUSED")],
    "standalone: alter offsets": [settled("new", 0, "STOPPED")],
}


def before(scenario: str, step: str) -> Sequence[Deed]:
    if scenario == "content-types":
        return [delete_all]
    return BEFORE.get(step, ())


# ---- who serves which scenarios


@dataclass(frozen=True)
class Setting:
    """One worker and what it is asked, in this order.

    files: written into the worker's folder before it starts; `$DATA` stands for its data, `$FOLDER` for the folder.
    """

    scenarios: tuple[str, ...]
    properties: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


PASSWORDS = """KafkaConnect {
 org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required file="$FOLDER/users.properties";
};
"""
FROM_JSON = {
    "name": "from-json",
    "config": {"connector.class": "FileStreamSink", "topics": "sa", "file": "$DATA/sa.out", **EARLIEST},
    "initial_state": "PAUSED",
}
FROM_MAP = {"name": "from-map", "connector.class": "FileStreamSource", "file": "$DATA/in.txt", "topic": "sa2"}

SETTINGS = (
    Setting(("lifecycle",)),
    Setting(("offsets", "failures")),
    Setting(("root", "content-types", "create-bad", "names", "names-undeletable")),
    Setting(("plugins", "loggers")),
    Setting(
        ("standalone",),
        arguments=("c1.properties", "c2.json", "c3.json"),
        files={
            "c1.properties": "name=from-properties\nconnector.class=FileStreamSource\ntasks.max=1\n"
            "file=$DATA/in.txt\ntopic=sa\n",
            "c2.json": json.dumps(FROM_JSON),
            "c3.json": json.dumps(FROM_MAP),
        },
    ),
    Setting(
        ("basic-auth",),
        properties={
            "rest.extension.classes": "org.apache.kafka.connect.rest.basic.auth.extension."
            "BasicAuthSecurityRestExtension",
            "access.control.allow.origin": "http://a.example",
            "access.control.allow.methods": "GET,POST",
            "response.http.headers.config": "add X-Frame-Options: DENY",
        },
        files={"jaas.conf": PASSWORDS, "users.properties": "carol=carol-secret\n"},
        environment={"KAFKA_OPTS": "-Djava.security.auth.login.config=$FOLDER/jaas.conf"},
    ),
)
