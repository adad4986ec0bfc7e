"""What a producer costs while its rows wait for a broker that does not answer. `python benchmarks/waiting_producer.py`.

librdkafka's thread for a broker does not sleep while rows wait behind an idempotent request that is out: until it is
answered a whole core goes. A source task a row of the table; needs Java and Maven, see CONTRIBUTING.md.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402 - the tests' own services
from machine import keep, machine, said  # noqa: E402
from services.form import AsProcess  # noqa: E402
from services.kafka import Kafka  # noqa: E402

from millstream.broker.kafka.broker import KafkaBroker  # noqa: E402
from millstream.broker.ports import Delivered, Outgoing, ProducerSettings  # noqa: E402

CASES: tuple[dict[str, str], ...] = (
    {},
    {"linger.ms": "100"},
    {"max.in.flight.requests.per.connection": "1"},
    {"enable.idempotence": "false"},
)
ROWS, BATCHES = 200, 60
PATIENCE_S = 60.0


def measure(kafka: Kafka, settings: dict[str, str], seconds: float) -> dict[str, Any]:
    broker = KafkaBroker(kafka.address("PROXIED"), {})
    producer = broker.producer(ProducerSettings("waiting", overrides=settings))
    told: list[Delivered] = []
    send = Outgoing("waiting", [b"x" * 100] * ROWS)
    producer.send(send, told.append)
    served(lambda: bool(told), producer.poll)
    kafka.proxy.freeze()
    try:
        for _ in range(BATCHES):
            producer.send(send, told.append)
            time.sleep(0.02)
        cpu, began = cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        percent = (cpu_seconds() - cpu) / (time.monotonic() - began) * 100
    finally:
        kafka.proxy.heal()
    served(lambda: len(told) == BATCHES + 1, producer.poll)
    producer.close(5.0)
    broker.close()
    return {"settings": settings, "cpu_percent_of_a_core": round(percent, 1), "load": round(os.getloadavg()[0], 2)}


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def served(over: Any, poll: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not over():
        if time.monotonic() > deadline:
            sys.exit("the rows were not written")
        poll()
        time.sleep(0.01)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=4.0, help="of waiting, a row")
    seconds = options.parse_args().seconds
    around = machine()
    print(said(around))
    kafka = Kafka.start(AsProcess(), {"authorizer.class.name": ""})
    rows = []
    try:
        admin = AdminClient(kafka.client())
        admin.create_topics([NewTopic("waiting", 1, 1)])["waiting"].result(30)
        for settings in CASES:
            rows.append(measure(kafka, settings, seconds))
            print(rows[-1], flush=True)
    finally:
        kafka.stop()
    keep("waiting_producer", around, seconds=seconds, rows=rows)


if __name__ == "__main__":
    main()
