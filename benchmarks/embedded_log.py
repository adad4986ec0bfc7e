"""What the embedded log takes and gives: rows of 100 bytes appended in batches, then read to the end.

    python benchmarks/embedded_log.py [--rows N] [--dir FOLDER]

Prints a table with the machine's load beside it; each figure is the median of three runs, one process.
Results in benchmarks/results/embedded_log.json.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from machine import keep, machine, said

from millstream.broker.connect import open_broker
from millstream.broker.ports import ConsumerSettings, Delivered, Outgoing, ProducerSettings
from millstream_api.records import TopicPartition

SIZE = 100
BATCHES = (1, 100, 500, 1000)


def told(delivered: Delivered) -> None:
    if delivered.failures:
        raise SystemExit(f"rows were refused: {delivered.failures!r}")


def measure(folder: str, rows: int, batch: int, sync: str) -> tuple[float, float, float]:
    """Rows a second appended, rows a second read, bytes on disk for one of values."""
    broker = open_broker(f"sqlite:{folder}/log.db", {"log.sync": sync})
    producer = broker.producer(ProducerSettings("bench"))
    values = [os.urandom(SIZE // 2).hex().encode() for _ in range(batch)]
    start = time.perf_counter()
    for _ in range(rows // batch):
        producer.begin()
        producer.send(Outgoing("rows", values), told)
        producer.commit()
    producer.durable()
    append = rows / (time.perf_counter() - start)
    consumer = broker.consumer(ConsumerSettings("bench"))
    consumer.assign({TopicPartition("rows", 0): "beginning"})
    left = rows // batch * batch
    start = time.perf_counter()
    while left:
        left -= sum(len(incoming.values) for incoming in consumer.poll(2000, 1.0))
    read = rows / (time.perf_counter() - start)
    size = sum(entry.stat().st_size for entry in Path(folder).iterdir())
    for closing in (consumer.close, lambda: producer.close(1.0), broker.close):
        closing()
    return append, read, size / (rows * SIZE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dir", default=None, help="folder for the logs; default: the system's temporary one")
    arguments = parser.parse_args()
    results = []
    around = machine()
    print(f"{arguments.rows:,} rows of {SIZE} bytes; {said(around)}")
    print(f"{'sync':8s} {'batch':>6s} {'append rows/s':>14s} {'read rows/s':>12s} {'disk/raw':>9s} {'load':>6s}")
    for sync in ("normal", "full"):
        for batch in BATCHES:
            rows = arguments.rows if batch > 1 else 3000
            runs = []
            for _ in range(3):
                with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
                    runs.append(measure(folder, rows, batch, sync))
            append, read, disk = (statistics.median(column) for column in zip(*runs, strict=True))
            load = os.getloadavg()[0]
            print(f"{sync:8s} {batch:6d} {append:14,.0f} {read:12,.0f} {disk:9.2f} {load:6.2f}")
            results.append(
                {"sync": sync, "batch": batch, "append": append, "read": read, "disk_per_raw": disk, "load": load}
            )
    keep("embedded_log", around, rows=arguments.rows, size=SIZE, results=results)


if __name__ == "__main__":
    main()
