"""What a producer costs while its rows wait for a broker that is slow, or does not answer, and how many get through.

librdkafka's thread for a broker does not sleep while rows wait behind an idempotent request that is out; our producer
hands over what can leave at once, and the rest when that is acknowledged (`broker/kafka/writing/rounds.py`). A source
task a row of the table: `--rows` rows of 100 bytes each 10 ms, and as many as go. `cpu` is of librdkafka's threads for
brokers and of all the process, in percent of a core. Needs Java and Maven, see CONTRIBUTING.md.

    python benchmarks/waiting_producer.py [--seconds 4] [--rows 200]
"""

import argparse
import os
import sys
import time
import uuid
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
from millstream.errors import BrokerError  # noqa: E402

FROZEN = -1
#: ms from a request to its answer, beside the broker's own, partitions, settings, pause between two sends
CASES: tuple[tuple[int, int, dict[str, str], float], ...] = (
    (FROZEN, 1, {}, 0.01),
    *((delay, 1, {}, 0.01) for delay in (0, 5, 50, 500)),
    *((delay, partitions, {}, 0.0) for delay in (0, 5, 50, 500) for partitions in (1, 4)),
    (50, 4, {"batch.size": "16384"}, 0.0),
    (50, 1, {"enable.idempotence": "false"}, 0.0),
)
CONVERTING_S = 0.0015  # what a converter and a transform take for as many rows
PATIENCE_S = 60.0


def measure(kafka: Kafka, case: tuple[int, int, dict[str, str], float], seconds: float, count: int) -> dict[str, Any]:
    delay, partitions, settings, pause = case
    topic = f"waiting-{uuid.uuid4().hex[:8]}"
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
    broker = KafkaBroker(kafka.address("PROXIED"), {})
    producer = broker.producer(ProducerSettings("waiting", overrides=settings))
    told: list[Delivered] = []
    keys = None if partitions == 1 else [b"%d" % number for number in range(count)]
    batch = Outgoing(topic, [b"x" * 100] * count, keys)
    producer.send(batch, told.append)
    served(lambda: bool(told), producer.poll)
    (kafka.proxy.freeze() if delay == FROZEN else kafka.proxy.delay(delay / 2000))
    sent = 1
    try:
        cpu, threads, began = cpu_seconds(), brokers_threads(), time.monotonic()
        while time.monotonic() - began < seconds:
            busy_until(time.thread_time() + CONVERTING_S)
            try:
                producer.send(batch, told.append)
                sent += 1
            except BrokerError as error:  # the buffer is full, and no answer comes
                if not error.retriable:
                    raise
            producer.poll()
            time.sleep(pause)
        took = time.monotonic() - began
        cpu, threads, through = cpu_seconds() - cpu, brokers_threads() - threads, len(told) - 1
    finally:
        kafka.proxy.heal()
    served(lambda: len(told) == sent, producer.poll)
    producer.close(5.0)
    broker.close()
    return {
        "broker": "frozen" if delay == FROZEN else f"{delay} ms",
        "partitions": partitions,
        "settings": settings,
        "as many as go": not pause,
        "cpu broker threads": round(threads / took * 100, 1),
        "cpu": round(cpu / took * 100, 1),
        "rows/s": round(through * count / took),
        "load": round(os.getloadavg()[0], 2),
    }


def busy_until(moment: float) -> None:
    while time.thread_time() < moment:
        continue


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def brokers_threads() -> float:
    """Processor seconds of librdkafka's threads for brokers."""
    ticks = 0
    for stat in Path("/proc/self/task").glob("*/stat"):
        name, _, fields = stat.read_text().partition("(")[2].rpartition(")")
        ticks += sum(map(int, fields.split()[11:13])) if name.startswith("rdk:broker") else 0
    return ticks / os.sysconf("SC_CLK_TCK")


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
    options.add_argument("--rows", type=int, default=200, help="in each batch that is sent")
    chosen = options.parse_args()
    around = machine()
    print(said(around))
    kafka = Kafka.start(AsProcess(), {"authorizer.class.name": ""})
    rows = []
    try:
        for case in CASES:
            rows.append(measure(kafka, case, chosen.seconds, chosen.rows))
            print(rows[-1], flush=True)
    finally:
        kafka.stop()
    keep("waiting_producer", around, seconds=chosen.seconds, rows_of_a_batch=chosen.rows, rows=rows)


if __name__ == "__main__":
    main()
