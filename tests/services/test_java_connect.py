"""The Java worker reads a file into a topic and a topic into a file, alone and in a cluster, over TLS and SASL too."""

import uuid

from running import until

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


def test_what_the_java_worker_costs_is_told(java_connect: JavaWorker) -> None:
    before = java_connect.usage()
    assert 50 << 20 < before.pss <= before.rss < 2 << 30
    assert java_connect.call("GET", "/connectors").status == 200
    assert java_connect.usage().cpu_s >= before.cpu_s > 0
