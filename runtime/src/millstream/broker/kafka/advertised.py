"""Addresses that brokers give out: whoever may reach `bootstrap.servers` may still not reach these.

A broker behind a port that is mapped, in a container or behind a gateway, answers the first question and tells its
clients to go on at `advertised.listeners`. librdkafka then tries that for ever, Java's clients as well.
"""

import socket
from collections.abc import Mapping
from typing import Any

LEAST_SECONDS = 0.2


def unreached(brokers: Mapping[int, Any], servers: str, seconds: float) -> str:
    """What is wrong with the addresses that the brokers give; empty when one of them takes a connection.

    brokers: as the client's metadata has them.   servers: who has answered; an address that is among them is not tried.
    seconds: for all together.
    """
    given = [(one.host, one.port) for one in brokers.values()]
    named = {server.strip().rpartition("://")[2] for server in servers.split(",")}
    if not given or any(f"{host}:{port}" in named for host, port in given):
        return ""
    each = max(seconds / len(given), LEAST_SECONDS)
    problems = []
    for address in given:
        try:
            socket.create_connection(address, each).close()
        except OSError as error:
            problems.append(f"{address[0]}:{address[1]} ({error.strerror or error})")
        else:
            return ""
    return (
        "it answers, and gives addresses of its brokers at which they cannot be reached from here: "
        f"{', '.join(problems)}. Set advertised.listeners of the brokers to addresses that this machine reaches"
    )
