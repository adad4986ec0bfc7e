from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import DataError, MillstreamError, PluginError, RetriableError, trace_of
from millstream.lifecycle import ManualClock
from millstream.pipeline import form
from millstream.pipeline.tolerance import LOST, Handling, Journal, Site, Stage, Tolerance
from millstream_api import Config, Predicate, RecordBatch

SITE = Site(Stage.VALUE_CONVERTER, "some.Converter")


def handling(tolerance: Tolerance, clock: ManualClock | None = None) -> Handling:
    clock = clock or ManualClock()
    return Handling(tolerance, clock, clock.wait, lambda below: below - 1)


def failing(*errors: Exception) -> tuple[Exception, object]:
    """The first error, and what raises the others one by one and then gives `done`."""
    left = list(errors[1:])

    def again() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return errors[0], again


def test_delays_double_from_300_ms_and_are_random_beyond_the_largest() -> None:
    tolerance = Tolerance(retry_delay_max_ms=2_000)
    delays = [tolerance.delay_ms(attempt, lambda below: below - 1) for attempt in range(1, 7)]
    assert delays == [300, 600, 1200, 1999, 1999, 1999]


@given(st.integers(1, 10_000), st.integers(0, 10**7))
def test_a_delay_is_never_above_the_largest(attempt: int, largest: int) -> None:
    assert 0 <= Tolerance(retry_delay_max_ms=largest).delay_ms(attempt, lambda below: below // 2) <= max(largest, 0)


def test_without_tolerance_a_failed_row_ends_the_task_with_its_cause() -> None:
    journal = Journal(handling(Tolerance()), 10)
    error, again = failing(DataError("a value does not fit"))
    assert journal.settle(4, SITE, error, again) is LOST
    assert (journal.limit, journal.failed_row) == (4, 4)
    assert isinstance(journal.failure, MillstreamError)
    assert str(journal.failure) == "Tolerance exceeded in error handler"
    assert "Caused by: org.apache.kafka.connect.errors.DataException: a value does not fit" in trace_of(journal.failure)
    (event,) = journal.events
    assert (event.failures, event.retries, event.skipped, event.error) == (1, 0, False, error)


def test_with_tolerance_all_a_failed_row_is_skipped() -> None:
    journal = Journal(handling(Tolerance(all=True)), 10)
    error, again = failing(ValueError("no"))
    assert journal.settle(4, SITE, error, again) is LOST
    assert (journal.failure, journal.limit, journal.failed_row) == (None, 10, None)
    assert journal.events[0].skipped


def test_without_a_retry_timeout_a_retriable_error_is_skipped_even_without_tolerance() -> None:
    """A fact of Connect to keep: exhausted retries do not go through the tolerance check (§6.2)."""
    journal = Journal(handling(Tolerance(all=False, retry_timeout_ms=0)), 10)
    error, again = failing(RetriableError("away"))
    assert journal.settle(4, SITE, error, again) is LOST
    assert journal.failure is None
    (event,) = journal.events
    assert (event.failures, event.retries, event.skipped, event.error) == (1, 0, True, error)


def test_a_retry_that_succeeds_gives_its_result_and_counts_the_failures() -> None:
    clock = ManualClock()
    journal = Journal(handling(Tolerance(retry_timeout_ms=10_000), clock), 10)
    assert journal.settle(2, SITE, *failing(RetriableError("1"), RetriableError("2"), RetriableError("3"))) == "done"
    assert clock.waits == [0.3, 0.6, 1.2]
    (event,) = journal.events
    assert (event.failures, event.retries, event.error, event.skipped) == (3, 3, None, False)


def test_the_last_wait_ends_at_the_deadline_and_one_more_attempt_follows() -> None:
    clock = ManualClock()
    journal = Journal(handling(Tolerance(retry_timeout_ms=500), clock), 10)
    error, again = failing(*(RetriableError(str(n)) for n in range(9)))
    assert journal.settle(2, SITE, error, again) is LOST
    assert [round(wait, 6) for wait in clock.waits] == [0.3, 0.2]
    (event,) = journal.events
    assert (event.failures, event.retries, str(event.error)) == (3, 2, "2")


def test_another_error_ends_the_retries_and_goes_through_the_tolerance_check() -> None:
    journal = Journal(handling(Tolerance(retry_timeout_ms=-1)), 10)
    assert journal.settle(2, SITE, *failing(RetriableError("away"), DataError("broken"))) is LOST
    assert journal.failed_row == 2
    assert (journal.events[0].failures, journal.events[0].retries) == (2, 1)


def test_retries_without_end_go_on_until_it_is_time_to_stop() -> None:
    clock, waits = ManualClock(), []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 5

    journal = Journal(Handling(Tolerance(retry_timeout_ms=-1), clock, wait, lambda below: below), 10)
    error, again = failing(*(RetriableError(str(n)) for n in range(99)))
    assert journal.settle(2, SITE, error, again) is LOST
    assert len(waits) == 5
    assert journal.events[0].skipped


def test_events_are_in_row_order_and_end_with_the_row_that_ended_the_task() -> None:
    journal = Journal(handling(Tolerance()), 10)
    for row in (7, 3, 5):
        journal.settle(row, SITE, *failing(DataError(str(row))))
    journal.settle(1, SITE, *failing(RetriableError("skipped whatever is tolerated")))
    assert [event.row for event in journal.events] == [1, 3]
    assert (journal.limit, str(journal.failure.__cause__)) == (3, "3")  # type: ignore[union-attr]


def test_what_is_no_exception_of_a_record_passes() -> None:
    journal = Journal(handling(Tolerance(all=True, retry_timeout_ms=-1)), 10)

    def again() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.settle(1, SITE, RetriableError("away"), again)


def test_a_method_that_raises_stop_iteration_has_failed_at_that_row_and_the_others_are_done() -> None:
    def strange(record: int) -> int:
        if record == 1:
            raise StopIteration
        return record

    journal = Journal(handling(Tolerance(all=True)), 10)
    assert form.each(strange, range(3), range(3), form.Retrying(journal, SITE, lambda row, _: row)) == [0, LOST, 2]
    (event,) = journal.events
    assert (event.row, event.skipped) == (1, True)
    assert str(event.error) == "a method of the plugin raised StopIteration, which is no error in Python: raise another"


def test_a_predicate_has_one_answer_a_row_or_one_for_all() -> None:
    class Answering(Predicate[Config]):
        def __init__(self, said: Any) -> None:
            self.said = said

        def test_batch(self, batch: RecordBatch) -> Any:
            return self.said

    batch = RecordBatch("t", None, [b"a", b"b"])
    assert form.answers(Answering(True), batch) is True
    assert form.answers(Answering([True, False]), batch) == [True, False]
    with pytest.raises(PluginError, match="Answering gave 1 answers for 2 rows; it must give one bool, or one a row"):
        form.answers(Answering([True]), batch)
    with pytest.raises(PluginError, match="Answering gave a NoneType; it must give one bool, or one a row"):
        form.answers(Answering(None), batch)
