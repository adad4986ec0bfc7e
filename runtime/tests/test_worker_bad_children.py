"""Children that say what nobody understands, say too much, end in the middle, or do not end; and what they leave."""

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from selectors import EVENT_READ

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.host.channel import Hello, LogLine, Message, encode
from millstream.host.output import FIELD, MARK, marked, unmarked
from millstream.worker import children, outbox
from millstream.worker.children import Child, Ending
from millstream.worker.parent_end import ParentEnd
from millstream.worker.worker import Worker, WorkerSetup

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))

from watching import PATIENCE_S, Ears, Turning, connector, is_running, kill, wait_until  # noqa: E402

FAILED_STARTS = 50


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Worker]:
    log = tmp_path_factory.mktemp("log") / "log.db"
    running = Worker(WorkerSetup({"bootstrap.servers": f"sqlite:{log}"}, connector_start_ms=120_000, graceful_ms=2_000))
    running.start()
    yield running
    running.close()


def started(worker: Worker, name: str, /, **settings: str) -> Ears:
    ears = Ears()
    worker.start_connector(connector(name, **settings), ears)
    return ears


def pid_of(worker: Worker, name: str, kind: str = "connector") -> int:
    return next((view.pid for view in worker.describe() if (view.kind, view.name) == (kind, name)), 0)


def descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"what is this?\n" * 1_000, "b'what is this?' is no message of the channel"),
        (b"[" * 200_000 + b"\n", "is no message of the channel"),
        (b'{"is":[]}\n', "is no message of the channel"),
        (b'{"is":"StateChanged","state":["RUNNING"]}\n', "the message StateChanged has state=['RUNNING']"),
        (b"x" * (65 << 20), "a line of the channel is longer than 67108864 bytes"),
    ],
)
def test_a_child_that_says_what_nobody_understands_is_ended_and_failed_with_what_it_said(
    shared, tmp_path, caplog, said, told
):
    path = tmp_path / "said"
    path.write_bytes(said)
    ears = started(shared, "babbling", deed="babble", path=str(path))
    trace = ears.until("FAILED").trace
    assert told in trace
    assert "starting in" in trace
    assert sum("the child is ended" in text for text in caplog.messages) <= 1
    started(shared, "beside").until("RUNNING")
    shared.stop_connector("beside").result(PATIENCE_S)


def test_a_child_that_ends_in_the_middle_of_a_message_is_failed_by_how_it_ended(shared):
    assert "ended itself with exit code 7" in started(shared, "cut", deed="cut").until("FAILED").trace


def test_a_child_that_tells_without_end_does_not_hold_up_the_others_and_can_be_stopped(shared, tmp_path):
    path = tmp_path / "said"
    path.write_bytes((b'{"is":"Sing","song":"' + b"la" * 5_000 + b'"}\n') * 10)
    started(shared, "singing", deed="babble-on", path=str(path))
    wait_until(lambda: pid_of(shared, "singing") > 0)
    pid = pid_of(shared, "singing")
    started(shared, "beside").until("RUNNING")
    shared.stop_connector("beside").result(PATIENCE_S)
    shared.stop_connector("singing", 0.1).result(PATIENCE_S)
    assert not is_running(pid)


def test_what_a_child_left_behind_may_print_without_end_and_its_end_is_told(shared):
    ears = started(shared, "flooding", deed="leave-a-flood")
    assert "ended itself with exit code 7" in ears.until("FAILED").trace
    started(shared, "beside").until("RUNNING")
    shared.stop_connector("beside").result(PATIENCE_S)


def test_a_child_that_is_stopped_by_a_signal_is_ended_when_its_time_to_stop_is_over(shared):
    ears = started(shared, "halted")
    ears.until("RUNNING")
    pid = pid_of(shared, "halted")
    kill(pid, signal.SIGSTOP)
    shared.stop_connector("halted", 0.2).result(PATIENCE_S)  # its stack is waited for, two seconds
    assert not is_running(pid)
    assert ears.states() == ["RUNNING", "UNASSIGNED"]


def test_a_child_that_is_to_be_killed_while_the_kernel_has_no_room_for_the_order_is_killed_once_it_has(
    shared, monkeypatch, caplog
):
    monkeypatch.setattr(outbox, "SHORT_SECONDS", 0.3)
    ears = started(shared, "halted-long")
    ears.until("RUNNING")
    pid = pid_of(shared, "halted-long")
    kill(pid, signal.SIGSTOP)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with monkeypatch.context() as patch:
        patch.setattr(outbox.Outbox, "_send", no_room)
        stopped = shared.stop_connector("halted-long", 0.1)
        wait_until(lambda: "template hosted still cannot be told anything: Cannot allocate" in caplog.text)
        assert is_running(pid)
        assert not stopped.done(), "it is said to be stopped, and goes on"
    stopped.result(PATIENCE_S)
    wait_until(lambda: not is_running(pid))
    assert ears.states() == ["RUNNING", "UNASSIGNED"]


@pytest.mark.parametrize("deed", ["raise", "exit", "segv", "cut"])
def test_starts_that_fail_leave_no_descriptor_behind(shared, deed):
    started(shared, "first").until("RUNNING")
    template, own = pid_of(shared, "hosted", "template"), os.getpid()
    started(shared, "one", deed=deed).until("FAILED")
    wait_until(lambda: pid_of(shared, "one") == 0)
    before = descriptors_of(template), descriptors_of(own)
    for number in range(FAILED_STARTS):
        started(shared, f"failed-{number}", deed=deed).until("FAILED")
    wait_until(lambda: descriptors_of(own) <= before[1])
    wait_until(lambda: descriptors_of(template) <= before[0] + 1)  # the line of one ahead of the next
    shared.stop_connector("first").result(PATIENCE_S)


class Endless:
    """A channel on which somebody says something whenever it is read."""

    LINE = b'{"is":"Sing","song":"la"}\n'

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.reads = 0

    def fileno(self) -> int:
        return self.near.fileno()

    def setblocking(self, blocking: bool) -> None:
        self.near.setblocking(blocking)

    def recv_into(self, buffer: memoryview) -> int:
        self.reads += 1
        assert self.reads < 10_000, "it is read for ever"
        buffer[: len(self.LINE)] = self.LINE
        return len(self.LINE)

    def close(self) -> None:
        self.near.close()
        self.far.close()


def test_a_channel_on_which_more_and_more_is_said_is_read_once_a_turn_and_not_for_ever_at_the_end():
    turning, stream, heard = Turning(), Endless(), []
    end = ParentEnd(turning.loop, stream, heard.append, pytest.fail)
    end._ready(EVENT_READ)
    assert (stream.reads, len(heard)) == (1, 1)
    end.read_rest()
    assert stream.reads == len(heard) < 100
    end.close()
    turning.loop.close()


class Owner:
    def __init__(self) -> None:
        self.endings: list[Ending] = []

    def heard(self, message: Message) -> None:
        pass

    def logged(self, line: LogLine) -> None:
        pass

    def ended(self, ending: Ending) -> None:
        self.endings.append(ending)


class Deaf:
    """A process that takes every signal."""

    pid = 7

    def signal(self, number: int) -> None:
        pass

    def stack(self) -> None:
        return None


def test_the_end_of_a_child_is_told_while_what_it_left_prints_and_prints(monkeypatch):
    turning, owner, reads = Turning(), Owner(), []
    child, read = Child(turning.loop, connector("flooding"), owner), os.read

    def endless(descriptor: int, size: int) -> bytes:
        if descriptor != child._reading:  # the other worker's thread reads, too
            return read(descriptor, size)
        reads.append(size)
        assert len(reads) < 10_000, "it is read for ever"
        return b"y\n" * 2_000

    monkeypatch.setattr(children.os, "read", endless)
    child.gone(7)
    monkeypatch.undo()
    assert [ending.code for ending in owner.endings] == [7]
    assert len(reads) * 4_000 < 2 * children.FLOOD_PIPE
    turning.loop.close()


def test_a_stack_that_comes_in_pieces_with_pauses_between_them_is_told_whole():
    turning, told = Turning(), []
    child = Child(turning.loop, connector("hanging"), Owner())
    child.carried_by(Deaf())
    child._on_line(encode(Hello(7, thread=1)))
    child.stack(told.append)
    pieces = [
        'Thread 0x02 (most recent call first):\n  File "/x/millstream/host/channel.py", line 3 in listen\n',
        "Current thread 0x01 (most recent call first):\n",
        '  File "/y/mine.py", line 1 in fetch\n',
        '  File "/y/mine.py", line 2 in start\n  File "/x/millstream/host/connector.py", line 2 in run\n',
    ]
    for piece in pieces:
        assert told == []
        child.output.feed(piece.encode())
        turning.pass_time(3 * children.STACK_LOOK_SECONDS)
    assert [line.strip() for line in told[0].splitlines()[1:]] == [
        'at File "/y/mine.py", line 1 in fetch',
        'at File "/y/mine.py", line 2 in start',
    ]
    child.gone(0)
    turning.loop.close()


@given(st.text())
def test_whatever_a_child_prints_is_a_line(text):
    unmarked(MARK + text)
    unmarked(MARK + text + FIELD + "logger" + FIELD + text)


@pytest.mark.parametrize("level", ["²", "9" * 5000, "-1", "1000"])
def test_what_is_no_level_is_no_entry_of_the_log(level):
    assert unmarked(f"{MARK}{level}{FIELD}logger{FIELD}text") is None
    assert unmarked(marked(30, "logger", "text").decode().rstrip("\n")) == (30, "logger", "text")
