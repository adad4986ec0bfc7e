"""Which end of a file is a sink's own unfinished write: told by an extended attribute that stands while it writes.

A kill, or a lost power supply, leaves the attribute; a commit and an orderly stop remove it. Where there are no
extended attributes (some file systems, systems other than Linux) nothing counts as a sink's own.
"""

import errno
import os
from typing import NamedTuple

ATTRIBUTE = "user.millstream.writing"
_KNOWN = hasattr(os, "setxattr")
_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Writing(NamedTuple):
    """A write from byte `start` on, up to before `end`."""

    start: int
    end: int


class Mark:
    """The mark on one open file. Whoever calls holds the file's lock."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._own: Writing | None = None
        self._usable = _KNOWN

    def put(self, writing: Writing) -> None:
        """Say what is about to be written. Raises OSError when the disk is full."""
        if not self._usable:
            return
        try:
            os.setxattr(self._file, ATTRIBUTE, b"%d %d" % writing)
        except OSError as error:
            if error.errno in _ROOM:
                raise
            self._usable = False  # this file system has none, or does not let us
            return
        self._own = writing

    def remove(self) -> None:
        """What this task wrote is complete. Another task's mark stays."""
        if self._own is not None and self.found() == self._own:
            os.removexattr(self._file, ATTRIBUTE)
        self._own = None

    def leave(self) -> None:
        """Part of the write stands and cannot be cut: the mark stays, for whoever opens the file next."""
        self._own = None

    def found(self) -> Writing | None:
        """What the last marked write was to be; None: there is no mark."""
        if not self._usable:
            return None
        try:
            start, end = os.getxattr(self._file, ATTRIBUTE).split()
            return Writing(int(start), int(end))
        except (OSError, ValueError):  # none there, or not one of ours
            return None
