"""After everything, tox's last lines here: how many tests ran, how many were skipped, and what to install for those."""

import atexit
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

from tox.config.cli.parser import ToxParser
from tox.plugin import impl

RESULTS = Path(__file__).parent / ".tox" / "results"


@impl
def tox_add_option(parser: ToxParser) -> None:
    """Called once, early: the results of an earlier run do not count, and the closing lines are printed at exit."""
    if os.environ.get("TOX_ENV_NAME") is None:  # not inside an environment
        shutil.rmtree(RESULTS, ignore_errors=True)
        atexit.register(closing_lines)


def closing_lines() -> None:
    passed = failed = 0
    skipped: list[str] = []
    for file in sorted(RESULTS.glob("*.xml")):
        for case in ElementTree.parse(file).iter("testcase"):
            skip = case.find("skipped")
            if skip is not None and skip.get("type") != "pytest.xfail":
                skipped.append(skip.get("message") or "no reason given")
            elif case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            else:
                passed += 1
    if passed or failed or skipped:
        print(f"\n{passed} passed, {failed} failed, {len(skipped)} skipped")
        reasons = "; ".join(f"{skipped.count(reason)}: {reason}" for reason in sorted(set(skipped)))
        print(
            f"{len(skipped)} tests were skipped{f': {reasons}' if skipped else ', nothing needs installing for them'}"
        )
