"""Which recorded answer each listed step had when it was listed: a list looks at ours, this at the recording.

A recording that is made anew, or changed, is looked at again where we differ from it: then
`python -m golden.pinning DIR` in `tests/` writes the list anew.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from golden import configdefs
from golden.records import recording as records
from golden.rest.comparing import leaves
from golden.rest.differing import Listed, read_list
from golden.rest.recording import Exchange, read

HERE = Path(__file__).parent
FILE, DIFFERENCES = HERE / "listed_answers.txt", HERE / "differences.toml"
DIGITS = 16

#: step -> the pin of its recorded answer
Pins = Mapping[str, str]


def pin(recorded: Mapping[str, Any]) -> str:
    """A digest of all fields that are compared."""
    fields = json.dumps(sorted(recorded.items()), ensure_ascii=False)
    return hashlib.sha256(fields.encode()).hexdigest()[:DIGITS]


def pins(recording: str) -> Pins:
    """What is pinned of one of the recordings."""
    rows = (line.split("  ", 1) for line in FILE.read_text().splitlines())
    start = f"{recording}: "
    return {step.removeprefix(start): digest for digest, step in rows if step.startswith(start)}


def of_rest(exchanges: Iterable[Exchange], listed: Listed) -> Pins:
    return {each.name: pin(leaves(each.answer)) for each in exchanges if is_listed(each, listed)}


def of_configdefs(recorded: configdefs.Steps, listed: Listed) -> Pins:
    return {step: pin(fields) for step, fields in recorded.items() if configdefs.is_listed(step, fields, listed)}


def of_records(cases: Iterable[records.Case], listed: Listed) -> Pins:
    return {case.name: pin(case.answer) for case in cases if is_listed_case(case, listed)}


def moved(now: Pins, pinned: Pins) -> list[str]:
    """Listed steps whose recorded answer is another one, and pins of steps that are not listed."""
    other = [step for step, digest in now.items() if pinned.get(step) != digest]
    return [f"{step}: was listed for another recorded answer" for step in other] + [
        f"{step}: is not listed, and pinned" for step in pinned.keys() - now.keys()
    ]


def is_listed(exchange: Exchange, listed: Listed) -> bool:
    """Whether its answer is not replayed, or not as recorded."""
    return not listed.replays(exchange.name) or not listed.alike(exchange)


def is_listed_case(case: records.Case, listed: Listed) -> bool:
    return not listed.replays(case.step) or bool(listed.expected(case.step, case.recorded))


def main(goldens: Path) -> None:
    every = {
        "configdefs": of_configdefs(configdefs.read(goldens), read_list(DIFFERENCES, "configdefs")),
        "records": of_records(records.read(goldens), read_list(DIFFERENCES, "records")),
        "rest": of_rest(read(goldens), read_list(DIFFERENCES)),
    }
    rows = [f"{digest}  {name}: {step}\n" for name, found in every.items() for step, digest in sorted(found.items())]
    FILE.write_text("".join(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
