"""A process of its own for one task, connector or probe: what has to be set up before plugin code may run.

Its descriptors: 0 is /dev/null, 1 and 2 are the pipe to the worker, a private copy of that pipe serves the log and
faulthandler whatever a plugin does to 1 and 2.
"""

import contextlib
import faulthandler
import gc
import os
import resource
import signal
import socket
import sys
from typing import NoReturn

from millstream.errors import trace_of
from millstream.host import main, output
from millstream.host.channel import ChildEnd
from millstream.host.orphan import die_with_parent, die_with_pipe, end_group

#: objects made and not yet gone before the collector looks for cycles. Python's 700 are fewer than one poll's messages,
#: each of which it looked at once: 0.15 us of the 1.2 that a record cost
YOUNG_OBJECTS = 20_000
OOM_SCORE = 300  # when memory is short the kernel is to take a child before the worker


def run(channel: int, out: int) -> NoReturn:
    """Serve the worker over the descriptor `channel`, with output to `out`; the process ends here.

    `os._exit` and not a return: threads that a plugin left behind, daemon or not, do not keep the process.
    """
    code = 1
    try:
        private = _descriptors(out)
        _process(private)
        end = ChildEnd(socket.socket(fileno=channel))
        output.to_descriptor(private, lambda text: end.veil(text))
        main.serve(end, on_orphaned=end_group, limit_memory=_limit_memory)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last line of every child
        with contextlib.suppress(OSError):
            os.write(2, trace_of(error).encode("utf-8", "backslashreplace") + b"\n")
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # a plugin may have closed or replaced it
                stream.flush()
        os._exit(code)


def _descriptors(out: int) -> int:
    """Lay out 0, 1 and 2, and give the private copy of the output, out of a plugin's usual reach."""
    import fcntl

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    private = fcntl.fcntl(out, fcntl.F_DUPFD_CLOEXEC, 100)
    for descriptor in {nothing, out} - {0, 1, 2}:
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    return private


def _process(private: int) -> None:
    gc.set_threshold(YOUNG_OBJECTS)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.enable(private, all_threads=True)
    faulthandler.register(signal.SIGUSR1, private, all_threads=True)
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
