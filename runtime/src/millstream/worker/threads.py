"""Children as threads of the worker (`task.isolation=thread`): the same child code, the same lines, no wall.

It cannot kill: a thread that does not end when it is asked is abandoned, as in Java, and counted.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from millstream.host import main
from millstream.host.channel import ChildEnd
from millstream.host.connector import MONITOR
from millstream.host.masking import Veil
from millstream.host.output import text_of, thread_ended
from millstream.lifecycle import Spawned, spawn
from millstream.worker.children import Child, refuse
from millstream.worker.loop import Loop

log = logging.getLogger(__name__)


class ChildThread:
    """A child's thread in the place of a process."""

    pid = 0

    def __init__(self, thread: Spawned, abandon: Callable[[], None]) -> None:
        self._thread = thread
        self._abandon = abandon

    def signal(self, number: int) -> None:
        """Whatever the signal: there is nobody who could take it, so the thread is left alone."""
        self._abandon()

    def stack(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        frames = traceback.extract_stack(frame) if frame else ()
        return "\n".join(f'\tat File "{f.filename}", line {f.lineno} in {f.name}' for f in reversed(frames))


class ThreadLauncher:
    """Starts a daemon thread per child, over a socket pair inside the process."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: dict[str, list[ChildEnd]] = {}  # by label; an abandoned one may have a successor
        self._left: dict[str, Callable[[str], str]] = {}  # veils of ended ones, whose plugins may have left threads
        self.abandoned = 0
        self._former_factory: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()
        logging.setLogRecordFactory(self._labelled)
        self._former_hook = threading.excepthook
        threading.excepthook = thread_ended

    def warm(self) -> None:
        """Nothing can be made ready."""

    def launch(self, child: Child) -> None:
        far, _ = child.far_ends()
        try:
            end = ChildEnd(far.dup())
        except OSError as error:
            refuse(child, "channel", error)
            return
        child.close_far_ends()
        label = child.run.label

        def run(_: object) -> None:
            main.serve(end, on_lost=lambda _: None, in_thread=True)

        def on_death(error: BaseException | None) -> None:
            reason = "" if error is None else f"its thread ended with {type(error).__name__}"
            self._loop.post(lambda: self._ended(child, end, reason))

        self._running[label] = [*self._running.get(label, ()), end]
        try:
            thread = spawn(label, run, on_death=on_death)
        except RuntimeError as error:
            end.close()
            self._no_longer_runs(child, end)
            refuse(child, "thread", error)
            return
        child.carried_by(ChildThread(thread, lambda: self._abandon(child)))

    def close(self) -> None:
        logging.setLogRecordFactory(self._former_factory)
        if threading.excepthook is thread_ended:
            threading.excepthook = self._former_hook

    def _ended(self, child: Child, end: ChildEnd, reason: str) -> None:
        self._no_longer_runs(child, end)
        child.gone(0, reason)

    def _no_longer_runs(self, child: Child, end: ChildEnd) -> None:
        label = child.run.label
        if isinstance(end.veil, Veil) and end.veil.hides:
            self._left[label] = end.veil
        self._running[label] = [other for other in self._running[label] if other is not end]
        if not self._running[label]:
            del self._running[label]

    def _abandon(self, child: Child) -> None:
        if child.is_gone:
            return
        self.abandoned += 1
        log.warning("[%s] a thread cannot be killed: it is abandoned, and may still do things", child.run.label)
        self._loop.after(0, lambda: child.gone(None, "its thread did not end and was abandoned"))

    def _labelled(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Say whose a record is by the thread that logs it; one of a thread that a plugin started may be anybody's."""
        record = self._former_factory(*args, **kwargs)
        label = (record.threadName or "").removesuffix(MONITOR)
        ends = self._running.get(label)
        told = text_of(record)
        text = _veiled(told, [end.veil for end in ends] if ends else self._all_veils())
        if ends or text != told:
            record.msg, record.args, record.exc_info = f"[{label}] {text}" if ends else text, (), None
        return record

    def _all_veils(self) -> list[Callable[[str], str]]:
        return [*self._left.copy().values(), *(end.veil for ends in self._running.copy().values() for end in ends)]


def _veiled(text: str, veils: Iterable[Callable[[str], str]]) -> str:
    for veil in veils:
        text = veil(text)
    return text
