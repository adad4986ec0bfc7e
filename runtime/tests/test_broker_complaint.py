"""A failure that lasts is said once and every thirty seconds, and its end once."""

import logging

import pytest

from millstream.broker.complaint import Complaint
from millstream.lifecycle import ManualClock


def test_a_failure_that_lasts_is_said_every_thirty_seconds_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(0)
    complaint = Complaint(clock, logging.getLogger("millstream.test"), "it works again")
    caplog.set_level(logging.INFO)

    def said() -> list[str]:
        texts = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return texts

    complaint.mended()
    assert said() == []
    for _ in range(3):
        complaint.failed("the disk is full")
    assert said() == ["the disk is full"]
    clock.advance(30)
    complaint.failed("the disk is full")
    complaint.failed("the disk is full")
    assert said() == ["the disk is full"]
    complaint.mended()
    complaint.mended()
    assert said() == ["it works again"]
    complaint.failed("the disk is full again")
    assert said() == ["the disk is full again"]
