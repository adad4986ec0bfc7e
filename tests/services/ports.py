"""Free ports of the loopback."""

import random
import socket

HOST = "127.0.0.1"
#: below what kernels hand out to clients by default (32768 and above on Linux), so that a connection cannot take a port
#: between its choice and its use
RANGE = range(20_000, 32_000)


def free(count: int) -> list[int]:
    """Ports nobody listens on now, all different."""
    found: list[int] = []
    for port in random.sample(RANGE, len(RANGE)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"{HOST} has no {count} free ports in {RANGE}")


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
