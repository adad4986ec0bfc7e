"""How many records a CPU second the pipeline alone moves: poll → chain → JSON bytes with schemas, nothing sent.

`python benchmarks/pipeline.py [records]` prints a table and writes benchmarks/results/pipeline.json. Figures are CPU
time of this process (`time.process_time`), the best of nine runs: other work on the machine can only make one slower.
"""

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from machine import keep, machine, said

from millstream.broker.ports import Incoming
from millstream.lifecycle import SystemClock
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.pipeline.reporting import Reporting
from millstream.pipeline.tolerance import Handling, Tolerance
from millstream_api import RecordBatch, Schema, SourceBatch, SourceRecord, Transformation, Type
from millstream_json.converter import JsonConverter, JsonConverterConfig

STRING = Schema(Type.STRING)
BLOCK = "".join(f"{number:08d} {'abcdefghij' * 9}\n" for number in range(620)).encode()[: 64 * 1024]
LINES = BLOCK.count(b"\n")
PARTITION = {"filename": "lines.txt"}
RUNS = 9
TARGETS = {
    "batch source": 2_500_000,
    "plain plugin, SourceRecords": 1_000_000,
    "batch source, three pass-through record transforms": 1_000_000,
}

Poll = Callable[[], Sequence[Any]]


class PassThrough(Transformation[Any]):
    """A record form, as a third party writes it."""

    def apply(self, record: Any) -> Any:
        return record


class PassColumns(PassThrough):
    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch]


def batches() -> Poll:
    """As a file source does it: a block, its lines, one offset when asked."""
    position = 0

    def poll() -> Sequence[SourceBatch]:
        nonlocal position
        lines = BLOCK.decode().split("\n")
        lines.pop()
        start, position = position, position + len(BLOCK)
        return [SourceBatch("lines", STRING, lines, PARTITION, lambda row: {"position": start + (row + 1) * 100})]

    return poll


def records() -> Poll:
    """As the smallest plugin does it: a list of records, each with its offset."""
    position = 0

    def poll() -> Sequence[SourceRecord]:
        nonlocal position
        lines = BLOCK.decode().split("\n")
        lines.pop()
        start, position = position, position + len(BLOCK)
        return [
            SourceRecord("lines", line, PARTITION, {"position": start + 100 * number}, STRING)
            for number, line in enumerate(lines, 1)
        ]

    return poll


def source(poll: Poll, transformations: Sequence[Transformation[Any]] = ()) -> Callable[[int], int]:
    pipeline = SourcePipeline(Chain([Link(t) for t in transformations]), *surroundings())

    def run(count: int) -> int:
        done = 0
        while done < count:
            for part in pipeline.slices(poll()):
                for routed in part.outgoing:
                    done += len(routed.batch.values)
        return done

    return run


def sink(read: bool, transformations: Sequence[Transformation[Any]] = ()) -> Callable[[int], int]:
    pipeline = SinkPipeline(Chain([Link(t) for t in transformations]), *surroundings())
    values = [
        b'{"schema":{"type":"string","optional":false},"payload":"%b"}' % line for line in BLOCK.split(b"\n")[:-1]
    ]
    values = values[:500]
    stamps = [1_700_000_000_000] * len(values)

    def run(count: int) -> int:
        done = 0
        while done < count:
            poll = pipeline.batch([Incoming("lines", 0, range(done, done + len(values)), values, stamps)])
            if read:
                seen = [record.value for record in poll.batch]
                assert len(seen) == poll.read
            else:
                assert sum(len([value for value in group.values]) for group in poll.batch.groups) == poll.read  # noqa: C416
            done += poll.read
        return done

    return run


def surroundings() -> tuple[Converters, Handling, Reporting]:
    converter = JsonConverter(JsonConverterConfig.parse({"converter.type": "value"}))
    handling = Handling(Tolerance(), SystemClock(), lambda seconds: False)
    return Converters(converter, converter, converter), handling, Reporting()


def cases() -> Iterator[tuple[str, Callable[[int], int]]]:
    yield "batch source", source(batches())
    yield "batch source, three batch transforms", source(batches(), [PassColumns({}) for _ in range(3)])
    yield "plain plugin, SourceRecords", source(records())
    yield "batch source, three pass-through record transforms", source(batches(), [PassThrough({}) for _ in range(3)])
    yield "plain plugin, three pass-through record transforms", source(records(), [PassThrough({}) for _ in range(3)])
    yield "sink, columns", sink(False)
    yield "sink, records", sink(True)
    yield "sink, records, three pass-through record transforms", sink(True, [PassThrough({}) for _ in range(3)])


def rate(run: Callable[[int], int], count: int) -> float:
    run(20_000)
    best = 0.0
    for _ in range(RUNS):
        gc.collect()
        start = time.process_time()
        done = run(count)
        best = max(best, done / (time.process_time() - start))
    return best


def settle_memory() -> None:
    """As the host does in every task: freed memory stays, and what was imported is no garbage."""
    if hasattr(ctypes.CDLL(None), "mallopt"):
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        for option, size in ((trim_threshold, 64 << 20), (top_pad, 16 << 20), (mmap_threshold, 1 << 30)):
            ctypes.CDLL(None).mallopt(option, size)
    gc.collect()
    gc.freeze()


def main() -> None:
    settle_memory()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    around = machine()
    print(f"{LINES} lines of 100 bytes a poll, {count:,} records a run; {said(around)}")
    print(f"{'':52} {'records / CPU s':>16} {'ns':>6} {'asked':>12} {'load':>5}")
    rows = []
    for name, run in cases():
        found, load = rate(run, count), os.getloadavg()[0]
        target = TARGETS.get(name)
        print(
            f"{name:52} {found:16,.0f} {1e9 / found:6.0f} {f'{target:,}' if target else '':>12} {load:5.1f}", flush=True
        )
        rows.append({"case": name, "records_per_cpu_second": round(found), "asked": target, "load": round(load, 2)})
    keep("pipeline", around, lines=LINES, rows=rows)


if __name__ == "__main__":
    main()
