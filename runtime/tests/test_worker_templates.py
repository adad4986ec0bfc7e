"""A template's end, as those hear it who were its children or waited to be."""

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.worker import templates
from millstream.worker.interpreter import Begun, Line
from millstream.worker.loop import Loop
from millstream.worker.templates import READY_SECONDS, Preload, Template, Templates, is_from_outside

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import Turning


class Waiting:
    """A child that waits for a process; it hears of its end, and may be unable to bear it."""

    def __init__(self, heard: list[str], breaks: bool = False) -> None:
        self.on_hello = None
        self.from_outside: bool | None = None
        self._heard = heard
        self._breaks = breaks
        self._ends = socket.socketpair()

    def far_ends(self) -> tuple[socket.socket, int]:
        return self._ends[0], self._ends[1].fileno()

    def close_far_ends(self) -> None:
        for end in self._ends:
            end.close()

    def gone(self, code: int | None, reason: str = "", from_outside: bool = False, no_room: bool = False) -> None:
        self.close_far_ends()
        self._heard.append(reason)
        self.from_outside = from_outside
        if self._breaks:
            raise ValueError("an owner that cannot bear it")


class Ended:
    """A process that has ended."""

    pid = 1 << 30

    def __init__(self, code: int = 7) -> None:
        self._code = code

    def kill(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        return self._code


class Making:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def arrived(self, template: Template) -> None:
        self.heard.append("arrived")

    def ended(self, template: Template) -> None:
        self.heard.append("ended")

    def troubled(self, why: str) -> None:
        self.heard.append(why)


@pytest.fixture
def turning() -> Iterator[Turning]:
    made = Turning()
    yield made
    made.loop.close()


@pytest.fixture
def loop(turning) -> Loop:
    return turning.loop


def test_all_who_waited_hear_of_a_templates_end_whatever_one_of_them_raises(loop):
    owner, line, heard = Making(), Line(), []
    template = Template(loop, "t", Preload(()).packet((), True), owner, line)
    for number in range(5):
        template.fork(Waiting(heard, breaks=number == 2))
    with pytest.raises(ValueError, match="cannot bear it"):
        template.end()
    assert heard == ["the worker ended its template"] * 5
    assert owner.heard == ["ended"]


def test_a_request_that_cannot_go_to_its_template_fails_that_start_alone(loop, turning):
    line, heard = Line(), []
    template = Template(loop, "t", Preload(()).packet((), True), Making(), line)
    template.is_ready = True
    far = socket.socket(fileno=os.dup(line.far_ends()[0]))
    broken, well = Waiting(heard), Waiting(heard)
    broken.close_far_ends()  # its descriptors are gone: the kernel refuses the request
    template.fork(broken)
    template.fork(well)
    turning.pass_time(0)
    assert heard == [f"no process can be made for it: {os.strerror(errno.EBADF)}"]
    assert b"preload" in far.recv(1 << 17)
    assert socket.recv_fds(far, 99, 0)[0] == b'{"fork": 2}'
    template.end()
    assert len(heard) == 2
    far.close()


def test_what_ails_the_bare_template_is_said_once_for_a_cause_and_again_for_another(loop, turning, caplog, monkeypatch):
    monkeypatch.setattr(templates, "READY_SECONDS", READY_SECONDS)
    monkeypatch.setattr(templates, "begin_interpreter", lambda _: Begun(Line(), Ended()))
    made = Templates(loop, Preload((), (), ["some.Converter"]))

    def begin() -> Template:
        made.warm()
        return next(iter(made.views()))

    for _ in range(2):
        template = begin()
        turning.pass_time(READY_SECONDS)
        assert said(caplog) == ["is not ready after 20 s: it looks for plugins, and loads some.Converter"]
        template.end()
    caplog.clear()
    for _ in range(2):
        begin()._ready({"ready": {}, "threads": 2})
        assert said(caplog) == [
            "cannot serve, and who waited for it has failed: importing it starts 1 threads, which a fork does not copy"
        ]
    caplog.clear()
    begin()._finish("")
    assert said(caplog) == [
        "cannot serve, and who waited for it has failed: importing it ended the process (exit code 7)"
    ]


@pytest.mark.parametrize(
    ("code", "is_ready", "from_outside"),
    [
        (-signal.SIGKILL, True, True),
        (0, True, True),  # SIGTERM, which it takes for the worker's end
        (-signal.SIGSEGV, True, True),
        (-signal.SIGKILL, False, True),
        (-signal.SIGTERM, False, True),
        (-signal.SIGSEGV, False, False),
        (0, False, False),
        (7, False, False),
    ],
)
def test_only_an_import_is_to_blame_for_the_end_of_its_template(loop, code, is_ready, from_outside):
    assert is_from_outside(code, is_ready) is from_outside
    template = Template(loop, "", Preload(()).packet((), False), Making(), Line())
    template.process = Ended(code)
    template.is_ready = is_ready
    child = Waiting([])
    template.waiting[1] = child
    template._finish("")
    assert child.from_outside is from_outside


def test_who_waited_for_a_template_that_the_worker_ended_did_not_fail_from_outside(loop):
    template = Template(loop, "", Preload(()).packet((), False), Making(), Line())
    template.process = Ended(0)
    template.is_ready = True
    child = Waiting([])
    template.waiting[1] = child
    template.end()
    assert child.from_outside is False


def test_that_the_bare_template_cannot_begin_is_said_once_for_a_cause_and_again_for_another(loop, caplog, monkeypatch):
    causes = iter([errno.EAGAIN, errno.EAGAIN, errno.EMFILE])

    def refuse(_: object) -> None:
        number = next(causes)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(templates, "begin_interpreter", refuse)
    made = Templates(loop, Preload(()))
    for count in (1, 1, 2):
        made.warm()
        assert len(said(caplog)) == count
    assert "is started when it is needed: no process can be made for it: Too many open files" in said(caplog)[-1]


def said(caplog) -> list[str]:
    begin = "the bare template "
    return [text.removeprefix(begin) for text in map(str, caplog.messages) if text.startswith(begin)]
