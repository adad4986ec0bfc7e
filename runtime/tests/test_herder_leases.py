"""Values that config providers give for a while: the connector starts again when that is over."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from millstream.errors import WorkerError
from millstream.herder.crew import Crew
from millstream.herder.leases import Leases
from millstream.herder.procedures import Agenda, Procedure
from millstream.identity import TargetState
from millstream.lifecycle import ManualClock


@dataclass
class Configs:
    """A config store that a test fills."""

    connectors: dict[str, dict[str, str]] = field(default_factory=dict)
    targets: dict[str, TargetState] = field(default_factory=dict)

    def snapshot(self) -> "Configs":
        return self


@dataclass
class Scene:
    """Connector `c` holds what it was given; time passes when the test says so."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(1_000))
    configs: Configs = field(default_factory=lambda: Configs({"c": {"name": "c", "password": "${vault:a:b}"}}))
    restarted: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def __post_init__(self) -> None:
        self.agenda = Agenda(self.clock)
        self.agenda.start("agenda", lambda error: None)
        self.leases = Leases(cast(Crew, self), self._restart)

    def _restart(self, connector: str) -> Procedure:
        yield from ()
        if self.refusal is not None:
            raise self.refusal
        self.restarted.append(connector)

    def hear(self, **ttls: int) -> None:
        self._on_thread(lambda: self.leases.heard("c", ttls))

    def passes(self, seconds: float) -> list[str]:
        """Who was restarted until then."""
        self.clock.advance(seconds)
        self._on_thread(lambda: None)  # the agenda looks at its clock
        self._on_thread(lambda: None)  # and has done what was due
        self._on_thread(lambda: None)  # the restart, too
        return self.restarted

    def _on_thread(self, step: Any) -> None:
        done: Future[None] = Future()
        self.agenda.post(lambda: done.set_result(step()))
        done.result(60)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.agenda.close(60)


def test_a_connector_starts_again_when_the_time_is_over_and_not_before(scene: Scene) -> None:
    scene.hear(a=5_000)
    assert scene.passes(4.9) == []
    assert scene.passes(0.2) == ["c"]
    assert scene.passes(100) == ["c"]


def test_what_was_given_anew_counts_from_then(scene: Scene) -> None:
    scene.hear(a=5_000)
    scene.passes(3)
    scene.hear(a=5_000)
    assert scene.passes(3) == []
    assert scene.passes(2.1) == ["c"]


def test_each_path_has_a_time_of_its_own(scene: Scene) -> None:
    scene.hear(a=5_000, b=9_000)
    assert scene.passes(5.1) == ["c"]
    assert scene.passes(4) == ["c", "c"]


def test_no_time_at_all_is_a_second(scene: Scene) -> None:
    scene.hear(a=0)
    assert scene.passes(0.9) == []
    assert scene.passes(0.2) == ["c"]


@pytest.mark.parametrize("target", [TargetState.STOPPED, TargetState.PAUSED])
def test_who_is_stopped_or_paused_asks_anew_when_it_starts(scene: Scene, target: TargetState) -> None:
    scene.hear(a=5_000)
    scene.configs.targets["c"] = target
    assert scene.passes(6) == []


def test_who_is_deleted_or_has_other_settings_is_left_alone(scene: Scene) -> None:
    scene.hear(a=5_000)
    scene.configs.connectors["c"] = {"name": "c", "password": "plain"}
    assert scene.passes(6) == []
    scene.hear(a=5_000)
    del scene.configs.connectors["c"]
    assert scene.passes(6) == []


def test_a_restart_that_fails_is_logged_and_the_herder_goes_on(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.refusal = WorkerError("the vault is shut")
    scene.hear(a=5_000)
    assert scene.passes(6) == []
    assert "did not succeed: the vault is shut" in caplog.text
    scene.refusal = None
    scene.hear(a=5_000)
    assert scene.passes(6) == ["c"]
