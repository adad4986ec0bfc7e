"""What is done every so often, and its end."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.herder import upkeep
from millstream.herder.herder import Snapshot
from millstream.herder.upkeep import Upkeep


def test_a_stop_waits_for_the_retention_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    began, done = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def retain(_: Any) -> int:
        threads.append(threading.current_thread())
        began.set()
        done.wait(0.3)  # while it lasts nobody may close the log
        done.set()
        return 0

    monkeypatch.setattr(upkeep, "RETENTION_S", 0.0)
    monkeypatch.setattr(upkeep, "STOP_S", 60.0)
    board: Any = SimpleNamespace(snapshot=Snapshot())
    crew: Any = SimpleNamespace(states=None, agenda=SimpleNamespace(post=lambda *_: None), board=board)
    broker: Any = SimpleNamespace(retain=retain)
    kept = Upkeep(broker, crew)
    kept.start()
    assert began.wait(60)
    kept.stop()
    assert done.is_set()
    assert not threads[0].is_alive()


def test_a_stop_before_the_start_has_nothing_to_wait_for() -> None:
    crew: Any = SimpleNamespace(states=None, agenda=None, board=None)
    broker: Any = None
    Upkeep(broker, crew).stop()
