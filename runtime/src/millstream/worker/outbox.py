"""What a template is asked: packets in order, by a thread that never waits for it."""

import errno
import json
import logging
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from millstream.worker.loop import Loop, Timer

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.05
SHORT_SECONDS = 30.0
"""For so long requests that the kernel has no room for are tried again, all that wait together; for ever what carries
no descriptors: a process that is to be ended is ended, however late."""
GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ECONNREFUSED})
SHORT = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
"""The kernel's limits: ETOOMANYREFS are more descriptors on their way than a process may have open (`ulimit -n`)."""


@dataclass(slots=True)
class _Request:
    packet: bytes
    descriptors: Callable[[], Sequence[int]]
    done: Callable[[], None]
    refused: Callable[[OSError], None]


def _no_descriptors() -> Sequence[int]:
    return ()


def _nothing() -> None:
    """Nobody wants to know."""


class Outbox:
    """The worker's way to one template. On the loop's thread only.

    name: of the template, for the log.
    """

    def __init__(self, loop: Loop, control: socket.socket, name: str) -> None:
        self._loop = loop
        self._control = control
        self._name = name
        self._bare: deque[_Request] = deque()
        self._carrying: deque[_Request] = deque()
        self._again: Timer | None = None
        self._is_open = True
        self._short_since: float | None = None

    def put(
        self,
        packet: dict[str, Any],
        descriptors: Callable[[], Sequence[int]] = _no_descriptors,
        done: Callable[[], None] = _nothing,
        refused: Callable[[OSError], None] | None = None,
    ) -> None:
        """Send it as soon as the template has room, after all of its sort that was put before.

        What carries no descriptors, a signal, passes what does: the kernel may have no room for those for long.

        descriptors: that go with it, asked for when it goes.
        done:        called when it has gone, or never will: nobody needs its descriptors here any more.
        refused:     called soon when the kernel will not take it; not when the template is gone, and for want of room
                     only of what carries descriptors.
        """
        if not self._is_open:
            done()
            return
        queue = self._bare if descriptors is _no_descriptors else self._carrying
        told = refused or (lambda error: self._complain(packet, error))
        queue.append(_Request(json.dumps(packet).encode(), descriptors, done, told))
        if self._again is None or queue is self._bare:
            self._flush()

    def close(self) -> None:
        """The template is over: who waits for it hears that from its owner."""
        self._is_open = False
        self._drop()

    def _flush(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        while queue := self._bare or self._carrying:
            request = queue[0]
            try:
                self._send(request)
            except OSError as error:
                if error.errno in GONE:
                    log.debug("template %s does not hear: %s", self._name, error)
                    self._drop()  # its end comes as an event
                    return
                if error.errno == errno.EAGAIN or self._is_worth_waiting_for(error):
                    self._again = self._loop.after(AGAIN_SECONDS, self._flush)
                    return
                if queue is self._bare and error.errno in SHORT:
                    self._refuse_carrying(error)
                    self._again = self._loop.after(AGAIN_SECONDS, self._flush)
                    return
                self._loop.after(0.0, partial(request.refused, error))
            else:
                if queue is self._carrying:
                    self._short_since = None
            queue.popleft().done()
        self._short_since = None  # nobody waits: who comes next has his own time

    def _refuse_carrying(self, error: OSError) -> None:
        """The time of those that may be refused is over; what is left of it begins anew."""
        for request in self._carrying:
            self._loop.after(0.0, partial(request.refused, error))
            request.done()
        self._carrying.clear()
        self._short_since = self._loop.now()
        log.error(
            "template %s still cannot be told anything: %s; it is tried again, and processes that it is to end go on"
            " until then",
            *(self._name, os.strerror(error.errno or 0)),
        )

    def _drop(self) -> None:
        while queue := self._bare or self._carrying:
            queue.popleft().done()

    def _send(self, request: _Request) -> None:
        """Not by `socket.send_fds`, which drops the flags that it is given. Source: CPython 3.11, Lib/socket.py."""
        descriptors = array("i", request.descriptors())
        carried = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if descriptors else []
        self._control.sendmsg([request.packet], carried, socket.MSG_DONTWAIT)

    def _is_worth_waiting_for(self, error: OSError) -> bool:
        if error.errno not in SHORT:
            return False
        now = self._loop.now()
        if self._short_since is None:
            self._short_since = now
            why = os.strerror(error.errno or 0)
            if self._carrying:
                log.warning(
                    "template %s cannot be asked for a process now: %s; it is tried again for %.0f s",
                    *(self._name, why, SHORT_SECONDS),
                )
            else:
                log.warning("template %s cannot be told anything now: %s; it is tried again", self._name, why)
        return now - self._short_since < SHORT_SECONDS

    def _complain(self, packet: Mapping[str, Any], error: OSError) -> None:
        log.error("template %s could not be told of %s: %s", self._name, ", ".join(packet), error)
