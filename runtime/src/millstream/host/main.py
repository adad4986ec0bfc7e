"""The root of a child: the first line says what it is, one thread listens, the calling thread does the work."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Protocol

from millstream.host import output
from millstream.host.channel import Cancel, ChildEnd, Ended, Failure, Hello, Message, Run, SetLevels, StateChanged
from millstream.lifecycle import StopToken, spawn

log = logging.getLogger(__name__)


class Body(Protocol):
    """What a child is for."""

    def run(self) -> bool:
        """Do it, on the thread that runs plugin code; true: it rests, and may be run again (`Ended.rested`)."""
        ...

    def hear(self, message: Message) -> None:
        """Take what the worker says, on the listening thread; must not block."""
        ...


BODIES = {
    "RunTask": "millstream.host.task:TaskBody",
    "RunConnector": "millstream.host.connector:ConnectorBody",
    "RunProbe": "millstream.host.probe:ProbeBody",
}
"""By the kind of the first line; each is made with that line and the channel. Imported when it is needed: a probe in a
bare interpreter does not pay for the broker."""


def serve(
    end: ChildEnd,
    on_lost: Callable[[bool], None],
    limit_memory: Callable[[int], None] | None = None,
    in_thread: bool = False,
) -> None:
    """Be what the first line says until that is over.

    on_lost:      called on the listening thread when the worker is no longer heard while there is work: its end has
                  closed; or, true, it is there, and this child cannot hear it any more, which is told as a failure.
    limit_memory: sets RLIMIT_DATA; None where it would hit others.
    in_thread:    the process is the worker's: levels are its own, `pid` is 0.
    """
    heard = end.listen()
    first = next(heard, None)
    if first is None:
        return
    if type(first).__name__ not in BODIES:
        raise ValueError(f"the first line of a child's channel says what it is to run, not {first!r}")
    run: Run = first  # type: ignore[assignment]  # its kind is one of BODIES
    over = StopToken()
    end.tell(Hello(0 if in_thread else os.getpid(), threading.get_ident()))
    rested = begun = False
    try:
        if not in_thread:
            output.set_levels(run.around.levels)
        if limit_memory is not None and run.around.memory_max_bytes:
            limit_memory(run.around.memory_max_bytes)
        module, _, name = BODIES[type(first).__name__].partition(":")
        body: Body = getattr(import_module(module), name)(run, end)

        def lost(error: Exception | None) -> None:
            try:
                if error is not None:
                    end.tell(StateChanged("FAILED", Failure.of(error)))
            finally:
                if in_thread:  # it goes on, and what it waits for will not come
                    body.hear(Cancel())
                on_lost(error is not None)

        listener = _Listener(heard, body, None if in_thread else output.set_levels, over, lost)
        spawn(f"{run.label} channel", listener.listen)
        begun = True
        rested = body.run()
    except BaseException as error:  # noqa: BLE001 - whatever plugin code raises is told, SystemExit too
        no_room = not begun and isinstance(error, RuntimeError | MemoryError)  # "can't start new thread" is the former
        end.tell(StateChanged("FAILED", Failure.of(error), no_room=no_room))
    finally:
        over.set()
        end.tell(Ended(rested))
        if in_thread:
            end.close()


class _Listener:
    def __init__(
        self,
        heard: Iterator[Message],
        body: Body,
        set_levels: Callable[[Mapping[str, int]], None] | None,
        over: StopToken,
        on_lost: Callable[[Exception | None], None],
    ) -> None:
        self._heard = heard
        self._body = body
        self._set_levels = set_levels
        self._over = over
        self._on_lost = on_lost

    def listen(self, _: StopToken) -> None:
        lost: Exception | None = None
        try:
            for message in self._heard:
                if not isinstance(message, SetLevels):
                    self._body.hear(message)
                elif self._set_levels is not None:
                    self._set_levels(message.levels)
        except Exception as error:
            lost = error
            log.exception("the child can no longer hear its worker, and ends")
        finally:
            if not self._over.is_set:
                self._on_lost(lost)
