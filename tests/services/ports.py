"""Free ports of the loopback."""

import fcntl
import random
import socket
import threading
from functools import cache
from typing import IO

from services.cache import root

HOST = "127.0.0.1"
#: below what kernels hand out to clients by default (32768 and above on Linux), so that a connection cannot take a port
#: between its choice and its use
RANGE = range(20_000, 32_000)
GIVEN: set[int] = set()
GIVING = threading.Lock()


def free(count: int) -> list[int]:
    """Ports nobody listens on now, all different; no other run is given them, and no other caller, while we live."""
    found: list[int] = []
    with GIVING:
        for port in random.sample(RANGE, len(RANGE)):
            if port in GIVEN or not (_quiet(port) and _reserved(port)):
                continue
            GIVEN.add(port)
            found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"{HOST} has no {count} free ports in {RANGE}")


def _quiet(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _reserved(port: int) -> bool:
    """Whether this process has it now: a lock on a byte, which ends with the process."""
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _reservations() -> IO[bytes]:
    return (root() / "ports.lock").open("wb")


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
