"""kill -9 of the worker, a template or a task in the middle of its data, over and over: is anything lost?

    python tests/end_to_end/crash_rounds.py [--rounds 56] [--seed 1] [--lines 120000] [--only VICTIM]

Each round is a fresh worker with a file source, a topic of the embedded log and a file sink. Its victim dies once, at 5
to 95 % of the data (else the try does not count and is done again): by `kill -9` from outside, or by itself at a fail
point inside `put` or a commit. Then what died is started again, and everything is counted: each line has to be in the
log once, and in the sink's file, in order, at least once. Prints a table, keeps it in
benchmarks/results/crash_rounds.json, and ends with 1 when a round has a problem.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from crashing import VICTIMS, Round, heading, line, rounds, run_round, text  # noqa: E402 - beside the tests' own worker

RESULTS = ROOT / "benchmarks" / "results" / "crash_rounds.json"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=4 * len(VICTIMS))
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--lines", type=int, default=200_000)
    options.add_argument("--only", choices=VICTIMS)
    options.add_argument("--results", type=Path, default=RESULTS)
    given = options.parse_args()
    wanted = rounds(given.rounds, given.seed)
    for one in wanted:
        one.victim = given.only or one.victim
    data = text(given.lines)
    print(heading())
    for one in wanted:
        attempt(one, data)
        print(line(one), flush=True)
    bad = [one.number for one in wanted if one.problems]
    summary = {
        "rounds": len(wanted),
        "seed": given.seed,
        "lines": given.lines,
        "lost": sum(one.lost for one in wanted),
        "duplicates": sum(one.duplicates for one in wanted),
        "longest_survivors_s": max((one.survivors_s or 0.0 for one in wanted), default=0.0),
        "rounds_with_a_problem": bad,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    print(f"{len(wanted)} rounds, {summary['lost']} lines lost, {summary['duplicates']} written twice, problems: {bad}")
    given.results.parent.mkdir(exist_ok=True)
    given.results.write_text(json.dumps({**summary, "rows": [asdict(one) for one in wanted]}, indent=1) + "\n")
    return 1 if bad else 0


def attempt(one: Round, data: bytes) -> None:
    """Do a round; what it cannot do is its problem, and its folder is kept."""
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    try:
        run_round(folder, one, data)
    except BaseException as error:  # pytest's failures are no Exceptions
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()
        one.problems.append(f"{type(error).__name__}: {error}")
    if one.problems:
        print(f"kept for a look: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
