"""What tox prints last: how many tests ran, how many were skipped, and what to install for those."""

from pathlib import Path
from xml.etree import ElementTree

#: how the conformance kit's skips begin (millstream_conformance/suite.py): what a plugin does not claim
NOT_APPLICABLE = "does not apply: "


def closing_lines(results: Path) -> None:
    """Print them; what a plugin does not claim is no skip: nothing can be installed for it."""
    passed = failed = not_applicable = 0
    skipped: list[str] = []
    for file in sorted(results.glob("*.xml")):
        for case in ElementTree.parse(file).iter("testcase"):
            skip = case.find("skipped")
            if skip is not None and skip.get("type") != "pytest.xfail":
                reason = skip.get("message") or "no reason given"
                if reason.startswith(NOT_APPLICABLE):
                    not_applicable += 1
                else:
                    skipped.append(reason)
            elif case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            else:
                passed += 1
    if not_applicable:
        print(f"\n{not_applicable} checks of the conformance kit do not apply: plugins do not claim what they ask for")
    if passed or failed or skipped:
        print(f"\n{passed} passed, {failed} failed, {len(skipped)} skipped")
        reasons = "; ".join(f"{skipped.count(reason)}: {reason}" for reason in sorted(set(skipped)))
        print(
            f"{len(skipped)} tests were skipped{f': {reasons}' if skipped else ', nothing needs installing for them'}"
        )
