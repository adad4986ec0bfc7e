"""Brokers that librdkafka has forgotten are named to it again.

Since 2.10 it lets go of every broker that is not in the last metadata. The last broker of a cluster that goes down in
order tells of none, not even of itself: then the client has nobody left to ask, says nothing, and never comes back,
whatever `metadata.recovery.strategy` is (`rd_kafka_parse_Metadata`; seen with 2.16). `rd_kafka_brokers_add` mends that,
which the Python binding has no name for. A broker that is known is not added twice.
"""

import ctypes
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from confluent_kafka import cimpl

from millstream.broker.kafka.client.renewable import Renewable
from millstream.lifecycle import Clock, SystemClock

if TYPE_CHECKING:
    from millstream.broker.kafka.client.failures import Watch

log = logging.getLogger(__name__)

SECONDS = 30.0
AWAY_SECONDS = 5.0  # where brokers were just seen to go
CLIENTS = (cimpl.Producer, cimpl.Consumer, cimpl._AdminClientImpl)


def introduce(client: Any, servers: str) -> None:
    """Name `bootstrap.servers` to the client, which no other thread may close meanwhile."""
    if isinstance(client, Renewable):
        client = client.inner
    if not isinstance(client, CLIENTS):
        return  # there is no handle in it to read
    add = _brokers_add(cimpl.__file__)
    handle = ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value  # Handle.rk of confluent_kafka.h
    if add is not None and handle is not None:  # else it is closed
        add(ctypes.c_void_p(handle), servers.encode())


class Reminder:
    """For who waits for brokers, and cannot know whether there is nothing to come."""

    def __init__(self, watch: "Watch", clock: Clock | None = None) -> None:
        self._watch = watch
        self._clock = clock or SystemClock()
        self._last = self._clock.monotonic()

    def answered(self) -> None:
        self._last = self._clock.monotonic()

    def waiting(self, client: Any) -> None:
        """Once in a while, introduce them."""
        now = self._clock.monotonic()
        if now - self._last >= (AWAY_SECONDS if self._watch.away else SECONDS):
            self._last = now
            introduce(client, self._watch.peer.servers)


@lru_cache(maxsize=1)
def _brokers_add(binding: str) -> Callable[[ctypes.c_void_p, bytes], int] | None:
    """That of librdkafka as the binding has loaded it; None where the binding shows nothing of it."""
    try:
        add = ctypes.CDLL(binding).rd_kafka_brokers_add
    except (AttributeError, OSError) as error:
        log.debug("a client whose brokers have all gone in order does not come back: %s", error)
        return None
    add.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return add
