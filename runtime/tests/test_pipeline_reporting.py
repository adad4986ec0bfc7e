import logging
from concurrent.futures import Future
from typing import Any

import pytest

from millstream.errors import DataError
from millstream.pipeline.reporting import Consumed, Counters, LogReporter, Original, Reporting
from millstream.pipeline.tolerance import Event, Site, Stage
from millstream_api import Header, SourceRecord

SITE = Site(Stage.VALUE_CONVERTER, "org.apache.kafka.connect.json.JsonConverter")
CONSUMED = Consumed("orders", 2, 17, 1234, "CreateTime", b"k", b"secret", ())


def event(row: int, error: Exception | None, skipped: bool = True) -> Event:
    return Event(row, SITE, 2, 1, error, skipped, 99)


def logged(caplog: pytest.LogCaptureFixture, original: Original, include_messages: bool) -> str:
    counters = Counters()
    LogReporter("orders-0", include_messages, counters).report(event(0, DataError("no")), original)
    assert counters.logged == 1
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)
    return record.getMessage()


def test_counters_follow_the_events() -> None:
    reporting = Reporting()
    reporting.tell(
        [event(0, DataError("a")), event(1, None, False), event(2, DataError("b"), False)], lambda _: CONSUMED
    )
    assert reporting.counters.values() == {
        "total-record-failures": 6,
        "total-record-errors": 2,
        "total-records-skipped": 1,
        "total-retries": 3,
        "total-errors-logged": 0,
        "deadletterqueue-produce-requests": 0,
        "deadletterqueue-produce-failures": 0,
        "last-error-timestamp": 99,
    }


def test_only_rows_that_ended_failed_are_looked_up_and_reported() -> None:
    heard: list[tuple[int, Original]] = []

    class Reporter:
        def report(self, event: Event, original: Original) -> Future[Any] | None:
            heard.append((event.row, original))
            return Future() if event.row == 2 else None

    asked: list[int] = []

    def original(row: int) -> Original:
        asked.append(row)
        return CONSUMED

    pending = Reporting([Reporter()]).tell(
        [event(0, DataError("a")), event(1, None), event(2, DataError("b"))], original
    )
    assert (asked, [row for row, _ in heard], len(pending)) == ([0, 2], [0, 2], 1)


def test_without_messages_the_log_says_where_and_not_what(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, CONSUMED, False) == (
        "Error encountered in task orders-0. Executing stage 'VALUE_CONVERTER' with class "
        "'org.apache.kafka.connect.json.JsonConverter'."
    )


def test_with_messages_a_sink_logs_the_coordinates_of_what_was_consumed(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, CONSUMED, True).endswith(
        "JsonConverter', where consumed record is "
        "{topic='orders', partition=2, offset=17, timestamp=1234, timestampType=CreateTime}."
    )


def test_with_messages_a_source_logs_the_record_as_java_spells_it(caplog: pytest.LogCaptureFixture) -> None:
    record = SourceRecord(
        "lines", True, {"filename": "a"}, {"position": 7}, timestamp=5, headers=[Header("h", "v")], partition=None
    )
    assert logged(caplog, record, True).endswith(
        "', where source record is = SourceRecord{sourcePartition={filename=a}, sourceOffset={position=7}} "
        "ConnectRecord{topic='lines', kafkaPartition=null, key=null, keySchema=null, value=true, valueSchema=null, "
        "timestamp=5, headers=ConnectHeaders(headers=ConnectHeader(key=h, value=v))}."
    )
