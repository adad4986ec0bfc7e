"""What the machine would not give for a child, as a sentence: what was wanted, which limit it is, what helps."""

import errno
import os

WORKER = "the worker"
PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS, errno.ENOBUFS})
"""What the machine does not give now, and may give when others have gone."""


def shortage(wanted: str, error: OSError | RuntimeError, whose: str = WORKER) -> str:
    """Say why there is no child.

    wanted: "process", "channel".   whose: the process that could not make it.
    A RuntimeError is a thread that cannot start.
    """
    number = errno.EAGAIN if isinstance(error, RuntimeError) else error.errno or 0
    why = os.strerror(number) if number else str(error)
    remedy = _remedy(number, whose)
    return f"no {wanted} can be made for it: {why}" + (f"; {remedy}" if remedy else "")


def is_passing(error: OSError | RuntimeError) -> bool:
    """Whether there may be room later. A RuntimeError is a thread that cannot start."""
    return isinstance(error, RuntimeError) or error.errno in PASSING


def _remedy(number: int, whose: str) -> str:
    if number == errno.EMFILE and whose != WORKER:
        return (
            f"{whose} may have {_descriptors()} files, sockets and pipes open (`ulimit -n`), and those count that a"
            " plugin opens when it is imported: raise it, or have the plugin open them when it starts"
        )
    if number == errno.EMFILE:
        return (
            f"the worker may have {_descriptors()} files, sockets and pipes open (`ulimit -n`), and a child takes"
            " three: raise it, or run fewer connectors and tasks on this worker"
        )
    if number == errno.ETOOMANYREFS:
        return (
            f"more than {_descriptors()} descriptors (`ulimit -n`) are on their way to templates, which do not take"
            " them: raise it, or start fewer connectors and tasks at once"
        )
    if number == errno.ENFILE:
        return "the machine has all the files open that it may (`fs.file-max`): raise it"
    if number == errno.EAGAIN:
        return (
            "the processes and threads of this user (`ulimit -u`) or of this container (`pids.max`) are all taken:"
            " raise that limit, or run fewer connectors and tasks on this worker"
        )
    if number == errno.ENOMEM:
        return "the machine has no memory left for one: give it more, or run fewer connectors and tasks on this worker"
    return ""


def _descriptors() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
