"""What the embedded log takes and gives: rows of 100 bytes appended in batches, then read to the end.

    python benchmarks/embedded_log.py [--rows N] [--dir FOLDER] [--json FILE]

Prints a table with the machine's load beside it; each figure is the median of three runs, one process.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

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
    parser.add_argument("--json", default=None, help="write the figures there, too")
    arguments = parser.parse_args()
    results = []
    print(f"load {os.getloadavg()[0]:.2f}, {arguments.rows:,} rows of {SIZE} bytes")
    print(f"{'sync':8s} {'batch':>6s} {'append rows/s':>14s} {'read rows/s':>12s} {'disk/raw':>9s}")
    for sync in ("barrier", "full"):
        for batch in BATCHES:
            rows = arguments.rows if batch > 1 else 3000
            runs = []
            for _ in range(3):
                with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
                    runs.append(measure(folder, rows, batch, sync))
            append, read, disk = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"{sync:8s} {batch:6d} {append:14,.0f} {read:12,.0f} {disk:9.2f}")
            results.append({"sync": sync, "batch": batch, "append": append, "read": read, "disk_per_raw": disk})
    if arguments.json:
        document = {"rows": arguments.rows, "size": SIZE, "load": os.getloadavg()[0], "results": results}
        Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
