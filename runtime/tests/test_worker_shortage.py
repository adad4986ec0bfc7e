"""A machine that has no descriptor or no process left: what asked for one fails with a sentence, and can be stopped."""

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millstream.errors import RemoteError
from millstream.identity import TaskId
from millstream.worker import shortage
from millstream.worker.worker import Worker, WorkerSetup

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))

from watching import PATIENCE_S, Ears, connector, kill, probe, task, wait_until  # noqa: E402

WAYS = {"template": {"start": "template"}, "spawn": {"start": "spawn"}, "thread": {"isolation": "thread"}}


@pytest.fixture(params=WAYS)
def worker(request, tmp_path) -> Iterator[Worker]:
    settings = {"bootstrap.servers": f"sqlite:{tmp_path}/log.db"}
    for role in ("key", "value"):
        settings[f"{role}.converter"] = "org.apache.kafka.connect.storage.StringConverter"
    running = Worker(WorkerSetup(settings, graceful_ms=1_000, **WAYS[request.param]))
    running.start()
    running.stop_tasks([]).result(PATIENCE_S)  # what it starts at once is started
    yield running
    running.close()


def descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}


@contextmanager
def free_descriptors(count: int) -> Iterator[None]:
    """Leave this process `count` descriptors: its limit is set below what it holds, where the gaps are few."""
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = sorted(descriptors())
    free = [number for number in range(held[-1] + count + 2) if number not in held]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, former)


@pytest.mark.parametrize("free", range(9))
def test_a_task_for_which_no_descriptor_is_left_fails_with_the_limit_and_the_remedy(worker, free):
    before = len(descriptors())
    ears = Ears()
    with free_descriptors(free):
        worker.start_task(task("short"), ears)
        ears.wait(lambda: bool(set(ears.states()) & {"FAILED", "RUNNING"}))
        if free < 2:  # with more, the child itself may lack what it needs, or come to life
            trace = ears.until("FAILED").trace
            assert "task short-0: no " in trace
            assert "can be made for it: Too many open files; the worker may have " in trace
            assert "(`ulimit -n`), and a child takes three: raise it, or run fewer" in trace
        worker.stop_tasks([TaskId("short", 0)]).result(PATIENCE_S)
    again = Ears()
    worker.start_task(task("short"), again)
    again.until("RUNNING")
    worker.stop_tasks([TaskId("short", 0)]).result(PATIENCE_S)
    wait_until(lambda: len(descriptors()) <= before + 4)  # the template of the plugin stays: a socket, a pipe


@pytest.mark.parametrize("free", [0, 1, 2, 3])
def test_a_connector_and_a_probe_for_which_no_descriptor_is_left_are_told_so_at_once(worker, free):
    ears = Ears()
    with free_descriptors(free):
        worker.start_connector(connector("short"), ears)
        answer = worker.probe(probe("definitions"))
        if free < 2:
            assert "connector short: no channel can be made for it: Too many open files" in ears.until("FAILED").trace
            with pytest.raises(
                RemoteError, match=r"probe probed\|definitions: no channel can be made for it: Too many"
            ):
                answer.result(PATIENCE_S)
        else:
            answer.exception(PATIENCE_S)
            ears.wait(lambda: bool(ears.states()))
        worker.stop_connector("short").result(PATIENCE_S)
    assert worker.probe(probe("definitions")).result(PATIENCE_S)
    again = Ears()
    worker.start_connector(connector("short"), again)
    again.until("RUNNING")


def refusing(number: int):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("worker", ["template", "spawn"], indirect=True)
@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EAGAIN, "(`ulimit -u`) or of this container (`pids.max`)"), (errno.ENOMEM, "no memory left for one")],
)
def test_a_task_for_which_no_process_is_left_fails_with_the_limit_and_the_remedy(worker, monkeypatch, number, remedy):
    before = len(descriptors())
    ears = Ears()
    for view in worker.describe():  # the bare one: the plugin's would be forked from it
        kill(view.pid)
    wait_until(lambda: not worker.describe())
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refusing(number))
        worker.start_task(task("short"), ears)
        failed = ears.until("FAILED")
        trace = failed.trace
        assert failed.no_room
        assert f"task short-0: no process can be made for it: {os.strerror(number)}; " in trace
        assert remedy in trace
    worker.stop_tasks([TaskId("short", 0)]).result(PATIENCE_S)
    wait_until(lambda: len(descriptors()) <= before)
    again = Ears()
    worker.start_task(task("short"), again)
    again.until("RUNNING")


@pytest.mark.parametrize("worker", ["thread"], indirect=True)
def test_a_task_for_which_no_thread_is_left_fails_with_the_limit_and_the_remedy(worker, monkeypatch):
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    ears = Ears()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        worker.start_task(task("short"), ears)
        failed = ears.until("FAILED")
        assert "no thread can be made for it: Resource temporarily unavailable" in failed.trace
        assert failed.no_room
    worker.stop_tasks([TaskId("short", 0)]).result(PATIENCE_S)


def test_what_a_template_could_not_fork_is_told_as_what_the_worker_could_not_start():
    assert shortage.shortage("process", OSError(errno.ENFILE, "")).endswith("(`fs.file-max`): raise it")
    assert shortage.shortage("process", OSError("odd")) == "no process can be made for it: odd"
