"""The lifecycle table, the wishes of the host, fail points, and what a kill at each of them leaves."""

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from millstream.identity import State, TargetState
from millstream.lifecycle import ManualClock
from millstream.metrics.readings import Measuring
from millstream.task import failpoints
from millstream.task.context import SinkTaskContext, SinkWishes, TransactionRequests
from millstream.task.control import Control
from millstream.task.counting import SinkTaskMetrics, SourceTaskMetrics, TaskMetrics
from millstream.task.events import StateChanged
from millstream.task.offsets import Newest
from millstream.task.states import NEXT, Happening, Lifecycle

spec = importlib.util.spec_from_file_location("task_bench", Path(__file__).with_name("task_bench.py"))
assert spec is not None
assert spec.loader is not None
task_bench = sys.modules.get("task_bench") or importlib.util.module_from_spec(spec)
if "task_bench" not in sys.modules:
    sys.modules["task_bench"] = task_bench
    spec.loader.exec_module(task_bench)


def lifecycle(told: list[Any], muted: bool = False) -> Lifecycle:
    return Lifecycle(told.append, TaskMetrics(Measuring(ManualClock())), lambda: muted)


def test_each_move_is_told_once_with_the_trace_of_a_failure() -> None:
    told: list[Any] = []
    life = lifecycle(told)
    for happening in (Happening.STARTED, Happening.PAUSED, Happening.RESUMED):
        life.happen(happening)
    life.happen(Happening.FAILED, "OSError: x")
    assert told == [
        StateChanged(State.RUNNING),
        StateChanged(State.PAUSED),
        StateChanged(State.RUNNING),
        StateChanged(State.FAILED, "OSError: x"),
    ]


def test_what_is_not_in_the_table_cannot_happen_and_failed_is_last() -> None:
    life = lifecycle([])
    with pytest.raises(KeyError):
        life.happen(Happening.RESUMED)
    assert not [state for state, _ in NEXT if state is State.FAILED]
    assert {state for state, happening in NEXT if happening is Happening.FAILED} == {
        state for state, happening in NEXT if happening is Happening.STOPPED
    }


def test_a_muted_lifecycle_moves_and_tells_nothing() -> None:
    told: list[Any] = []
    life = lifecycle(told, muted=True)
    life.happen(Happening.STARTED)
    assert (life.state, told) == (State.RUNNING, [])


def test_stopped_as_a_target_stops_a_task() -> None:
    control = Control()
    control.aim(TargetState.STOPPED)
    assert control.stopping
    assert control.wait(60)


def test_cancel_is_called_once_and_also_when_the_stop_came_before() -> None:
    calls: list[int] = []
    called = threading.Event()

    def cancel() -> None:
        calls.append(threading.get_ident())
        called.set()

    control = Control()
    control.stop()
    control.interruptible(None, cancel)
    assert called.wait(task_bench.SECONDS)
    control.cancel()
    control.stop()
    assert len(calls) == 1
    assert calls[0] != threading.get_ident()


def test_cancel_is_called_though_the_failure_came_before_it_could_be() -> None:
    called = threading.Event()
    control = Control()
    control.fail(OSError("x"))
    control.interruptible(None, called.set)
    assert called.wait(task_bench.SECONDS)


def test_a_wish_that_comes_while_the_task_closes_wakes_nobody() -> None:
    class Closing(Control):
        """Its task closes the moment that somebody has looked whether it can be woken."""

        found: Any = None

        @property
        def _wake(self) -> Any:
            found, self.found = self.found, None
            return found

        @_wake.setter
        def _wake(self, wake: Any) -> None:
            self.found = wake

    woken: list[int] = []
    control = Closing()
    control.interruptible(lambda: woken.append(1), None)
    control.stop()
    control.stop()
    assert woken == [1]
    assert control.stopping


def test_a_request_of_another_thread_while_requests_are_taken_is_taken_next() -> None:
    class Crossing(SinkTaskContext):
        """A commit is asked for the moment that somebody has looked whether one was."""

        asked, asks = False, True

        @property
        def _commit_asked(self) -> bool:
            found = self.asked
            if self.asks:
                self.asks = False
                self.request_commit()
            return found

        @_commit_asked.setter
        def _commit_asked(self, asked: bool) -> None:
            self.asked = asked

    wishes = SinkWishes(Crossing(Control(), lambda _: None, None))
    assert [wishes.take_commit_request() for _ in range(3)] == [False, True, False]


def test_a_boundary_that_another_thread_asks_for_while_requests_are_taken_is_taken_next() -> None:
    class Crossing(TransactionRequests):
        """As above."""

        asked, asks = False, True

        @property
        def _commit(self) -> bool:
            found = self.asked
            if self.asks:
                self.asks = False
                self.commit()
            return found

        @_commit.setter
        def _commit(self, asked: bool) -> None:
            self.asked = asked

    requests = Crossing()
    assert [requests.take() for _ in range(3)] == [None, "commit", None]


def test_every_change_wakes_the_loop_and_the_first_error_counts() -> None:
    woken: list[str] = []
    control = Control()
    control.interruptible(lambda: woken.append("woken"), None)
    control.aim(TargetState.PAUSED)
    control.fail(OSError("first"))
    control.fail(OSError("second"))
    assert woken == ["woken"] * 3
    assert str(control.error) == "first"
    control.wait_while_paused()  # returns, as there is an error to raise


def test_offsets_of_equal_partitions_are_one_and_what_came_later_wins() -> None:
    newest = Newest()
    newest.put({"a": 1, "b": 2}, {"n": 1})
    newest.put({"b": 2, "a": 1}, {"n": 2})
    newest.put({"a": True, "b": 2}, {"n": 3})
    newest.put(None, None)
    assert newest.take() == [({"b": 2, "a": 1}, {"n": 2}), ({"a": True, "b": 2}, {"n": 3})]
    newest.put({"x": 1}, {"n": 9})
    newest.put_older([({"x": 1}, {"n": 8}), ({"y": 1}, {"n": 7})])
    assert newest.entries() == [({"x": 1}, {"n": 9}), ({"y": 1}, {"n": 7})]


def test_metrics_have_connects_names() -> None:
    clock = ManualClock()
    source, sink = SourceTaskMetrics(Measuring(clock)), SinkTaskMetrics(Measuring(clock))
    source.in_state(State.RUNNING)
    clock.advance(10)
    source.polled(10, 5.0)
    source.written(7, 1)
    source.committed(3.0, True)
    source.committed(5.0, False)
    values = source.values()
    assert values["running-ratio"] == 1.0
    assert values["source-record-active-count"] == 2
    assert values["offset-commit-avg-time-ms"] == 4.0
    assert values["offset-commit-success-percentage"] == 0.5
    assert "transaction-size-max" not in values
    sink.read(5)
    sink.put(4, 2.0)
    sink.active(3)
    assert sink.values()["sink-record-active-count-max"] == 3
    assert sink.values()["batch-size-max"] == 4


def test_a_fail_point_does_its_deed_at_the_passage_asked_for() -> None:
    point = failpoints.from_environment({failpoints.VARIABLE: "sink.put.after=raise@2, sink.put.before=raise@9"})
    point("sink.put.after")
    point("sink.put.before")
    with pytest.raises(failpoints.FailPointError, match=r"fail point sink\.put\.after"):
        point("sink.put.after")
    point("sink.put.after")
    assert failpoints.from_environment({}) is failpoints.nothing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sink.puts.after=kill", "names the fail point 'sink.puts.after'; there are source.poll.after, "),
        ("sink.put.after=explode", "the action 'explode'; it can be kill, exit, raise"),
        ("sink.put.after", "the action ''; it can be kill, exit, raise"),
    ],
)
def test_a_fail_point_that_there_is_none_of_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="MILLSTREAM_FAILPOINTS") as caught:
        failpoints.fail_at(text)
    assert said in str(caught.value)


PROGRAM = textwrap.dedent(
    """
    import importlib.util, json, sys
    from millstream.task.failpoints import from_environment
    from millstream.task.sink import SinkTaskLoop
    from millstream.task.source import SourceTaskLoop
    from millstream_api import SinkTask, SourceRecord, SourceTask

    bench_file, log, out, kind = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("task_bench", bench_file)
    bench_module = importlib.util.module_from_spec(spec)
    sys.modules["task_bench"] = bench_module
    spec.loader.exec_module(bench_module)
    bench = bench_module.Bench(log)
    control = bench_module.HastyControl()

    class Numbers(SourceTask):
        def __init__(self, context):
            stored = context.offset({"file": "a"})
            self.next = stored["position"] if stored else 0
        def poll(self):
            if self.next >= 20:
                control.stop()
                return []
            self.next += 4
            numbers = range(self.next - 4, self.next)
            return [SourceRecord("data", str(n), {"file": "a"}, {"position": n + 1}) for n in numbers]
        def commit(self, durable): ...

    class Lines(SinkTask):
        def __init__(self, context):
            self.file = open(out, "a", buffering=1)
            self.idle = 0
        def put(self, batch):
            for record in batch:
                self.file.write(record.value + "\\n")
            self.idle = 0 if len(batch) else self.idle + 1
            if self.idle == 3:
                control.stop()

    point = from_environment()
    if kind == "source":
        SourceTaskLoop(bench.source_parts(Numbers, control=control, failpoint=point)).run()
    else:
        SinkTaskLoop(bench.sink_parts(Lines, control=control, failpoint=point, settings={"max_poll_rows": 4})).run()
    print(bench.states()[-1].value)
    """
)


def run_program(tmp_path: Path, kind: str, points: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM, str(Path(__file__).with_name("task_bench.py"))),
            *(f"sqlite:{tmp_path / 'log.db'}", str(tmp_path / "lines.txt"), kind),
        ],
        env={**os.environ, failpoints.VARIABLE: points},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.timeout(120)  # two programs are started
@pytest.mark.parametrize("point", [name for name in failpoints.POINTS if name.startswith("source.")])
def test_a_source_killed_at_any_point_neither_loses_nor_repeats_a_row(tmp_path: Path, point: str) -> None:
    killed = run_program(tmp_path, "source", f"{point}=kill@3")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    ended = run_program(tmp_path, "source")
    assert ended.stdout.strip() == "UNASSIGNED", ended.stderr
    bench = task_bench.Bench(f"sqlite:{tmp_path / 'log.db'}")
    assert bench.log() == [str(number) for number in range(20)]
    bench.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", [name for name in failpoints.POINTS if name.startswith("sink.")])
def test_a_sink_killed_at_any_point_loses_no_row(tmp_path: Path, point: str) -> None:
    bench = task_bench.Bench(f"sqlite:{tmp_path / 'log.db'}")
    bench.produce([str(number) for number in range(20)])
    killed = run_program(tmp_path, "sink", f"{point}=kill@3")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    ended = run_program(tmp_path, "sink")
    assert ended.stdout.strip() == "UNASSIGNED", ended.stderr
    lines = (tmp_path / "lines.txt").read_text().split()
    assert sorted(set(lines), key=int) == [str(number) for number in range(20)]
    assert bench.committed() == 20
    bench.close()
