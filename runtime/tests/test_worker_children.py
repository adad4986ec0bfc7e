"""Children of every temper, in processes forked from templates: what is told of them, and what is left of them."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from millstream.errors import IllegalStateError, NotFoundError, RemoteError, WorkerError
from millstream.identity import TargetState, TaskId
from millstream.worker import children, logs, loop, runs, standstill
from millstream.worker.runs import TaskRun
from millstream.worker.worker import Worker

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))

from watching import (  # noqa: E402
    PATIENCE_S,
    STUCK,
    Ears,
    Timed,
    errors_in,
    is_running,
    kill,
    pid_of,
    probe,
    setup,
    started,
    task,
    wait_until,
)

LIMIT_S = 120.0
"""Of a start, of the silence of a task, and of a stop, in a worker whose time passes when a test says so."""


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    limit_ms = int(LIMIT_S * 1000)
    running = Timed(
        setup(tmp_path_factory.mktemp("log"), connector_start_ms=limit_ms, poll_warn_ms=limit_ms, graceful_ms=limit_ms)
    )
    running.start()
    yield running
    running.close(0.0)


@pytest.fixture(autouse=True)
def patient_with_stacks(monkeypatch):
    """On a busy machine a signal takes its time."""
    monkeypatch.setattr(children, "STACK_SECONDS", PATIENCE_S)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc: run it on Linux")
def test_a_source_that_has_neither_read_offsets_nor_given_rows_has_not_opened_the_log(shared):
    ears = Ears()
    shared.start_task(task("quiet", deed="hang", where="poll"), ears)
    ears.until_stuck()
    pid = next(view.pid for view in shared.describe() if view.kind == "task" and view.name.startswith("quiet"))
    files = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            files.append(os.path.basename(os.readlink(each)))
    kill(pid)
    ears.until("FAILED")
    assert files
    assert not [each for each in files if each.startswith("log")]


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("segv", "connector segv: the process was ended by signal 11 (SIGSEGV)"),
        ("abort", "connector abort: the process was ended by signal 6 (SIGABRT)"),
        ("exit", "connector exit: the process ended itself with exit code 7"),
        ("exit-0", "connector exit-0: the process ended itself with exit code 0"),
        ("system-exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
        ("raise", "ValueError: the moon is full"),
        ("unspeakable", "Unspeakable: <the text of this error cannot be had: its __str__ raised ValueError>"),
    ],
)
def test_a_start_that_ends_badly_is_failed_with_what_happened(shared, deed, told):
    failed = started(shared, deed, deed=deed).until("FAILED")
    assert told in failed.trace
    assert "hosted.py" in failed.trace or "starting in" in failed.trace
    assert not failed.from_outside


@pytest.mark.parametrize(
    ("deed", "told"), [("deafen", "MemoryError"), ("deafen-and-mute", "the process ended itself with exit code 71")]
)
def test_a_child_that_can_no_longer_hear_its_worker_has_failed_by_itself(shared, deed, told):
    ears = started(shared, deed, deed=deed)
    ears.until("RUNNING")
    pid = pid_of(shared, deed)
    shared.set_target(deed, TargetState.PAUSED)
    failed = ears.until("FAILED")
    assert told in failed.trace
    assert not failed.from_outside
    if deed == "deafen":
        assert "the child can no longer hear its worker, and ends" in "".join(ears.lines())
    wait_until(lambda: not is_running(pid))
    assert ears.states() == ["RUNNING", "FAILED"]


def test_a_child_on_the_embedded_log_imports_nothing_that_its_template_has_not(shared):
    ears = Ears()
    shared.start_task(task("modules", deed="modules", where="poll"), ears)
    assert "RuntimeError: imported since the fork: []" in ears.until("FAILED").trace


def test_a_child_prints_and_logs_by_what_its_template_has_made_ready(shared):
    trace = started(shared, "prepared", deed="prepared").until("FAILED").trace
    assert "RuntimeError: the same: [True, True, True, True]" in trace


def test_the_last_lines_of_output_are_in_the_trace_of_a_crash(shared):
    trace = started(shared, "lines", deed="segv").until("FAILED").trace
    assert f"\tstarting in {os.getcwd()}" in trace
    assert "\tFatal Python error: Segmentation fault" in trace


def test_a_start_that_is_woken_by_the_question_for_its_stack_has_failed_all_the_same(timed):
    ears = started(timed, "start-doze", deed="doze")
    ears.until_stuck()
    timed.pass_time(LIMIT_S)
    assert "hosted.py" in ears.until("FAILED").trace
    wait_until(lambda: pid_of(timed, "start-doze") == 0)
    assert ears.states() == ["FAILED"]


@pytest.mark.parametrize("deed", ["hang", "hog"])
def test_a_start_that_does_not_return_is_failed_with_its_stack_and_killed(timed, deed):
    ears = started(timed, f"start-{deed}", deed=deed)
    ears.until_stuck()
    timed.pass_time(LIMIT_S)
    trace = ears.until("FAILED").trace
    assert f"start-{deed} did not return from start within connector.start.timeout.ms=120000" in trace
    assert "hosted.py" in trace
    assert "/millstream/host/" not in trace
    wait_until(lambda: pid_of(timed, f"start-{deed}") == 0)


@pytest.mark.parametrize("deed", ["thread", "close-1", "close-2", "chdir", "signals", "long-line"])
def test_what_a_plugin_does_to_its_process_is_nobody_elses_business(shared, deed):
    ears = started(shared, deed, deed=deed)
    ears.until("RUNNING")
    pid = pid_of(shared, deed)
    shared.stop_connector(deed).result(PATIENCE_S)
    assert ears.states() == ["RUNNING", "UNASSIGNED"]
    assert not is_running(pid)
    assert started(shared, "after", "Staying").until("RUNNING")


def test_the_messages_of_a_poll_are_too_few_for_the_collector_to_look_at_them(shared):
    assert "ValueError: 0 looks at 5000 objects" in started(shared, "poll", deed="poll").until("FAILED").trace


def test_two_gigabytes_beyond_task_memory_max_bytes_are_a_memory_error_of_that_task_alone(tmp_path):
    worker = Worker(setup(tmp_path, task_memory_max_bytes=500_000_000))
    worker.start()
    try:
        assert "MemoryError" in started(worker, "memory", deed="memory").until("FAILED").trace
        assert started(worker, "beside").until("RUNNING")
    finally:
        worker.close()


def test_a_flood_of_prints_is_cut_with_a_count_and_ends_with_its_last_line(shared):
    began = time.monotonic()
    ears = started(shared, "flood", deed="flood")
    ears.until("RUNNING")
    shared.stop_connector("flood").result(PATIENCE_S)
    lines = ears.lines()
    a_second = logs.LINES_A_SECOND + loop.LINES_A_SECOND
    at_once = logs.BURST_LINES + loop.BURST_LINES
    assert len(lines) < at_once + (a_second + 10) * (time.monotonic() - began) + 100  # of a million
    assert any("of its output were cut: more lines a second than the worker tells" in line for line in lines)


def test_processes_that_a_plugin_started_go_with_its_child(shared, tmp_path):
    ears = started(shared, "fork", deed="fork", path=str(tmp_path / "pid"))
    ears.until("RUNNING")
    grandchild = int((tmp_path / "pid").read_text())
    assert is_running(grandchild)
    kill(pid_of(shared, "fork"))
    failed = ears.until("FAILED")
    assert "signal 9 (SIGKILL)" in failed.trace
    assert failed.from_outside
    wait_until(lambda: not is_running(grandchild))


def test_a_connector_without_start_and_monitor_rests_and_is_run_again_when_asked(shared):
    ears = started(shared, "resting", "Resting", tasks="2")
    first = shared.task_configs("resting", 2).result(PATIENCE_S)
    wait_until(lambda: pid_of(shared, "resting") == 0)
    second = shared.task_configs("resting", 2).result(PATIENCE_S)
    assert [config["number"] for config in second] == ["0", "1"]
    assert first[0]["pid"] != second[0]["pid"]
    assert ears.states() == ["RUNNING"]
    shared.set_target("resting", TargetState.PAUSED)
    ears.until("PAUSED")
    shared.stop_connector("resting").result(PATIENCE_S)
    assert ears.states() == ["RUNNING", "PAUSED", "UNASSIGNED"]


def test_a_connector_whose_stop_raises_when_it_goes_to_rest_goes_on_running(shared, caplog):
    ears = started(shared, "unwilling", "Resting", deed="unspeakable", where="stop")
    shared.task_configs("unwilling", 1).result(PATIENCE_S)
    wait_until(lambda: pid_of(shared, "unwilling") == 0)
    wait_until(lambda: "the connector's stop raised an error" in caplog.text)
    assert ears.states() == ["RUNNING"]
    shared.stop_connector("unwilling").result(PATIENCE_S)


def test_a_connector_that_rested_and_dies_when_it_is_asked_again_has_failed(shared, tmp_path):
    path = tmp_path / "die"
    ears = started(shared, "dying", "Resting", deed="exit-once-there", where="task_configs", path=str(path))
    shared.task_configs("dying", 1).result(PATIENCE_S)
    wait_until(lambda: pid_of(shared, "dying") == 0)
    path.touch()
    asked = shared.task_configs("dying", 1)
    assert "exit code 7" in ears.until("FAILED").trace
    assert asked.exception(PATIENCE_S) is not None
    assert ears.states() == ["RUNNING", "FAILED"]


def test_task_configs_hold_the_connectors_raw_settings_its_own_and_the_task_class(shared):
    started(shared, "raw", "Resting", tasks="1", topic="t")
    (config,) = shared.task_configs("raw", 1).result(PATIENCE_S)
    assert config.items() >= {"tasks": "1", "topic": "t", "number": "0", "task.class": "hosted:HostedTask"}.items()


def test_more_task_configs_than_tasks_max_fail_the_connector_in_javas_words(shared):
    ears = started(shared, "many", "Staying", tasks="3")
    with pytest.raises(RemoteError, match="has generated 3 tasks, which is greater than 2"):
        shared.task_configs("many", 2).result(PATIENCE_S)
    assert "The connector many has generated 3 tasks, which is greater than 2" in ears.until("FAILED").trace


def test_task_configs_that_do_not_come_fail_the_connector_with_its_stack(timed):
    ears = started(timed, "late", "Staying", deed="hang", where="task_configs")
    ears.until("RUNNING")
    asked = timed.task_configs("late", 1, LIMIT_S)
    ears.until_stuck()
    timed.pass_time(LIMIT_S)
    with pytest.raises(WorkerError, match="connector 'late' ended before it gave an answer"):
        asked.result(PATIENCE_S)
    trace = ears.until("FAILED").trace
    assert "connector late did not answer task_configs within 120 s" in trace
    assert "in task_configs" in trace


def test_a_monitor_asks_for_reconfiguration_pauses_and_comes_back(shared):
    ears = started(shared, "watching", "Watching")
    ears.until_reconfigured()
    pid = pid_of(shared, "watching")
    shared.set_target("watching", TargetState.PAUSED)
    ears.until("PAUSED")
    shared.set_target("watching", TargetState.STARTED)
    ears.wait(lambda: ears.states() == ["RUNNING", "PAUSED", "RUNNING"])
    assert pid_of(shared, "watching") == pid
    shared.stop_connector("watching").result(PATIENCE_S)


def test_a_stop_that_hangs_is_killed_at_its_deadline(timed):
    ears = started(timed, "stop-hang", deed="hang", where="stop")
    ears.until("RUNNING")
    pid = pid_of(timed, "stop-hang")
    going = timed.stop_connector("stop-hang", LIMIT_S)
    ears.until_stuck()
    assert not going.done()
    timed.pass_time(LIMIT_S)
    going.result(PATIENCE_S)
    assert not is_running(pid)
    assert ears.states() == ["RUNNING", "UNASSIGNED"]


def test_a_probe_answers_definitions_once_for_a_version_and_validates_with_the_outside(shared):
    first = shared.probe(probe("definitions"))
    assert [row["name"] for row in first.result(PATIENCE_S)] == ["topic", "deed", "where", "tasks", "path"]
    assert shared.probe(probe("definitions")) is first
    found = shared.probe(probe("report", topic="haunted")).result(PATIENCE_S)
    assert errors_in(found) == {"topic": ["that topic is haunted"]}
    wrong = shared.probe(probe("report", topic="haunted", tasks="many")).result(PATIENCE_S)
    assert errors_in(wrong) == {"tasks": ["Invalid value many for configuration tasks: Not a number of type INT"]}


def test_a_probe_that_hangs_is_killed_at_its_deadline_and_says_where_it_was(timed, caplog):
    caplog.set_level("INFO")
    asked = timed.probe(probe("report", deed="hang", where="probe"), LIMIT_S)
    wait_until(lambda: f"[probed|report] {STUCK}" in caplog.text)
    timed.pass_time(LIMIT_S)
    with pytest.raises(RemoteError, match=r"probe probed\|report did not answer within 120 s") as caught:
        asked.result(PATIENCE_S)
    assert "hosted.py" in caught.value.trace


def test_a_probe_that_crashes_says_how(shared):
    with pytest.raises(RemoteError, match="SIGSEGV"):
        shared.probe(probe("report", deed="segv", where="probe")).result(PATIENCE_S)


def test_a_task_runs_pauses_and_stops_and_a_bad_offset_fails_it(shared):
    ears, bad = Ears(), Ears()
    shared.start_task(task("tasked"), ears)
    shared.start_task(task("bad", deed="bad-offset"), bad)
    ears.until("RUNNING")
    ears.until_counted()
    assert "field n contains set" in bad.until("FAILED").trace
    shared.set_target("tasked", TargetState.PAUSED)
    ears.until("PAUSED")
    shared.set_target("tasked", TargetState.STARTED)
    ears.wait(lambda: ears.states()[-1] == "RUNNING")
    shared.stop_tasks([TaskId("tasked", 0), TaskId("bad", 0)]).result(PATIENCE_S)
    assert ears.states() == ["RUNNING", "PAUSED", "RUNNING", "UNASSIGNED"]


def test_a_boundary_of_transactions_that_there_is_not_fails_the_task_with_those_that_there_are(shared):
    ears = Ears()
    shared.start_task(task("bounded", transaction_boundary="sometimes"), ears)
    assert (
        "transaction.boundary is 'sometimes': expected one of poll, interval, connector" in ears.until("FAILED").trace
    )
    shared.stop_tasks([TaskId("bounded", 0)]).result(60)


def test_task_configs_that_raise_are_an_answer_and_a_line_of_the_log_and_the_connector_runs_on(shared, tmp_path):
    path = tmp_path / "full moon"
    path.touch()
    ears = started(shared, "moody", deed="raise-once-there", where="task_configs", path=str(path))
    ears.until("RUNNING")
    with pytest.raises(RemoteError, match="the moon is full"):
        shared.task_configs("moody", 1).result(60)
    ears.wait(lambda: "task_configs raised an error" in "".join(ears.lines()))
    path.unlink()
    assert len(shared.task_configs("moody", 1).result(60)) == 1
    assert ears.states() == ["RUNNING"]


def test_who_does_not_run_can_be_asked_for_no_task_configs(shared):
    with pytest.raises(NotFoundError, match="connector 'nobody' does not run on this worker"):
        shared.task_configs("nobody", 1).result(60)
    started(shared, "over", deed="raise").until("FAILED")
    with pytest.raises(IllegalStateError, match="connector 'over' cannot be asked: it is FAILED; restart it"):
        shared.task_configs("over", 1).result(60)


def test_a_task_that_ended_is_kept_neither_for_the_minute_of_its_silence_nor_for_that_of_its_stop(shared, monkeypatch):
    monkeypatch.setattr(runs, "LOOK_SECONDS", 3_600.0)
    ears = Ears()
    shared.start_task(task("brief"), ears)
    ears.until("RUNNING")
    shared.stop_tasks([TaskId("brief", 0)], timeout=3_600).result(PATIENCE_S)

    def gone() -> bool:
        gc.collect()
        return not [each for each in gc.get_objects() if isinstance(each, TaskRun) and "brief" in each.label]

    wait_until(gone)


def test_a_poll_that_never_returns_is_running_is_told_once_with_its_stack_and_can_be_stopped(timed, caplog):
    ears = Ears()
    timed.start_task(task("endless", deed="hang", where="poll"), ears)
    ears.until("RUNNING")
    ears.until_stuck()
    timed.pass_time(LIMIT_S)
    wait_until(lambda: "has been in one call of its plugin" in caplog.text)
    assert "hosted.py" in caplog.text
    timed.pass_time(LIMIT_S)
    assert caplog.text.count("[endless|task-0] has been in one call of its plugin") == 1
    assert ears.states() == ["RUNNING"]
    pid = pid_of(timed, "endless-0")
    going = timed.stop_tasks([TaskId("endless", 0)])
    timed.pass_time(LIMIT_S)
    going.result(PATIENCE_S)
    assert not is_running(pid)
    assert "[endless|task-0] did not stop in time and is ended" in caplog.text


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
def test_a_task_whose_process_is_stopped_is_said_while_it_is_and_when_it_goes_on(shared, caplog, monkeypatch):
    monkeypatch.setattr(standstill, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(runs, "LOOK_SECONDS", 0.2)
    caplog.set_level("INFO")
    ears = Ears()
    shared.start_task(task("standing"), ears)
    ears.until("RUNNING")
    pid = pid_of(shared, "standing-0")
    kill(pid, signal.SIGSTOP)
    said = f"[standing|task-0] does nothing: its process {pid} was stopped by a signal (SIGSTOP)"
    wait_until(lambda: said in caplog.text)
    assert ears.states() == ["RUNNING"]
    kill(pid, signal.SIGCONT)
    wait_until(lambda: "[standing|task-0] its process goes on" in caplog.text)
    assert caplog.text.count(said) == 1
    shared.stop_tasks([TaskId("standing", 0)]).result(PATIENCE_S)


def probes(worker: Worker) -> list[int]:
    return [view.pid for view in worker.describe() if view.kind == "probe"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
def test_a_connector_and_a_probe_whose_processes_are_stopped_are_said_while_they_are(shared, caplog, monkeypatch):
    monkeypatch.setattr(standstill, "LOOK_SECONDS", 0.3)
    caplog.set_level("INFO")
    ears = started(shared, "halting", "Watching")
    ears.until("RUNNING")
    pid = pid_of(shared, "halting")
    kill(pid, signal.SIGSTOP)
    said = f"[halting|worker] does nothing: its process {pid} was stopped by a signal (SIGSTOP)"
    wait_until(lambda: said in caplog.text)
    wait_until(lambda: not probes(shared))  # of others
    answer = shared.probe(probe("report", deed="hang", where="probe"))
    wait_until(lambda: any(probes(shared)))
    (asked,) = probes(shared)
    kill(asked, signal.SIGSTOP)
    wait_until(lambda: f"[probed|report] does nothing: its process {asked} was stopped by a signal" in caplog.text)
    kill(asked)
    assert answer.exception(PATIENCE_S) is not None
    kill(pid, signal.SIGCONT)
    wait_until(lambda: "[halting|worker] its process goes on" in caplog.text)
    assert caplog.text.count(said) == 1
    shared.stop_connector("halting").result(PATIENCE_S)


def test_levels_reach_running_children(shared, caplog):
    ears = started(shared, "levels", "Watching")
    ears.until("RUNNING")
    shared.set_levels({"hosted": 10})
    ears.wait(lambda: any("a murmur" in line for line in ears.lines()))
    shared.set_levels({"hosted": 0})
    shared.stop_connector("levels").result(PATIENCE_S)


@pytest.mark.parametrize("how", ["template", "spawn"])
def test_no_child_outlives_a_killed_worker(tmp_path, how):
    program = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(PLUGINS)!r})
        from watching import Ears, connector, wait_until
        from millstream.worker.worker import Worker, WorkerSetup
        worker = Worker(WorkerSetup({{}}, start={how!r}))
        worker.start()
        ears = [Ears(), Ears(), Ears()]
        worker.start_connector(connector("idle"), ears[0])
        worker.start_connector(connector("hog", deed="hog"), ears[1])
        worker.start_connector(connector("fork", deed="fork", path={str(tmp_path / "pid")!r}), ears[2])
        ears[0].until("RUNNING"); ears[2].until("RUNNING")
        ears[1].wait(lambda: any("starting in" in line for line in ears[1].lines()))
        wait_until(lambda: all(view.pid for view in worker.describe()))
        print(*[view.pid for view in worker.describe()], flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pids = [int(pid) for pid in worker.stdout.readline().split()]
        pids.append(int((tmp_path / "pid").read_text()))
        assert len(pids) >= 4
        assert all(map(is_running, pids))
        worker.kill()
    wait_until(lambda: not any(map(is_running, pids)))
