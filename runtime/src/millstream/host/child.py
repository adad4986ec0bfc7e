"""A process of its own for one task, connector or probe: what has to be set up before plugin code may run.

Its descriptors: 0 is /dev/null, 1 and 2 are the pipe to the worker, a private copy of that pipe serves the log and
faulthandler whatever a plugin does to 1 and 2.
"""

import contextlib
import faulthandler
import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import threading
from typing import NoReturn

from millstream.errors import trace_of
from millstream.host import main, output
from millstream.host.channel import ChildEnd
from millstream.host.masking import Veil
from millstream.host.orphan import die_with_parent, die_with_pipe, end_group

#: objects made and not yet gone before the collector looks for cycles. Python's 700 are fewer than one poll's messages,
#: each of which it looked at once: 0.15 us of the 1.2 that a record cost
YOUNG_OBJECTS = 20_000
DEAF_CODE = 71
OOM_SCORE = 300  # when memory is short the kernel is to take a child before the worker


def run(channel: int, out: int, prepared: "Prepared | None" = None) -> NoReturn:
    """Serve the worker over the descriptor `channel`, with output to `out`; the process ends here.

    `os._exit` and not a return: threads that a plugin left behind, daemon or not, do not keep the process.
    """
    code = 1
    try:
        prepared = prepared or Prepared()
        _take_first()
        end = ChildEnd(socket.socket(fileno=channel))
        prepared.speak_to(out, end)
        main.serve(end, on_lost=_end_lost, limit_memory=_limit_memory)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last line of every child
        with contextlib.suppress(OSError):
            os.write(2, trace_of(error).encode("utf-8", "backslashreplace") + b"\n")
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # a plugin may have closed or replaced it
                stream.flush()
        if prepared is not None:
            prepared.finish()
        os._exit(code)


class Prepared:
    """A process once all is done that can be before its output is known: streams, signals, where it logs to.

    Made by a template, whose children then have it: made in each of them it is 0.2 MB of each.

    private: a copy of the output, out of a plugin's usual reach; given: a number that this process has for it already.
    """

    def __init__(self, private: int | None = None) -> None:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        if nothing:
            os.close(nothing)
        if private is None:
            private = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 100)  # whoever's it is yet
        else:
            os.dup2(2, private, inheritable=False)
        self.private = private
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
        self._printed = output.Printed(1, self._part), output.Printed(2, self._part)
        sys.stdout, sys.stderr = self._printed
        # whoever puts back what he had redirected takes it from here
        sys.__stdout__, sys.__stderr__ = self._printed  # type: ignore[misc]  # Python's own, of which there are no more
        self._end: ChildEnd | None = None
        gc.set_threshold(YOUNG_OBJECTS)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        faulthandler.disable()  # where it believes itself enabled it installs nothing, whoever has taken its signals
        faulthandler.unregister(signal.SIGUSR1)
        faulthandler.enable(private, all_threads=True)
        faulthandler.register(signal.SIGUSR1, private, all_threads=True)
        output.to_descriptor(private, self._veil)
        threading.excepthook = output.thread_ended

    def speak_to(self, out: int, end: ChildEnd) -> None:
        """From now on 1, 2 and the private copy are this output.   end: knows what is not to be told there."""
        self._end = end
        for number in (1, 2):
            os.dup2(out, number)
        os.dup2(out, self.private, inheritable=False)
        if out not in (1, 2):
            os.close(out)

    def finish(self) -> None:
        """Tell what was printed and held back."""
        for stream in self._printed:
            with contextlib.suppress(Exception):  # a plugin may have closed it
                stream.finish()

    def _veil(self, text: str) -> str:
        return text if self._end is None else self._end.veil(text)

    def _part(self, printed: bytes, is_last: bool) -> tuple[bytes, bytes]:
        veil = None if self._end is None else self._end.veil
        return veil.part(printed, is_last) if isinstance(veil, Veil) else (printed, b"")


def _end_lost(is_deaf: bool) -> None:
    """End by a code of its own while the worker is there: by SIGKILL it would look as if somebody had killed it.

    The worker's half kills what is left of the group of a child that ended.
    """
    if is_deaf:
        os._exit(DEAF_CODE)
    end_group()


def _take_first() -> None:
    with contextlib.suppress(OSError):
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)  # a text file would import its encoding
        try:
            os.write(score, b"%d" % OOM_SCORE)
        finally:
            os.close(score)


def _limit_memory(limit: int) -> None:
    """`task.memory.max.bytes`: what is beyond it is a MemoryError in the task, not the end of the machine."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main_of_spawned() -> NoReturn:
    """`python -m millstream.host.child CHANNEL OUTPUT PARENT LIFE`: a child without a template (`task.start=spawn`).

    LIFE: the reading end of a pipe that nobody writes to, and that the worker's end closes."""
    channel, out, parent, life = (int(argument) for argument in sys.argv[1:5])
    if sys.platform == "linux":
        die_with_pipe(life)
        die_with_parent(signal.SIGKILL, parent)
    run(channel, out)


if __name__ == "__main__":
    main_of_spawned()
