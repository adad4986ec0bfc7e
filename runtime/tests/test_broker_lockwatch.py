"""A lock that another process holds, and what is said while it is waited for."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import task_bench

from millstream.broker.embedded import lockwatch
from millstream.broker.embedded.locks import FileLock

HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


Threads = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Threads]:
    """The watches of this test, which have soon something to say. Closing a lock asks its thread to end."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(lockwatch, "LONG_SECONDS", 0.2)
    monkeypatch.setattr(lockwatch, "LOOK_SECONDS", 0.02)
    before = set(threading.enumerate())

    def own() -> list[str]:
        return [one.name for one in threading.enumerate() if one.name == "lock-watch" and one not in before]

    yield own
    task_bench.eventually(lambda: own() == [])


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    held: list[subprocess.Popen[str]] = []

    def hold() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        held.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in held:
        process.kill()
        process.communicate()


def wait_until_free(path: Path, holder: "subprocess.Popen[str]", told: Callable[[], bool]) -> None:
    """Wait for a lock, and have its holder go once that is told."""
    lock = FileLock(str(path))
    waiting = threading.Thread(target=lock.acquire)
    waiting.start()
    task_bench.eventually(told)
    holder.communicate("")
    waiting.join(task_bench.SECONDS)
    assert not waiting.is_alive()
    lock.close()


def test_a_holder_that_is_stopped_is_named_once_while_its_lock_is_waited_for(
    tmp_path: Path, holding: Callable[[], "subprocess.Popen[str]"], caplog: pytest.LogCaptureFixture
) -> None:
    process = holding()
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)  # it is stopped
    lock = FileLock(str(tmp_path / "lock"))
    waiting = threading.Thread(target=lock.acquire)
    waiting.start()
    task_bench.eventually(lambda: "Nothing is written to the log here since" in caplog.text)
    assert f"{tmp_path / 'lock'}: pid {process.pid}, which is stopped; continue it (kill -CONT {process.pid})" in (
        caplog.text
    )
    waiting.join(0.2)
    assert waiting.is_alive()
    process.kill()
    waiting.join(task_bench.SECONDS)
    assert not waiting.is_alive()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "is free again after" in caplog.text
    lock.close()


def test_a_holder_that_runs_is_named_too(
    tmp_path: Path, holding: Callable[[], "subprocess.Popen[str]"], caplog: pytest.LogCaptureFixture
) -> None:
    process = holding()
    wait_until_free(tmp_path / "lock", process, lambda: f"pid {process.pid}; see what it does" in caplog.text)


def test_where_the_system_does_not_tell_the_holder_the_line_says_how_to_find_it(
    tmp_path: Path,
    holding: Callable[[], "subprocess.Popen[str]"],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lockwatch, "flock_holder", lambda inode: None)
    path = tmp_path / "lock"
    wait_until_free(path, holding(), lambda: f"`lsof {path}` names it; continue it if it is stopped" in caplog.text)


def test_short_waits_say_nothing_and_their_thread_ends(
    tmp_path: Path, threads: Threads, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockwatch, "LONG_SECONDS", 60.0)
    monkeypatch.setattr(lockwatch, "QUIET_LOOKS", 5)
    one, other = (FileLock(str(tmp_path / "lock")) for _ in range(2))
    assert threads() == []
    for _ in range(20):
        one.acquire()
        waiting = threading.Thread(target=other.acquire)
        waiting.start()
        task_bench.eventually(threads)
        one.release()
        waiting.join(task_bench.SECONDS)
        other.release()
    task_bench.eventually(lambda: threads() == [])
    assert caplog.records == []
    one.close()
    other.close()


def test_a_free_lock_starts_no_thread(tmp_path: Path, threads: Threads) -> None:
    lock = FileLock(str(tmp_path / "lock"))
    lock.acquire()
    lock.release()
    assert threads() == []
    lock.close()
