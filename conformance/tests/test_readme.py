"""The README says of capabilities, suites and options what there is."""

import re
from pathlib import Path

import millstream_conformance
from millstream_conformance import Capability

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_every_capability_is_in_the_table_with_its_meaning() -> None:
    told = dict(re.findall(r"^\| `Capability\.(\w+)` \| (.*) \|$", README, re.MULTILINE))
    assert told == {each.name: each.value for each in Capability}


def test_every_suite_is_in_the_table() -> None:
    suites = {name for name in millstream_conformance.__all__ if name.endswith("Conformance") and name != "Conformance"}
    assert suites <= set(re.findall(r"`(\w+Conformance)`", README))
