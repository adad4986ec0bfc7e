"""Spoils the template that imports it, in the way that MOOD says; `moody:Staying` itself is harmless."""

import errno
import os
import signal
from typing import NoReturn

from hosted import Staying

from millstream.host import rehearsal

__all__ = ["Staying"]

MOOD = os.environ.get("MOOD", "")
WHILE = os.environ.get("MOOD_WHILE", "")
"""A file; it is in that mood as long as it is there."""

_fork = os.fork


def _stuck() -> None:
    """A hook of some library that never returns: the process has not run a line of ours."""
    while os.path.exists(WHILE):
        signal.sigtimedwait((), 0.05)


def _forkless() -> int:
    if os.path.exists(WHILE):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _fork()


def _kill_once_less() -> None:
    """Somebody kills who imports this, as often as the file says."""
    with open(WHILE, "r+") as left:
        times = int(left.read())
        left.seek(0)
        left.write(str(max(times - 1, 0)))
    if times:
        os.kill(os.getpid(), signal.SIGKILL)


def _rehearsed(_: object) -> NoReturn:
    raise BrokenPipeError(errno.EPIPE, "the pipe of a rehearsal")


if MOOD == "stuck":
    os.register_at_fork(after_in_child=_stuck)
elif MOOD == "forkless":
    os.fork = _forkless
elif MOOD == "broken":
    rehearsal.rehearse = _rehearsed
elif MOOD == "killed":
    _kill_once_less()
