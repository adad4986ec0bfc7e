"""Which recorded answer each listed step had when it was listed: a list looks at ours, this at the recording.

A recording that is made anew, or changed, is looked at again where we differ from it: then
`python -m golden.rest.pinning DIR` in `tests/` writes the list anew.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from golden.rest.comparing import Leaves, leaves
from golden.rest.differing import Listed, read_list
from golden.rest.recording import Exchange, read

HERE = Path(__file__).parents[1]
FILE = HERE / "listed_answers.txt"
DIGITS = 16


def pin(recorded: Leaves) -> str:
    """A digest of all fields that are compared."""
    fields = json.dumps(sorted(recorded.items()), ensure_ascii=False)
    return hashlib.sha256(fields.encode()).hexdigest()[:DIGITS]


def pins() -> Mapping[str, str]:
    """Step -> the pin of its recorded answer."""
    rows = (line.split("  ", 1) for line in FILE.read_text().splitlines())
    return {step: digest for digest, step in rows}


def moved(exchanges: Iterable[Exchange], listed: Listed, pinned: Mapping[str, str]) -> list[str]:
    """Listed steps whose recorded answer is another one, and pins of steps that are not listed."""
    now = {each.name: pin(leaves(each.answer)) for each in exchanges if is_listed(each, listed)}
    other = [step for step, digest in now.items() if pinned.get(step) != digest]
    return [f"{step}: was listed for another recorded answer" for step in other] + [
        f"{step}: is not listed, and pinned" for step in pinned.keys() - now.keys()
    ]


def is_listed(exchange: Exchange, listed: Listed) -> bool:
    """Whether its answer is not replayed, or not as recorded."""
    return not listed.replays(exchange) or not listed.alike(exchange)


def main(goldens: Path) -> None:
    listed = read_list(HERE / "differences.toml")
    rows = sorted((each.name, pin(leaves(each.answer))) for each in read(goldens) if is_listed(each, listed))
    FILE.write_text("".join(f"{digest}  {step}\n" for step, digest in rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
