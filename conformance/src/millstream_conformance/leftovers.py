"""What a plugin may have left behind: threads, open files and sockets, things printed."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0


def _open_files() -> Counter[str]:
    """What this process has open, as the kernel names it, and how often; empty where there is no /proc."""
    folder = "/proc/self/fd"
    found: Counter[str] = Counter()
    if not os.path.isdir(folder):
        return found
    for fd in os.listdir(folder):
        try:
            found[os.readlink(f"{folder}/{fd}")] += 1
        except FileNotFoundError:  # the directory's own descriptor, closed by now
            continue
    return found


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail if threads or open files that were not there before are there after, PATIENCE_S later."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    deadline = time.monotonic() + PATIENCE_S
    while True:
        new_threads = [thread.name for thread in threading.enumerate() if thread not in threads]
        new_files = sorted((_open_files() - files).elements())
        if not new_threads and not new_files:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind after stop: threads {new_threads}, open files {new_files}")
        threading.Event().wait(0.01)
