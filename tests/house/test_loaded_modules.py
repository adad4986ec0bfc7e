"""What a process pays for: on the embedded log nobody loads Kafka's client, and a template on Kafka has it loaded."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import millstream.cli.composition, millstream.cli.main, millstream.cli.records
import millstream.host.connector, millstream.host.probe, millstream.host.task
from millstream.broker.connect import open_broker
from millstream.broker.ports import AdminSettings, ConsumerSettings, ProducerSettings
broker = open_broker("sqlite::memory:loaded")
broker.check()
broker.producer(ProducerSettings("p")); broker.consumer(ConsumerSettings("c")); broker.admin(AdminSettings("a"))
print(json.dumps(sorted(sys.modules)))
"""
PRELOADED = """
import json
from millstream.worker.worker import WorkerSetup, _preload
print(json.dumps(list(_preload(WorkerSetup({"bootstrap.servers": SERVERS})).modules)))
"""


def modules(program: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout))


def test_the_embedded_log_does_without_kafkas_client() -> None:
    loaded = modules(PROGRAM)
    assert "millstream.broker.embedded.log" in loaded
    assert not {name for name in loaded if name.startswith(("confluent_kafka", "millstream.broker.kafka"))}


@pytest.mark.parametrize(
    ("servers", "wanted", "unwanted"),
    [
        ("kafka:9092", "millstream.broker.kafka.broker", "millstream.broker.embedded.log"),
        ("sqlite:log.db", "millstream.broker.embedded.log", "millstream.broker.kafka.broker"),
    ],
)
def test_templates_load_the_log_that_their_children_use(servers: str, wanted: str, unwanted: str) -> None:
    loaded = modules(PRELOADED.replace("SERVERS", repr(servers)))
    assert wanted in loaded
    assert unwanted not in loaded
