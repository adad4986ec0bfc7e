"""A process whose parent is gone: it goes, too, even in the middle of a C call, and what it started with it."""

import ctypes
import fcntl
import os
import signal

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None)


def die_with_parent(number: int, parent: int) -> None:
    """Let the kernel send signal `number` to this process when `parent` (the thread that forked it) ends.

    A parent that ended before we could ask is told by getppid: then this process ends at once.
    """
    _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def adopt(wanted: bool) -> None:
    """Let what descendants of this process leave behind become its child, or that of whoever adopts above it."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def die_with_pipe(reading: int) -> None:
    """Let the kernel end this process's group when the last writer of a pipe is gone.

    PR_SET_PDEATHSIG reaches one process alone; nothing of ours has to run for this. Linux tells the owner of a reading
    end, a group if its number is negative, by any signal, of input and of the end; so nobody may write.
    Source: fcntl(2), F_SETOWN and F_SETSIG; pipe_release in fs/pipe.c.
    """
    fcntl.fcntl(reading, fcntl.F_SETOWN, -os.getpgid(0))
    fcntl.fcntl(reading, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)


def end_group() -> None:
    """End this process and all it started, at once; it leads a group of its own."""
    os.killpg(0, signal.SIGKILL)
