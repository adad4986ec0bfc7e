"""File → Kafka → file by the Java Connect worker and by ours, side by side in one run, each with default settings.

    python benchmarks/kafka.py [--bytes 100 1000] [--records N [N]] [--converters json string] [--workers java ours]
                               [--rounds 3] [--tasks 1 2 4] [--starts 5] [--profile]

Starts a broker, and each worker anew for each case; the broker is the same for all, and warm before the first. Which
worker is first changes from case to case. What is copied is compared with the original.

First table: one task, a converter and a length of line a case. The worker copies the file into a topic and that into a
file twice, and the second time counts, when JIT, caches and connections are warm. `records/s` is from the first record
to the last; `CPU us` is processor time of a record, of all the worker's processes and threads from the request for the
connector on, its start included; memory is at the end of the way, PSS shares what processes share.

All cases are gone through `--rounds` times, each time by workers started anew, since a host is slower for minutes at a
time; medians are shown, and of the ratios, each of one round, the least and the most.

Second: ours against Java's, and what is asked of it.   Third: several tasks; as many file sources, and one sink with so
many tasks over as many partitions, all started before there is work; rates are sums.   Fourth: what an operator waits
for, the two workers in turns, medians.   With `--profile`, fifth: where a record's microseconds go in ours (see
kafka_profile.py).

Loads stand beside the figures; all is kept in benchmarks/results/kafka.json. Needs Java and Maven, see CONTRIBUTING.md,
and `pip install -r requirements/services.txt` beside Millstream with its file and JSON plugins. 2,000,000 lines of
1,000 bytes need 8 GB of disk: fewer do, `--records 2000000 500000`, and the table says so.
"""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import tables
from broker import Bench
from copies import Case, Rate, Start, copying, started
from kafka_profile import RECORDS, Profile, profiled, show
from machine import cache_bytecode, keep, machine, said
from workers import CONVERTERS, VARIANT, WORKERS


def copies(bench: Bench, cases: list[Case], workers: list[str], into: tuple[int, list[Rate]]) -> None:
    rounds, rates = into
    for turn in range(rounds):
        for number, case in enumerate(cases, turn):
            for name in turned(workers, number):
                print(f"{name}: {case.records:,} records of {case.line_bytes} bytes, {case.converter}", flush=True)
                with copying(bench, name, case.converter) as worker:
                    rates += worker.copied(case)


def growth(bench: Bench, cases: list[Case], workers: list[str], into: tuple[list[int], list[Rate]]) -> None:
    counts, rates = into
    for number, case in enumerate(cases):
        for name in turned(workers, number):
            print(f"{name}: {counts} tasks, {case.converter}", flush=True)
            with copying(bench, name, case.converter) as worker:
                rates += worker.grown(case, counts)


def starts(bench: Bench, workers: list[str], rounds: int, found: list[Start]) -> None:
    for name in workers if rounds else ():  # bytecode is kept then, and the broker has its own topics
        started(bench, name)
    for number in range(rounds):
        for name in turned(workers, number):
            print(f"{name}: start {number + 1} of {rounds}", flush=True)
            found.append(started(bench, name))


def turned(workers: list[str], number: int) -> list[str]:
    return workers[:: -1 if number % 2 else 1]


def asked_for() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bytes", type=int, nargs="*", default=[100, 1000], help="lengths of lines")
    options.add_argument("--records", type=int, nargs="+", default=[2_000_000], help="for each length; one: for all")
    options.add_argument("--converters", nargs="+", choices=CONVERTERS, default=list(CONVERTERS))
    options.add_argument("--workers", nargs="+", choices=WORKERS, default=list(WORKERS))
    options.add_argument("--rounds", type=int, default=3, help="of the copies by one task")
    options.add_argument("--tasks", type=int, nargs="*", default=[1, 2, 4], help="counts of tasks, lines of 100 bytes")
    options.add_argument("--starts", type=int, default=5, help="of each worker")
    options.add_argument("--profile", action="store_true", help="also where a record's time goes in ours")
    asked = options.parse_args()
    if len(asked.records) == 1:
        asked.records *= max(len(asked.bytes), 1)
    if len(asked.records) < len(asked.bytes):
        options.error("--records has one number for all --bytes, or one for each")
    return asked


def main() -> None:
    asked, around = asked_for(), machine()
    lengths = list(zip(asked.bytes, asked.records, strict=False))
    cases = [Case(converter, size, records) for size, records in lengths for converter in asked.converters]
    several = [Case(converter, 100, asked.records[0]) for converter in asked.converters]
    rates: list[Rate] = []
    grown: list[Rate] = []
    waited: list[Start] = []
    profile: list[Profile] = []
    cache_bytecode()
    try:
        with tempfile.TemporaryDirectory() as folder, Bench.started(Path(folder)) as bench:
            copies(bench, cases, asked.workers, (asked.rounds, rates))
            if asked.profile:
                profile += profiled(bench, asked.converters, RECORDS)
            growth(bench, several if asked.tasks else [], asked.workers, (asked.tasks, grown))
            starts(bench, asked.workers, asked.starts, waited)
    finally:  # what was measured before something went wrong is worth its time
        print(f"\n{said(around)}\nours: {VARIANT}")
        tables.figures(rates)
        tables.ratios(rates)
        show(profile)
        tables.growth(grown)
        tables.starts(waited)
    kept = {"rates": rates, "profile": profile, "growth": grown, "starts": waited}
    results = {name: [asdict(one) for one in some] for name, some in kept.items()}
    keep("kafka", around, variant=VARIANT, command=sys.argv[1:], **results)


if __name__ == "__main__":
    main()
