"""The Java worker reads a file into a topic and a topic into a file, alone and in a cluster, over TLS and SASL too."""

import json
import subprocess
import uuid
from pathlib import Path

from running import BIN, until

from services.fixtures import Own
from services.java_connect import JavaWorker, for_each_client
from services.kafka import Kafka

LINES = ["first", "second", "third"]
JVM_S = 120.0


def copies_a_file(worker: JavaWorker) -> None:
    """File, topic, file; the connectors are gone in the end."""
    name = f"lines-{uuid.uuid4().hex[:8]}"
    original, copy = worker.folder / f"{name}.txt", worker.folder / f"{name}.copy.txt"
    original.write_text("".join(f"{line}\n" for line in LINES))
    worker.create(f"{name}-source", **{"connector.class": "FileStreamSource", "file": str(original), "topic": name})
    worker.create(f"{name}-sink", **{"connector.class": "FileStreamSink", "file": str(copy), "topics": name})
    until(lambda: copy.exists() and copy.read_text() == original.read_text(), f"{copy.name} to be whole", JVM_S)
    until(lambda: worker.states(f"{name}-source") == ["RUNNING", "RUNNING"], "its state to be told", JVM_S)
    for end in ("source", "sink"):
        assert worker.call("DELETE", f"/connectors/{name}-{end}").status == 204


def test_a_distributed_java_worker_copies_a_file(java_connect: JavaWorker) -> None:
    copies_a_file(java_connect)


def test_a_standalone_java_worker_copies_a_file_over_tls_as_a_user(kafka: Kafka, own: Own) -> None:
    secured = for_each_client(kafka.java_client("SASL_SSL", "SCRAM-SHA-512"))
    jks = kafka.keys.jks(kafka.keys.trust_store)
    secured |= {"producer.ssl.truststore.type": "JKS", "producer.ssl.truststore.location": str(jks)}
    copies_a_file(own.java_worker({**secured, "offset.flush.interval.ms": "1000"}, "standalone"))


def test_our_command_line_manages_the_connectors_of_a_java_worker(java_connect: JavaWorker, tmp_path: Path) -> None:
    name = f"managed-{uuid.uuid4().hex[:8]}"
    lines, file, place = java_connect.folder / f"{name}.txt", tmp_path / "c.properties", tmp_path / "place.json"
    lines.write_text("first\nsecond\n")
    file.write_text(f"name={name}\nconnector.class=FileStreamSource\nfile={lines}\ntopic={name}\n")
    moved = {"offsets": [{"partition": {"filename": str(lines)}, "offset": {"position": 6}}]}
    place.write_text(json.dumps(moved))

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [BIN / "millstream", "connectors", "--url", java_connect.url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=JVM_S)

    def said(*arguments: str) -> str:
        done = ran(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def comes_to_be(state: str) -> None:
        until(lambda: f"connector  {state} " in ran("status", name).stdout, f"it to be {state}", JVM_S)

    assert said("create", str(file)) == f"created source {name}\n"
    again = ran("create", str(file))
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"millstream: POST /connectors: 409: Connector {name} already exists\n"
    until(lambda: '{"position": 13}' in said("offsets", name), "its offset to be committed", JVM_S)
    until(lambda: "task 0     RUNNING " in said("status", name), "its task to be told", JVM_S)
    [row] = [line for line in said("list").splitlines() if line.startswith(name)]
    assert row.split()[1:5] == ["source", "RUNNING", "1", "RUNNING"]
    assert said("pause", name) == f"pausing {name}\n"
    comes_to_be("PAUSED")
    assert said("resume", name) == f"resuming {name}\n"
    comes_to_be("RUNNING")
    assert json.loads(said("restart", name, "--tasks", "--json"))["connector"]["state"] == "RESTARTING"
    comes_to_be("RUNNING")
    assert said("stop", name) == f"stopping {name}\n"
    comes_to_be("STOPPED")
    until(lambda: "reset successfully" in ran("offsets", name, "--reset").stdout, "its tasks to be gone", JVM_S)
    assert "altered successfully" in said("offsets", name, "--alter", str(place))
    assert json.loads(said("offsets", name, "--json")) == moved
    assert said("delete", name) == f"deleted {name}\n"
    until(lambda: ran("status", name).returncode == 1, "it to be gone", JVM_S)
    assert ran("status", name).stderr.endswith(f": 404: No status found for connector {name}\n")


def test_what_the_java_worker_costs_is_told(java_connect: JavaWorker) -> None:
    before = java_connect.usage()
    assert 50 << 20 < before.pss <= before.rss < 2 << 30
    assert java_connect.call("GET", "/connectors").status == 200
    assert java_connect.usage().cpu_s >= before.cpu_s > 0
