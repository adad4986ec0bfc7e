"""The last lines of tox: what was skipped for want of something, and what the conformance kit had no cause to ask."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import closing_lines

from millstream_conformance.suite import NOT_APPLICABLE

RESULTS = """<testsuites><testsuite>
<testcase name="a"/>
<testcase name="b"><failure message="no"/></testcase>
<testcase name="c"><skipped type="pytest.skip" message="needs /proc: run it on Linux"/></testcase>
<testcase name="d"><skipped type="pytest.skip" message="does not apply: TOMBSTONES is not claimed"/></testcase>
<testcase name="e"><skipped type="pytest.xfail" message="waived: it greets"/></testcase>
</testsuite></testsuites>"""


def test_what_a_plugin_does_not_claim_is_told_apart_from_what_can_be_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some.xml").write_text(RESULTS)
    closing_lines.closing_lines(tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "",
        "1 checks of the conformance kit do not apply: plugins do not claim what they ask for",
        "",
        "2 passed, 1 failed, 1 skipped",
        "1 tests were skipped: 1: needs /proc: run it on Linux",
    ]


def test_the_kit_marks_its_skips_as_tox_looks_for_them() -> None:
    assert closing_lines.NOT_APPLICABLE == NOT_APPLICABLE
