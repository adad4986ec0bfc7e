"""Addresses that brokers give out: whoever may reach `bootstrap.servers` may still not reach these.

A broker behind a port that is mapped, in a container or behind a gateway, answers the first question and tells its
clients to go on at `advertised.listeners`. librdkafka then tries that for ever, as Java's clients do, and asks those
that had answered again or not: it may have let go of them.
"""

import random
import re
import socket
from collections.abc import Mapping
from time import monotonic
from typing import Any

LEAST_SECONDS = 1.0  # for one address, however many there are: all of them may be far away
REMEDY = "set advertised.listeners of the brokers to addresses that this machine reaches"
#: how librdkafka names a broker that told of itself; one of `bootstrap.servers` has a word in place of the number
_TOLD = re.compile(r"(?:\w+://)?(\S+:\d+)/\d+: ")


def remark(said: str, servers: str) -> str:
    """What librdkafka said of a broker, with where its address comes from, if that is not `servers`."""
    told = _TOLD.match(said)
    if told is None or told[1] in _named(servers):
        return said
    return f"{said}. {told[1]} is the address that this broker gives out; if it is a wrong one, {REMEDY}"


def unreached(brokers: Mapping[int, Any], servers: str, seconds: float) -> str:
    """What is wrong with the addresses that the brokers give; empty when one of them takes a connection.

    brokers: as the client's metadata has them.   servers: who has answered; an address that is among them is not tried.
    seconds: for all together, looking names up apart; what is not tried then may be the next time.
    """
    given = random.sample([(one.host, one.port) for one in brokers.values()], len(brokers))
    named = _named(servers)
    if not given or any(f"{host}:{port}" in named for host, port in given):
        return ""
    each, until = max(seconds / len(given), LEAST_SECONDS), monotonic() + seconds
    problems: list[str] = []
    for address in given:
        if problems and monotonic() >= until:
            break
        try:
            socket.create_connection(address, each).close()
        except OSError as error:
            problems.append(f"{address[0]}:{address[1]} ({error.strerror or error})")
        else:
            return ""
    return (
        "it answers, and gives addresses of its brokers at which they cannot be reached from here: "
        f"{', '.join(problems)}; {REMEDY}"
    )


def _named(servers: str) -> set[str]:
    return {server.strip().rpartition("://")[2] for server in servers.split(",")}
