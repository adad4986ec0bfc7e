"""What a template is asked: in order, without waiting for it, and what becomes of what cannot go."""

import errno
import json
import os
import socket
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from millstream.worker.outbox import AGAIN_SECONDS, SHORT_SECONDS, Outbox

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import Turning

MANY = 2_000


class Short:
    """A kernel that has no room for descriptors, for so many attempts."""

    def __init__(self, attempts: int, number: int = errno.ETOOMANYREFS) -> None:
        self.attempts = attempts
        self.number = number
        self.sent: list[tuple[Any, list[int]]] = []

    def sendmsg(self, buffers: Sequence[bytes], carried: Sequence[tuple[int, int, array]], flags: int) -> int:
        if self.attempts:
            self.attempts -= 1
            raise OSError(self.number, os.strerror(self.number))
        self.sent.append((json.loads(buffers[0]), [each for _, _, held in carried for each in held]))
        return 1


@pytest.fixture
def turning() -> Iterator[Turning]:
    made = Turning()
    yield made
    made.loop.close()


def test_a_template_that_reads_nothing_holds_nobody_up_and_hears_all_in_order_later(turning):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far.setblocking(False)
    held = os.open(os.devnull, os.O_RDONLY)
    sent: list[int] = []
    outbox = Outbox(turning.loop, near, "t")
    for number in range(MANY):
        outbox.put({"fork": number}, lambda: (held,), lambda number=number: sent.append(number))
    assert 0 < len(sent) < MANY, "the kernel holds them all: it is to be more"
    heard = []
    while len(heard) < MANY:
        try:
            packet, descriptors, _, _ = socket.recv_fds(far, 1 << 12, 2)
        except BlockingIOError:
            turning.pass_time(AGAIN_SECONDS)
            continue
        heard.append(json.loads(packet)["fork"])
        assert len(descriptors) == 1
        os.close(descriptors[0])
    assert heard == sent == list(range(MANY))
    for each in (near, far):
        each.close()
    os.close(held)


@pytest.mark.parametrize("number", [errno.ETOOMANYREFS, errno.ENOBUFS])
def test_what_the_kernel_has_no_room_for_is_tried_again_and_said_once(turning, caplog, number):
    control = Short(10, number)
    outbox = Outbox(turning.loop, control, "t")
    sent: list[str] = []
    outbox.put({"fork": 1}, lambda: (5, 6), lambda: sent.append("first"))
    outbox.put({"signal": 2})
    assert control.sent == []
    turning.pass_time(10 * AGAIN_SECONDS)
    assert control.sent == [({"signal": 2}, []), ({"fork": 1}, [5, 6])]
    assert sent == ["first"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"template t cannot be asked for a process now: {os.strerror(number)}" in caplog.text


def test_what_there_is_no_room_for_in_time_is_refused_all_at_once_and_who_comes_later_has_his_own_time(turning):
    control = Short(10_000)
    outbox = Outbox(turning.loop, control, "t")
    refused: list[tuple[str, int | None]] = []

    def put(name: str) -> None:
        outbox.put({}, lambda: (5,), refused=lambda error: refused.append((name, error.errno)))

    put("first")
    put("second")
    turning.pass_time(SHORT_SECONDS - 1)
    assert refused == []
    turning.pass_time(2)
    assert refused == [("first", errno.ETOOMANYREFS), ("second", errno.ETOOMANYREFS)]
    put("third")
    turning.pass_time(SHORT_SECONDS - 1)
    assert len(refused) == 2
    turning.pass_time(2)
    assert refused[2:] == [("third", errno.ETOOMANYREFS)]


def test_a_signal_does_not_wait_for_descriptors_and_gives_them_no_more_time(turning):
    class NoRoomForDescriptors(Short):
        def sendmsg(self, buffers: Sequence[bytes], carried: Sequence[tuple[int, int, array]], flags: int) -> int:
            self.attempts = len(carried)
            return super().sendmsg(buffers, carried, flags)

    control = NoRoomForDescriptors(0)
    outbox = Outbox(turning.loop, control, "t")
    refused: list[int | None] = []
    outbox.put({"fork": 1}, lambda: (5, 6), refused=lambda error: refused.append(error.errno))
    turning.pass_time(SHORT_SECONDS - 1)
    outbox.put({"signal": 2})
    outbox.put({"signal": 3})
    assert control.sent == [({"signal": 2}, []), ({"signal": 3}, [])]
    turning.pass_time(2)
    assert refused == [errno.ETOOMANYREFS]


def test_a_signal_is_tried_until_it_goes_and_said_again_and_starts_beside_it_are_refused_in_their_time(turning, caplog):
    control = Short(10_000, errno.ENOMEM)
    outbox = Outbox(turning.loop, control, "t")
    refused: list[int | None] = []
    outbox.put({"signal": 9})
    outbox.put({"fork": 1}, lambda: (5, 6), refused=lambda error: refused.append(error.errno))
    turning.pass_time(SHORT_SECONDS - 1)
    assert refused == []
    turning.pass_time(2)
    assert refused == [errno.ENOMEM]
    turning.pass_time(2 * SHORT_SECONDS)
    outbox.put({"fork": 2}, lambda: (5, 6), refused=lambda error: refused.append(error.errno))
    control.attempts = 0
    turning.pass_time(AGAIN_SECONDS)
    assert control.sent == [({"signal": 9}, []), ({"fork": 2}, [5, 6])]
    assert refused == [errno.ENOMEM]
    said = [record.levelname for record in caplog.records]
    assert said == ["WARNING", "ERROR", "ERROR", "ERROR"]
    assert "template t cannot be told anything now: Cannot allocate memory; it is tried again" in caplog.text
    assert (
        "t still cannot be told anything: Cannot allocate memory; it is tried again, and processes that" in caplog.text
    )


def test_what_can_never_go_is_refused_at_once_and_the_others_go(turning):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    outbox = Outbox(turning.loop, near, "t")
    refused: list[int | None] = []
    outbox.put({"fork": 1}, lambda: (-1,), refused=lambda error: refused.append(error.errno))
    outbox.put({"fork": 2})
    turning.pass_time(0)
    assert refused == [errno.EBADF]
    assert json.loads(far.recv(99)) == {"fork": 2}
    near.close()
    far.close()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EPIPE])
def test_who_waits_for_a_template_that_goes_is_let_go_of_its_descriptors(turning, number):
    control, done = Short(10_000, number), []
    outbox = Outbox(turning.loop, control, "t")
    for each in range(3):
        outbox.put({"template": True}, lambda: (5, 6), lambda each=each: done.append(each))
    outbox.close()
    assert done == [0, 1, 2]


def test_a_template_that_is_gone_is_told_nothing_and_its_end_is_left_to_others(turning, caplog):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far.close()
    outbox = Outbox(turning.loop, near, "t")
    refused: list[OSError] = []
    done: list[int] = []
    outbox.put({"fork": 1}, done=lambda: done.append(1), refused=refused.append)
    turning.pass_time(1)
    near.close()
    outbox.close()
    outbox.put({"fork": 2}, done=lambda: done.append(2), refused=refused.append)
    turning.pass_time(1)
    assert (refused, done) == ([], [1, 2])
    assert caplog.text == ""


def test_what_nobody_waits_for_and_can_never_go_is_said_without_what_it_holds(turning, caplog):
    outbox = Outbox(turning.loop, Short(1, errno.EBADF), "t")
    outbox.put({"signal": 2})
    turning.pass_time(0)
    assert [record.getMessage() for record in caplog.records] == [
        "template t could not be told of signal: [Errno 9] Bad file descriptor"
    ]
