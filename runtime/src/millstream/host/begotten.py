"""A template that another one forks: the worker's child all the same, by a process between that ends at once.

What goes wrong is said where it printed, and closes its control socket: then the worker makes an interpreter.
"""

import contextlib
import errno
import logging
import os
import signal
import socket
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from millstream.host import output
from millstream.host.orphan import adopt, die_with_parent


class Body(Protocol):
    """Being a template."""

    def __call__(self, control: socket.socket, worker: int, hello: dict[str, int], /) -> NoReturn: ...


def beget(descriptors: Sequence[int], leave: Callable[[], None], worker: int, body: Body) -> None:
    """Fork one, from this template.

    descriptors: its control socket and its output; closed here.   leave: makes what is forked no template any more.
    It goes on when the process between has ended, and the kernel has given it to the worker.
    """
    try:
        if len(descriptors) != 2:  # the kernel gives what this process has numbers left for
            raise OSError(errno.EMFILE, f"{len(descriptors)} of its 2 descriptors could be received")
        may_go, go = os.pipe()
    except OSError as error:
        _complain(f"no template can be forked here: {error}")
        _close(descriptors)
        return
    adopt(False)  # what `between` leaves is the worker's
    try:
        between = os.fork()
    except OSError as error:
        _complain(f"no template can be forked here: {error}")
        between = -1
    if between == 0:
        try:
            leave()
            if os.fork() == 0:
                os.close(go)
                _be_begotten(may_go, descriptors, worker, body)
        except BaseException:  # noqa: BLE001 - the last line of a process: it is said, and it ends
            _complain(traceback.format_exc())
        finally:
            os._exit(0)
    if between > 0:
        os.waitpid(between, 0)
    adopt(True)
    _close([*descriptors, may_go])
    if between > 0:
        with contextlib.suppress(BrokenPipeError):
            os.write(go, b"\0")
    os.close(go)


def _be_begotten(may_go: int, descriptors: Sequence[int], worker: int, body: Body) -> NoReturn:
    """Be a template, with a control socket and an output of its own, once this process is the worker's child."""
    os.setsid()
    control, printed = descriptors
    for stream in (1, 2):  # from here on what goes wrong is said as this template's
        os.dup2(printed, stream)
    os.close(printed)
    if not os.read(may_go, 1):
        _complain("the template that forked this one has ended")
        os._exit(0)
    os.close(may_go)
    if os.getppid() != worker:
        _complain(f"the kernel has made it the child of process {os.getppid()}, not of its worker {worker}")
    die_with_parent(signal.SIGKILL, worker)
    body(socket.socket(fileno=control), worker, {"here": os.getpid()})


def _complain(text: str) -> None:
    """Say it in the worker's log."""
    with contextlib.suppress(OSError):  # nobody reads there any more
        os.write(2, output.marked(logging.WARNING, __name__, text))


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
