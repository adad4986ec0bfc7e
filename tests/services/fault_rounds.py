"""What goes wrong around a worker on Kafka, over and over: is a record lost, is anything silent, does it all come back?

    python tests/services/fault_rounds.py [--rounds 100] [--seed 1] [--first 1] [--faults NAME ...] [--lines 150000]

Each round is a fresh standalone worker with a file source, a topic of its own and a sink, on one broker that all rounds
share (a full disk is another broker's). At 10 to 90 % of the data something goes wrong (see `faults.py`; after every
fourth fault comes a pair of two), by chance that --seed decides; then it is undone, and everything is counted. Prints
a table and adds the rounds, with the commit and the time of each, to benchmarks/results/fault_rounds.json: one that had
a problem stays there when its seed is done again. `--first 41` goes on where 40 rounds ended. Ends with 1 when a round
has a problem.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from services.faulting import Round, cleaned, rounds, run_round  # noqa: E402 - beside the tests' own worker
from services.faults import BY_NAME  # noqa: E402
from services.form import chosen  # noqa: E402
from services.kafka import Kafka  # noqa: E402
from services.session import _swept  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "fault_rounds.json"
CLEAN_AFTER = 10
COUNTED = ("lost_topic", "lost_file", "repeats_topic", "repeats_file", "behind_successor", "gone", "misses")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--first", type=int, default=1)
    options.add_argument("--faults", nargs="+", choices=BY_NAME, default=[])
    options.add_argument("--lines", type=int, default=150_000)
    options.add_argument("--results", type=Path, default=RESULTS)
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # what was started ends with it
    _swept()
    wanted = rounds(given.rounds, given.seed, given.faults, given.first)
    print(heading(), flush=True)
    kafka = Kafka.start(chosen())
    try:
        for count, one in enumerate(wanted, 1):
            attempt(one, kafka, given.lines)
            print(line(one), flush=True)
            kept(given.results, [one])
            if not kafka.instance.alive():
                kafka.instance.start()
                kafka.ready()
            if count % CLEAN_AFTER == 0:
                cleaned(kafka)
    finally:
        kafka.stop()
    bad = [one.number for one in wanted if one.problems]
    lost = sum(one.lost_topic + one.lost_file for one in wanted)
    print(f"{len(wanted)} rounds, {lost} lines lost, problems: {bad}")
    return 1 if bad else 0


def attempt(one: Round, shared: Kafka, lines: int) -> None:
    """Do a round; what it cannot do is its problem, and its folder is kept."""
    folder = Path(tempfile.mkdtemp(prefix="fault-"))
    disk = next((BY_NAME[name].disk_mb for name in one.faults if BY_NAME[name].disk_mb), None)
    own = Kafka.start(chosen(), disk_mb=disk) if disk else None
    try:
        run_round(folder, one, own or shared, lines)
    except BaseException as error:  # pytest's failures are no Exceptions
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        traceback.print_exc()
        one.problems.append(f"{type(error).__name__}: {error}")
    finally:
        if own is not None:
            own.stop()
    if one.problems:
        print(f"kept for a look: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)


def kept(results: Path, done: Sequence[Round]) -> None:
    """Add rounds to the report; the sums are of all rounds in it."""
    before = json.loads(results.read_text())["rows"] if results.exists() else []
    of = {"commit": commit(), "when": time.strftime("%Y-%m-%d %H:%M")}
    rows = [*before, *({**of, **asdict(one)} for one in done)]
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({**summary(rows), "rows": rows}, indent=1) + "\n")


def commit() -> str:
    """Of this clone, `-dirty` when something is changed beside it; "" where there is none."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(" + ".join(row["faults"]) if len(row["faults"]) == 1 else "pairs", []).append(row)
    return {
        "rounds": len(rows),
        "lines": sum(row["lines"] for row in rows),
        **{name: sum(row[name] for row in rows) for name in COUNTED},
        "rounds_with_a_problem": [row["seed"] for row in rows if row["problems"]],
        "commits": sorted({row["commit"] for row in rows}),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "kinds": {name: _of_kind(kinds[name]) for name in sorted(kinds)},
    }


def _of_kind(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    recovered = [row["recovered_s"] for row in rows]
    allows = {BY_NAME[name].allows for row in rows for name in row["faults"]}
    settings = {name: text for row in rows for fault in row["faults"] for name, text in BY_NAME[fault].settings.items()}
    return {
        "rounds": len(rows),
        "lines": sum(row["lines"] for row in rows),
        **{name: sum(row[name] for row in rows) for name in COUNTED},
        "recovered_s": {"median": round(statistics.median(recovered), 2), "max": max(recovered)},
        "log_lines_max": max(row["log_lines"] for row in rows),
        "by_a_human": sorted({step for row in rows for step in row["human"]}),
        "said": sorted({said for row in rows for said in row["said"]})[:4],
        "at_least_once_allows": sorted(allows),
        "shortened": {name.replace("_", "."): text for name, text in sorted(settings.items())},
    }


def heading() -> str:
    heads = ("source", "sink", "lasted s", "back s", "again T", "again F", "lost", "gone", "log", "s")
    return f"{'round':>5} {'seed':>8}  {'fault':<34}{'flow':<11}" + "".join(f"{head:>9}" for head in heads)


def line(one: Round) -> str:
    """One round as a line of the table, and a line for each problem. again: repeats in the topic, in the file."""
    flow = f"{one.speed} {one.partitions}/{one.tasks}"
    times = (f"{one.source:.0%}", f"{one.sink:.0%}", f"{one.lasted_s:.1f}", f"{one.recovered_s:.1f}")
    counts = (one.repeats_topic, one.repeats_file, one.lost_topic + one.lost_file, one.gone, one.log_lines)
    cells = (*times, *counts, f"{one.seconds:.0f}")
    first = f"{one.number:>5} {one.seed:>8}  {one.kind:<34}{flow:<11}" + "".join(f"{cell!s:>9}" for cell in cells)
    return "\n".join([first, *(f"      PROBLEM: {problem}" for problem in one.problems)])


if __name__ == "__main__":
    sys.exit(main())
