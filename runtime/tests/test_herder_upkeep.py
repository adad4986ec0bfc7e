"""What is done every so often, and its end."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.errors import BrokerError
from millstream.herder import upkeep
from millstream.herder.herder import Snapshot
from millstream.herder.upkeep import Upkeep


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "RETENTION_S", 0.0)


def upkeep_of(
    retain: Callable[[Any], int], retry: Callable[[], None] = lambda: None, remote: bool = False
) -> tuple[Upkeep, list[Any]]:
    """Of a log that retains so, and of states that are written so; what is due later is in the list."""
    due: list[Any] = []
    agenda = SimpleNamespace(post=lambda step, seconds: due.append(step))
    board: Any = SimpleNamespace(snapshot=Snapshot())
    crew: Any = SimpleNamespace(
        states=SimpleNamespace(retry=retry),
        agenda=agenda,
        board=board,
        worker=SimpleNamespace(settings={}, probe=None),
        stores=SimpleNamespace(remote=remote),
    )
    broker: Any = SimpleNamespace(retain=retain)
    return Upkeep(broker, crew), due


@pytest.mark.usefixtures("often")
def test_a_stop_waits_for_the_retention_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    began, done = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def retain(_: Any) -> int:
        threads.append(threading.current_thread())
        began.set()
        done.wait(0.3)  # while it lasts nobody may close the log
        done.set()
        return 0

    monkeypatch.setattr(upkeep, "STOP_S", 60.0)
    kept, _ = upkeep_of(retain)
    kept.start()
    assert began.wait(60)
    kept.stop()
    assert done.is_set()
    assert not threads[0].is_alive()


@pytest.mark.usefixtures("often")
def test_a_retention_that_lasts_too_long_is_said_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "STOP_S", 0.01)
    began, done = threading.Event(), threading.Event()

    def retain(_: Any) -> int:
        began.set()
        done.wait(60)
        return 0

    kept, _ = upkeep_of(retain)
    kept.start()
    assert began.wait(60)
    kept.stop()
    assert "old records are still being removed after 0 s; the log is closed all the same" in caplog.text
    done.set()
    assert kept._retaining is not None
    assert kept._retaining.join(60)


@pytest.mark.usefixtures("often")
def test_what_cannot_be_done_now_is_said_and_done_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = threading.Semaphore(0)

    monkeypatch.setattr(upkeep, "STOP_S", 60.0)

    def full(*_: Any) -> Any:
        tried.release()
        raise BrokerError("the disk is full", retriable=True)

    kept, due = upkeep_of(full, full)
    kept.start()
    assert tried.acquire(timeout=60)
    assert tried.acquire(timeout=60)
    kept.stop()
    (retry,) = due
    retry()
    assert due == [retry, retry]
    said = [record.getMessage() for record in caplog.records]
    assert "old records could not be removed, and are tried again: the disk is full" in said
    assert said[-1] == "the states of connectors and tasks could not be written, and are tried again: the disk is full"


def test_a_stop_before_the_start_has_nothing_to_wait_for() -> None:
    kept, _ = upkeep_of(lambda _: 0)
    kept.stop()


@pytest.mark.usefixtures("often")
def test_where_brokers_keep_the_records_nobody_looks_what_sinks_read() -> None:
    kept, _ = upkeep_of(lambda _: 0, remote=True)
    kept.start()
    assert kept._retaining is None
    kept.stop()
