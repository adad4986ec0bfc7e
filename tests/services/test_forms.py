"""A service does the same as a process and in a container."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from running import until as eventually

from services import engine, folders
from services.errors import EndedError
from services.fixtures import Own, available
from services.form import FORMS, Form
from services.instance import Program, until
from services.ports import accepts

WAIT_S = 60.0


@pytest.fixture(params=list(FORMS))
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def test_a_broker_is_paused_killed_brought_back_with_its_records_and_ends_when_its_disk_is_full(
    own: Own, form: Form
) -> None:
    broker = own.kafka({"log.segment.bytes": str(4 << 20)}, form, disk_mb=24)
    producer = Producer(broker.client())
    producer.produce("kept", b"a record")
    assert producer.flush(WAIT_S) == 0

    admin = AdminClient({**broker.client()})
    assert admin.list_topics(timeout=WAIT_S).brokers
    broker.instance.pause()
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.5)
    broker.instance.resume()
    assert admin.list_topics(timeout=WAIT_S).brokers

    broker.instance.kill()
    assert not broker.instance.alive()
    assert not accepts(broker.ports["PLAINTEXT"])
    broker.restart()
    consumer = Consumer(broker.client() | {"group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["kept"])
    found = eventually(lambda: [one for one in consumer.consume(1, 1.0) if one.error() is None], "the record", WAIT_S)
    consumer.close()
    assert found[0].value() == b"a record"

    filling = Producer(broker.client() | {"message.timeout.ms": 5000})

    def ended() -> bool:
        for _ in range(8):
            filling.produce("full", os.urandom(500_000))
        filling.flush(5)
        return not broker.instance.alive()

    eventually(ended, "the broker to end", 120)
    assert "No space left on device" in broker.instance.program.log.read_text(errors="replace")
    filling.purge()


ORPHAN = """
import os, signal, sys
from services import folders
from services.form import FORMS
from services.instance import Program

form = FORMS[sys.argv[1]]
folder = folders.made("orphan")
instance = form.instance(Program("orphan", ["sleep", "600"], folder), form.kafka())
instance.start()
print(folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_behind_is_swept(form: Form) -> None:
    available(form.kafka)
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    left = subprocess.run([sys.executable, "-c", ORPHAN, form.name], env=variables, capture_output=True, text=True)
    folder = Path(left.stdout.strip())
    assert folder.is_dir(), left.stderr
    eventually(lambda: len(sleepers(folder)) == 1, "the orphan to sleep", WAIT_S)  # in a container behind its shell
    assert folder.name in folders.sweep() or form.name == "container"
    engine.sweep()
    assert not sleepers(folder)
    assert not folder.exists()


def sleepers(folder: Path) -> list[int]:
    """The processes of the orphan in that folder, wherever they run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "sleep" and process.cwd() == str(folder):
                found.append(process.pid)
    return found


def test_a_program_that_ends_is_told_with_its_log(form: Form) -> None:
    installation = available(form.kafka)
    folder = folders.made("failing")
    instance = form.instance(Program("failing", ["sh", "-c", "echo why; exit 3"], folder), installation)
    try:
        instance.start()
        with pytest.raises(EndedError, match=r"failing ended before it was ready:\nwhy"):
            until(lambda: False, instance, "it was ready")
    finally:
        instance.remove()
        folders.removed(folder)
