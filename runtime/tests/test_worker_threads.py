"""The same children as threads of the worker, and what the loop and the channel's end do under pressure."""

import logging
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from millstream.errors import RemoteError
from millstream.host.channel import PluginTarget, RunTask, SetLevels, encode
from millstream.identity import TargetState, TaskId
from millstream.worker import parent_end, templates
from millstream.worker.children import Child
from millstream.worker.loop import Loop
from millstream.worker.parent_end import ParentEnd
from millstream.worker.templates import Preload, Templates
from millstream.worker.worker import Worker, WorkerSetup

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

import hosted
from watching import PATIENCE_S, Ears, Forward, Timed, connector, errors_in, is_running, kill, probe, task, wait_until

STRINGS = "org.apache.kafka.connect.storage.StringConverter"
START_S = 120


@pytest.fixture
def threaded(tmp_path):
    settings = {"bootstrap.servers": f"sqlite:{tmp_path}/log.db", "key.converter": STRINGS, "value.converter": STRINGS}
    running = Timed(WorkerSetup(settings, isolation="thread", connector_start_ms=START_S * 1000, graceful_ms=30_000))
    running.start()
    yield running
    running.close()


def test_a_task_runs_pauses_and_stops_in_a_thread(threaded):
    ears = Ears()
    threaded.start_task(task("tasked"), ears)
    ears.until("RUNNING")
    ears.until_counted()
    threaded.set_target("tasked", TargetState.PAUSED)
    ears.until("PAUSED")
    threaded.stop_tasks([TaskId("tasked", 0)]).result(PATIENCE_S)
    assert ears.states() == ["RUNNING", "PAUSED", "UNASSIGNED"]


def test_an_error_fails_the_thread_that_raised_it_and_system_exit_ends_nothing_else(threaded):
    for deed, told in (("raise", "the moon is full"), ("system-exit", "SystemExit: 3"), ("unspeakable", "Unspeakable")):
        ears = Ears()
        threaded.start_connector(connector(deed, deed=deed), ears)
        assert told in ears.until("FAILED").trace
    found = threaded.probe(probe("report", topic="haunted")).result(PATIENCE_S)
    assert errors_in(found) == {"topic": ["that topic is haunted"]}
    with pytest.raises(RemoteError, match="a probe has no answer to 'weather'"):
        threaded.probe(probe("weather")).result(PATIENCE_S)


def test_a_stored_sink_with_a_dead_letter_queue_fails_before_it_reads(threaded):
    sink = PluginTarget("millstream_file.sink:FileStreamSink", kind="sink", distribution="millstream-file")
    settings = {"topics": "lines", "file": "/dev/null", "errors.deadletterqueue.topic.name": "dead"}
    ears = Ears()
    threaded.start_task(RunTask("stored", 0, sink, settings, settings), ears)
    trace = ears.until("FAILED").trace
    assert "errors.deadletterqueue.topic.name asks for a dead letter queue, which is not built yet" in trace


def test_a_resting_connector_gives_task_configs_again_and_again_in_threads(threaded):
    threaded.start_connector(connector("resting", "Resting", tasks="2"), Ears())
    for _ in range(3):
        assert len(threaded.task_configs("resting", 2).result(PATIENCE_S)) == 2


def test_a_thread_that_hangs_is_failed_with_its_stack_abandoned_and_shown(threaded, caplog):
    ears = Ears()
    gate = hosted.GATES["hanging"] = hosted.Gate()
    threaded.start_connector(connector("hanging", deed="gate", path="hanging"), ears)
    wait_until(lambda: bool(gate.come))
    threaded.pass_time(START_S)
    trace = ears.until("FAILED").trace
    assert "hanging did not return from start within connector.start.timeout.ms=120000" in trace
    assert "hosted.py" in trace
    wait_until(lambda: any(view.abandoned for view in threaded.describe()))
    wait_until(lambda: "a thread cannot be killed: it is abandoned" in caplog.text)
    gate.set()


def test_what_a_thread_logs_says_whose_it_is(threaded, caplog):
    caplog.set_level(logging.INFO)
    ears = Ears()
    threaded.start_connector(connector("bad-stop", deed="raise", where="stop"), ears)
    ears.until("RUNNING")
    threaded.set_target("bad-stop", TargetState.STOPPED)
    ears.until("STOPPED")
    wait_until(lambda: "[bad-stop|worker] the connector's stop raised an error" in caplog.text)


def test_a_child_that_does_not_read_is_given_up(monkeypatch):
    monkeypatch.setattr(parent_end, "UNREAD_SECONDS", 0.1)
    loop, reasons, given = Loop(), [], threading.Event()
    near, far = socket.socketpair()
    loop.start("test loop")
    ends = []

    def give_up(reason: str) -> None:
        reasons.append(reason)
        given.set()

    def flood() -> None:
        end = ParentEnd(loop, near, lambda line: None, give_up)
        ends.append(end)
        end.send(encode(SetLevels({"x" * 2_000_000: 1})))

    loop.post(flood)
    assert given.wait(PATIENCE_S)
    assert reasons[0].startswith("it did not read its channel: ")
    loop.post(ends[0].close)
    loop.close()
    far.close()


def test_what_fails_on_the_loop_is_logged_and_the_loop_goes_on(caplog):
    loop, fired = Loop(), threading.Event()
    loop.start("test loop")
    loop.post(lambda: 1 / 0)
    loop.post(lambda: loop.after(0.01, fired.set) and None)
    assert fired.wait(PATIENCE_S)
    loop.close()
    assert "ZeroDivisionError" in caplog.text
    loop.post(lambda: 1 / 0)  # nothing happens any more


def test_a_template_goes_when_its_last_child_has_been_gone_for_a_while():
    worker = Timed(WorkerSetup({}))
    worker.start()
    try:
        ears = Ears()
        worker.start_connector(connector("short"), ears)
        ears.until("RUNNING")
        pids = [view.pid for view in worker.describe() if view.kind == "template"]
        worker.pass_time(templates.IDLE_SECONDS)
        assert {view.name for view in worker.describe() if view.kind == "template"} >= {"hosted"}
        worker.stop_connector("short").result(PATIENCE_S)
        worker.pass_time(templates.IDLE_SECONDS)
        wait_until(lambda: not any(map(is_running, pids)))
        wait_until(lambda: not [view for view in worker.describe() if view.kind == "template"])
        again = Ears()
        worker.start_connector(connector("again"), again)
        again.until("RUNNING")
    finally:
        worker.close()


def test_a_template_that_died_while_it_rested_is_not_ended_again_when_its_rest_is_over():
    """By then the numbers of its descriptors are those of somebody else."""
    clock = Forward()
    loop, later = Loop(clock), threading.Event()
    loop.start("test loop")
    made = Templates(loop, Preload(()))
    try:
        loop.post(made.warm)
        wait_until(lambda: bool(made.views()) and made.views()[0].is_ready)
        kill(made.views()[0].process.pid)
        wait_until(lambda: not made.views())
        others = [os.dup(0) for _ in range(16)]
        clock.put_forward(templates.IDLE_SECONDS)
        loop.post(lambda: loop.post(later.set))  # in the next turn, behind what is due
        assert later.wait(PATIENCE_S)
        for descriptor in others:
            os.close(descriptor)  # raises for one that is closed already
    finally:
        loop.post(made.close)
        loop.close()


def test_the_end_of_a_child_is_told_though_its_last_words_could_not_be_dealt_with():
    ended = []

    class Owner:
        def heard(self, message):
            raise RuntimeError("not dealt with")

        def logged(self, line):
            pass

        def ended(self, ending):
            ended.append(ending.sentence())

    loop = Loop()
    child = Child(loop, connector("last"), Owner())
    child.far_ends()[0].sendall(encode(SetLevels({})))
    with pytest.raises(RuntimeError, match="not dealt with"):
        child.gone(3)
    assert ended == ["the process ended itself with exit code 3"]
    assert child.is_gone
    loop.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_children_are_sessions_of_their_own_and_leave_no_descriptor_behind():
    worker = Worker(WorkerSetup({}))
    worker.start()
    try:
        kept: list[int] = []
        for number in range(5):
            ears = Ears()
            worker.start_connector(connector(f"c{number}"), ears)
            ears.until("RUNNING")
            pid = next(view.pid for view in worker.describe() if view.name == f"c{number}")
            assert os.getsid(pid) == pid
            worker.stop_connector(f"c{number}").result(PATIENCE_S)
            kept = kept or [descriptors()]  # the template stays: a socket and a pipe
            wait_until(lambda most=kept[0]: descriptors() <= most)
    finally:
        worker.close()
