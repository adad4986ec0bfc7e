"""A worker whose memory is enough for some of its tasks: these run, the others are FAILED with the sum."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from running import WorkerProcess, until

from services.kafka import Kafka
from services.standalone import SINK, named, worker_on

WAIT_S = 60.0


@pytest.fixture
def small(kafka: Kafka, tmp_path: Path) -> Iterator[WorkerProcess]:
    """120 MB of it are the worker's, and a sink takes 8 and 4 for its queue."""
    worker = worker_on(kafka.java_client(), tmp_path / "worker", worker_memory_limit=str(160 << 20))
    yield worker.start()
    worker.stop()


def sink(worker: WorkerProcess, name: str, topic: str, tasks: int) -> None:
    worker.create(name, **{"connector.class": SINK, "file": "copy.txt", "topics": topic, "tasks.max": str(tasks)})


def settled(worker: WorkerProcess, name: str, tasks: int) -> list[str]:
    """The states of its tasks once each runs or has failed."""

    def there() -> list[str]:
        states = worker.states(name)[1:]
        return states if len(states) == tasks and set(states) <= {"RUNNING", "FAILED"} else []

    return until(there, f"{tasks} tasks of {name}", WAIT_S)


def test_three_of_five_tasks_run_and_the_others_say_why_not_until_there_is_room(
    kafka: Kafka, small: WorkerProcess
) -> None:
    topic, first, second = named("small"), named("first"), named("second")
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, 5, 1)])[topic].result(WAIT_S)

    sink(small, first, topic, 2)
    assert settled(small, first, 2) == ["RUNNING", "RUNNING"]
    sink(small, second, topic, 3)
    states = settled(small, second, 3)
    assert sorted(states) == ["FAILED", "FAILED", "RUNNING"]
    refusal = small.trace(second, states.index("FAILED")).splitlines()[0]
    assert "no memory for one more task: 120 MB for the worker, 36 MB for those that run (3)" in refusal
    assert "are 168 MB; worker.memory.limit is 160 MB of" in refusal
    assert "lower tasks.max" in refusal

    answer = small.call("DELETE", f"/connectors/{first}")
    assert answer.status == 204, answer.text
    answer = small.call("POST", f"/connectors/{second}/restart?includeTasks=true&onlyFailed=true")
    assert answer.status == 202, json.dumps(answer.json)
    until(lambda: small.states(second) == ["RUNNING"] * 4, "the refused tasks to run", WAIT_S)
