"""What those that are stopping have is given to nobody before they have gone; two of one name never run at once."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.host.channel import Failure, StateChanged, Surroundings
from millstream.host.spare import NAME
from millstream.identity import TargetState, TaskId
from millstream.worker import admission
from millstream.worker.admission import COUNTED_SECONDS, Admission
from millstream.worker.budget import MB, PROCESSES_KEPT, WORKER_SHARE, Budget, Needs
from millstream.worker.children import Child
from millstream.worker.limits import Limits
from millstream.worker.runs import Facilities, TaskRun
from millstream.worker.worker import WorkerSetup

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import (
    GONE,
    PATIENCE_S,
    Ears,
    Timed,
    Turning,
    children_of,
    connector,
    is_running,
    parent_of,
    task,
    wait_until,
)

STRINGS = "org.apache.kafka.connect.storage.StringConverter"
HANGING = {"deed": "hang", "where": "poll"}
STOP_S = 40.0


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Timed]:
    """Room for one task, and time to stop it in until the test lets it pass."""
    settings = {"bootstrap.servers": f"sqlite:{tmp_path}/log.db", "key.converter": STRINGS, "value.converter": STRINGS}
    patience = {"connector_start_ms": 120_000, "graceful_ms": int(STOP_S * 1000)}
    worker = Timed(WorkerSetup(settings, memory_limit=WORKER_SHARE + 8 * MB, **patience))
    worker.start()
    yield worker
    worker.close(0.0)


class Looking(Ears):
    """Notes whether a process was there when it first heard of a state."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pid = pid
        self.had_gone: bool | None = None

    def __call__(self, event) -> None:
        if isinstance(event, StateChanged) and self.had_gone is None:
            self.had_gone = not is_running(self.pid)
        super().__call__(event)


def running(worker: Timed, name: str, **settings: str) -> int:
    """Start a task; its process. One that is to hang does."""
    ears = Ears()
    worker.start_task(task(name, **settings), ears)
    ears.until("RUNNING")
    if settings:
        ears.until_stuck()
    return pid_of(worker, name)


def held(worker: Timed) -> Ears:
    """A connector that hangs when it is to stop."""
    ears = Ears()
    worker.start_connector(connector("held", deed="hang", where="stop"), ears)
    ears.until("RUNNING")
    return ears


def pid_of(worker: Timed, name: str) -> int:
    return next((view.pid for view in worker.describe() if view.kind == "task" and view.name == f"{name}-0"), 0)


def test_a_task_for_which_there_is_room_once_others_have_gone_starts_when_they_have(narrow: Timed) -> None:
    old = running(narrow, "old", **HANGING)
    going = narrow.stop_tasks([TaskId("old", 0)])
    ears = Looking(old)
    narrow.start_task(task("new"), ears)
    narrow.pass_time(STOP_S)
    ears.until("RUNNING")
    assert ears.had_gone, "it was given what another still had"
    assert going.done()


def test_a_task_that_has_no_room_when_all_others_have_gone_has_failed_with_the_sum(narrow: Timed) -> None:
    running(narrow, "old", **HANGING)
    narrow.stop_tasks([TaskId("old", 0)])
    first, second = Ears(), Ears()
    narrow.start_task(task("first"), first)
    narrow.start_task(task("second"), second)
    narrow.pass_time(STOP_S)
    assert "7 MB for those that run (1)" in second.until("FAILED").trace
    assert first.until("RUNNING")


def test_a_task_that_is_stopped_while_it_waits_for_room_never_starts(narrow: Timed) -> None:
    running(narrow, "old", **HANGING)
    going = narrow.stop_tasks([TaskId("old", 0)])
    ears = Ears()
    narrow.start_task(task("new"), ears)
    narrow.stop_tasks([TaskId("new", 0)]).result(PATIENCE_S)
    assert not going.done()
    narrow.pass_time(STOP_S)
    going.result(PATIENCE_S)
    running(narrow, "third")
    assert ears.states() == ["UNASSIGNED"]


def test_a_task_that_is_paused_while_it_waits_for_room_is_paused_from_its_start(narrow: Timed) -> None:
    running(narrow, "old", **HANGING)
    narrow.stop_tasks([TaskId("old", 0)])
    ears = Ears()
    narrow.start_task(task("new"), ears)
    narrow.set_target("new", TargetState.PAUSED)
    narrow.pass_time(STOP_S)
    ears.until("PAUSED")
    assert ears.states() == ["PAUSED"]


def test_a_connector_that_is_stopping_is_counted_as_well(narrow: Timed) -> None:
    held(narrow)
    pid = next(view.pid for view in narrow.describe() if view.name == "held")
    narrow.stop_connector("held", STOP_S)
    new = Looking(pid)
    narrow.start_task(task("new"), new)
    narrow.pass_time(STOP_S)
    new.until("RUNNING")
    assert new.had_gone, "it was given what a connector still had"


def test_of_one_task_that_is_started_twice_while_it_stops_there_are_never_two(narrow: Timed) -> None:
    old = running(narrow, "same", **HANGING)
    narrow.stop_tasks([TaskId("same", 0)])
    first, second = Looking(old), Looking(old)
    narrow.start_task(task("same"), first)
    narrow.start_task(task("same"), second)
    narrow.pass_time(STOP_S)
    second.until("RUNNING")
    assert second.had_gone
    assert first.states() == ["UNASSIGNED"]  # its turn never came: the later one has it
    pid = pid_of(narrow, "same")
    wait_until(lambda: sisters_of(pid) == [pid])


def sisters_of(pid: int) -> list[int]:
    """The children of the template that this child was forked from which carry a task: it keeps others ahead."""
    template = parent_of(pid)
    found = []
    for each in children_of(template):
        with contextlib.suppress(*GONE):
            if is_running(each) and Path(f"/proc/{each}/comm").read_bytes().strip() != NAME:
                found.append(each)
    return found


@pytest.mark.parametrize("target", [TargetState.PAUSED, TargetState.STARTED])
def test_a_connector_that_is_stopped_while_it_waits_for_its_predecessor_never_begins(
    narrow: Timed, target: TargetState
) -> None:
    first, second = held(narrow), Ears()
    narrow.start_connector(connector("held"), second)
    narrow.set_target("held", target)
    going = narrow.stop_connector("held")
    narrow.pass_time(STOP_S)
    going.result(PATIENCE_S)
    assert (first.states()[-1], second.states()) == ("UNASSIGNED", ["UNASSIGNED"])
    assert not [view for view in narrow.describe() if view.kind == "connector"]


def test_a_connector_that_waits_for_its_predecessor_is_there_and_begins_with_its_latest_target(narrow: Timed) -> None:
    first, second = held(narrow), Ears()
    narrow.start_connector(connector("held"), second)
    narrow.set_target("held", TargetState.PAUSED)
    wait_until(lambda: [(v.state, v.pid) for v in narrow.describe() if v.name == "held"] == [("UNASSIGNED", 0)])
    narrow.pass_time(STOP_S)
    second.until("PAUSED")
    assert second.states() == ["PAUSED"]
    assert first.states() == ["RUNNING", "UNASSIGNED"]


def test_a_task_that_waits_for_its_predecessor_begins_with_its_latest_target(narrow: Timed) -> None:
    old = running(narrow, "it", **HANGING)
    second = Looking(old)
    narrow.start_task(task("it"), second)
    narrow.set_target("it", TargetState.PAUSED)
    narrow.pass_time(STOP_S)
    second.until("PAUSED")
    assert second.had_gone
    assert second.states() == ["PAUSED"]


def test_a_task_that_is_stopped_while_it_waits_for_its_predecessor_never_begins(narrow: Timed) -> None:
    running(narrow, "it", **HANGING)
    ears = Ears()
    narrow.start_task(task("it"), ears)
    going = narrow.stop_tasks([TaskId("it", 0)])
    narrow.pass_time(STOP_S)
    going.result(PATIENCE_S)
    assert ears.states() == ["UNASSIGNED"]
    assert not [view for view in narrow.describe() if view.kind == "task"]


def test_what_waits_for_its_predecessor_does_not_begin_in_a_worker_that_closes(narrow: Timed) -> None:
    first, second = held(narrow), Ears()
    narrow.start_connector(connector("held"), second)
    closing = threading.Thread(target=narrow.close)
    closing.start()
    second.until("UNASSIGNED")
    narrow.clock.put_forward(STOP_S)
    narrow.stop_tasks([])  # wakes it; it may be closed before it answers
    closing.join()
    assert (first.states()[-1], second.states()) == ("UNASSIGNED", ["UNASSIGNED"])


class Running:
    """A body that is there, and hears of no signal."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def signal(self, number: int) -> None:
        pass

    def stack(self) -> None:
        pass


class Carrying:
    """A launcher whose children have a body at once."""

    def __init__(self) -> None:
        self.launched: list[Child] = []

    def launch(self, child: Child) -> None:
        child.close_far_ends()
        self.launched.append(child)
        child.carried_by(Running(100_000 + len(self.launched)))

    def warm(self) -> None:
        pass

    def close(self) -> None:
        for child in self.launched:
            child.gone(0)


class Admitting:
    """Admissions on a loop whose time is the test's."""

    def __init__(self, limits: Limits, memory: int) -> None:
        self.turning = Turning()
        self.launcher = Carrying()
        self.facilities = Facilities(self.turning.loop, self.launcher, 60_000, 60_000)
        self.admission = Admission(Budget(limits, memory), self.facilities)

    def start(self, name: str) -> tuple[TaskRun, Ears]:
        spec, ears = task(name), Ears()
        run = TaskRun(self.facilities, spec, ears)

        def begin() -> None:
            needs = Needs(6 * MB, 3, 1 * MB)
            self.admission.admit(run, spec.plugin, needs, lambda _: run.begin_with(Surroundings()))

        self.admission.tasks.succeed(TaskId(name, 0), run, 1.0, begin)
        return run, ears

    def close(self) -> None:
        self.launcher.close()
        self.turning.loop.close()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    pids: list[int] = []

    def threads_of(pid: int) -> int:
        pids.append(pid)
        return 4

    monkeypatch.setattr(admission, "threads_of", threads_of)
    return pids


def test_of_tasks_that_start_together_each_is_looked_at_once(counted: list[int]) -> None:
    many = 60
    admitting = Admitting(Limits(1 << 40, processes=100_000), 1 << 40)
    for number in range(many):
        admitting.start(f"t{number}")
    assert len(admitting.launcher.launched) == many
    assert sorted(counted) == [100_001 + number for number in range(many - 1)]
    counted.clear()
    admitting.turning.pass_time(COUNTED_SECONDS)
    admitting.start("later")
    assert len(counted) == many, "what was counted a while ago is counted again"
    admitting.close()


def test_more_threads_than_a_task_was_expected_to_have_are_counted(counted: list[int]) -> None:
    admitting = Admitting(Limits(1 << 40, processes=PROCESSES_KEPT + 3 + 3), 1 << 40)
    assert admitting.start("first")[1].states() == []
    assert counted == []
    failed = admitting.start("second")[1].until("FAILED")
    assert failed.no_room
    assert "24 for the worker, 4 of those that run (1), and 3 for this one are 31" in failed.trace
    admitting.close()


def test_one_that_has_failed_is_counted_until_its_process_is_gone() -> None:
    """Its plugin's `stop` may last, and what it holds is held until then."""
    admitting = Admitting(Limits(1 << 40), WORKER_SHARE + 8 * MB)
    first, ears = admitting.start("first")
    first.heard(StateChanged("FAILED", Failure("E", "failed", "E: failed")))
    assert ears.states() == ["FAILED"]
    second = admitting.start("second")[1]
    assert "7 MB for those that run (1)" in second.until("FAILED").trace
    admitting.launcher.launched[0].gone(0)
    admitting.start("third")
    assert len(admitting.launcher.launched) == 2
    admitting.close()
