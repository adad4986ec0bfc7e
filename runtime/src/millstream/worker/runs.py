"""A task, a connector, a probe from the worker's side: what it is asked, what its child says, how its end is told."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from millstream.errors import LAST_LINES, IllegalStateError, NoAnswerError
from millstream.host.channel import (
    Aim,
    Answer,
    Ask,
    Cancel,
    Counted,
    Ended,
    Event,
    Failure,
    Hello,
    Lasting,
    LogLine,
    Message,
    Progressed,
    Reconfigure,
    Reshare,
    Resolved,
    Run,
    RunConnector,
    RunProbe,
    RunTask,
    StateChanged,
    Stop,
    Surroundings,
    TopicSeen,
)
from millstream.identity import State, TargetState
from millstream.worker.answering import Answering, nobody, pass_on
from millstream.worker.budget import Needs
from millstream.worker.children import Child, Ending
from millstream.worker.loop import Loop, Timer
from millstream.worker.questions import Questions
from millstream.worker.shortage import is_passing, shortage
from millstream.worker.standstill import LOOK_SECONDS, Lookout, Standstill

log = logging.getLogger(__name__)

CONNECT_EXCEPTION = "org.apache.kafka.connect.errors.ConnectException"
CANCEL_SECONDS = 0.2  # between Cancel and the signals: a sink's wakeup needs a moment
UNKNOWN = "at an unknown place: its stack could not be had"
UNBORN = "at no place: it had no process by then, as its template had made none; the worker's log says why"
OTHER_PROBES = 2
SETTLED = frozenset({State.FAILED.value, State.UNASSIGNED.value})


class Launcher(Protocol):
    """Gives children their bodies."""

    def warm(self) -> None: ...
    def launch(self, child: Child) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Facilities:
    """What every run works with."""

    loop: Loop
    launcher: Launcher
    connector_start_ms: int
    poll_warn_ms: int
    levels: dict[str, int] = field(default_factory=dict)
    answering: Answering = nobody


def failure(sentence: str, stack: str = "", lines: str = "") -> Failure:
    """Make the trace of something that the child could not tell itself."""
    trace = f"{CONNECT_EXCEPTION}: {sentence}"
    if stack:
        trace += f"\n{stack}"
    if lines:
        trace += f"\n{LAST_LINES}\n" + "\n".join(f"\t{line}" for line in lines.split("\n"))
    return Failure(CONNECT_EXCEPTION, sentence, trace)


class Supervised:
    """What tasks and connectors have in common. On the loop's thread only."""

    kind = ""

    def __init__(self, facilities: Facilities, label: str, on_event: Callable[[Event], None]) -> None:
        self.state = State.UNASSIGNED.value
        self.metrics: Mapping[str, float | int | str] = {}
        self.child: Child | None = None
        self.label = label
        self.given = Needs(0, 0)  # of memory and threads
        self.is_over = False
        self._facilities = facilities
        self._on_event = on_event
        self._stopping = False
        self._has_settled = False  # FAILED or UNASSIGNED was told
        self._stopped: list[Future[None]] = []
        self._patience: Timer | None = None

    @property
    def is_settled(self) -> bool:
        """Over, and nothing of it is left running."""
        return self.is_over and (self.child is None or self.child.is_gone)

    def launch(self, run: Run) -> None:
        around = replace(run.around, levels=dict(self._facilities.levels))
        try:
            self.child = Child(self._facilities.loop, replace(run, around=around), self)
        except OSError as error:
            why = failure(f"{self.kind} {self.label}: {shortage('channel', error)}")
            self.fail(why, no_room=is_passing(error))
            return
        self._facilities.launcher.launch(self.child)

    def tell_state(
        self, state: str, why: Failure | None = None, from_outside: bool = False, no_room: bool = False
    ) -> None:
        self.state = state
        self._has_settled = state in SETTLED
        self._on_event(StateChanged(state, why, from_outside, no_room))

    def fail(self, why: Failure, from_outside: bool = False, no_room: bool = False) -> None:
        """FAILED by the worker's own judgement; nothing of the child is heard any more."""
        if not self.is_over:
            self.is_over = True
            self.tell_state(State.FAILED.value, why, from_outside, no_room)

    def logged(self, line: LogLine) -> None:
        self._on_event(line)

    def heard(self, message: Message) -> None:
        if self.is_over:
            return
        if isinstance(message, StateChanged):
            self.tell_state(message.state, message.failure, no_room=message.no_room)
        elif isinstance(message, Ask) and self.child is not None:
            pass_on(self._facilities.loop, self._facilities.answering, self.child, message)
        elif isinstance(message, Counted):
            self.metrics = message.values
            self._on_event(message)
        elif isinstance(message, TopicSeen | Progressed | Lasting | Reconfigure | Resolved):
            self._on_event(message)
        else:
            log.debug("[%s] said %r", self.label, message)

    def stop(self, timeout: float) -> "Future[None]":
        """Ask it to end, and see to it: SIGUSR1 for its stack and SIGKILL after `timeout` seconds."""
        done: Future[None] = Future()
        if self.child is None or self.child.is_gone:
            self._gone_by_wish()
            done.set_result(None)
            return done
        self._stopped.append(done)
        if not self._stopping:
            self._stopping = True
            self.child.send(Stop())
            self._patience = self._facilities.loop.after(max(timeout, 0.0), self._out_of_patience)
        return done

    def ended(self, ending: Ending) -> None:
        if self._patience is not None:
            self._patience.cancel()  # else it keeps this run and its child as long as a stop may take
        if self._stopping:
            self._gone_by_wish()
        elif not self.is_over and not self._has_settled:
            why = failure(f"{self.kind} {self.label}: {ending.sentence()}", lines=ending.lines)
            self.fail(why, ending.from_outside, ending.no_room)
        self.is_over = True
        for done in self._stopped:
            done.set_result(None)
        self._stopped.clear()

    def _gone_by_wish(self) -> None:
        if not self._has_settled:
            self.tell_state(State.UNASSIGNED.value)
        self.is_over = True

    def _out_of_patience(self) -> None:
        child = self.child
        if child is None or child.is_gone:
            return
        child.send(Cancel())
        self._facilities.loop.after(CANCEL_SECONDS, lambda: child.stack(lambda stack: self._kill(child, stack)))

    def _kill(self, child: Child, stack: str) -> None:
        if not child.is_gone:
            said = "[%s] did not stop in time and is ended; it was at\n%s"
            log.warning(said, child.run.label, stack or "\t(unknown)")
            child.kill()


class TaskRun(Supervised):
    """One task, in one child, for its whole life."""

    kind = "task"

    def __init__(
        self,
        facilities: Facilities,
        spec: RunTask,
        on_event: Callable[[Event], None],
        on_over: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(facilities, f"{spec.connector}-{spec.task}", on_event)
        self._spec = spec
        self._on_over = on_over
        self._silence: Timer | None = None
        self._standstill = Standstill(spec.label)
        self._warned = False
        self._share = (spec.member, spec.members)

    @property
    def reads_topics(self) -> bool:
        return self._spec.plugin.kind == "sink" and self.child is not None and not self.is_over

    def reshare(self, member: int, members: int) -> None:
        """It is reader `member` of `members` of its connector's topics; told when that is news."""
        if self.child is not None and self._share != (member, members):
            self._share = (member, members)
            self.child.send(Reshare(member, members))

    def ended(self, ending: Ending) -> None:
        if self._silence is not None:
            self._silence.cancel()  # else it keeps this run, and what its child said last, for a minute
        super().ended(ending)
        self._on_over()

    def begin_with(self, around: Surroundings) -> None:
        self.launch(replace(self._spec, around=around))
        if not self.is_over:
            self._look_in(LOOK_SECONDS)

    def set_target(self, target: TargetState) -> None:
        if self.child is None:  # it waits for its turn
            self._spec = replace(self._spec, target=target.value)
        elif not self.is_over:
            self.child.send(Aim(target.value))

    def _look_in(self, seconds: float) -> None:
        """A task tells its metrics every second between two calls of its plugin: silence is a call that lasts."""
        self._silence = self._facilities.loop.after(seconds, self._check_silence)

    def _check_silence(self) -> None:
        child, limit = self.child, self._facilities.poll_warn_ms / 1000
        if child is None or child.is_gone or self.is_over:
            return
        silent = self._facilities.loop.now() - child.heard_at
        self._look_in(min(max(limit - silent, 0.0) or LOOK_SECONDS, LOOK_SECONDS))
        stands = self._standstill.look(child.pid, silent)
        if silent < limit or stands or self._warned or self.state == State.PAUSED.value or child.body is None:
            return
        self._warned = True
        child.stack(lambda stack: self._warn(silent, stack))

    def _warn(self, silent: float, stack: str) -> None:
        log.warning(
            "[%s] has been in one call of its plugin for %.0f s; that is legal, and said once. It is at\n%s",
            self._spec.label,
            silent,
            stack or "\t(unknown)",
        )
        self._on_event(Lasting(silent, stack))


class ConnectorRun(Supervised):
    """One connector. One that overrides neither `start` nor `monitor` rests without a child until it is asked."""

    kind = "connector"

    def __init__(self, facilities: Facilities, spec: RunConnector, on_event: Callable[[Event], None]) -> None:
        super().__init__(facilities, spec.connector, on_event)
        self._spec = spec
        self._target = TargetState(spec.target)
        self._questions = Questions(facilities.loop, spec.connector, self._hangs)
        self._rests = False
        self._quiet = False
        self._given_up = False  # its time was over; the signal that asks for its stack may wake what hung
        self._start_timer: Timer | None = None
        self._lookout = Lookout(facilities.loop, spec.label)

    def launch(self, run: Run) -> None:
        super().launch(run)
        if self.child is not None and not self.child.is_gone:
            self._lookout.begin(self.child)

    def begin(self) -> None:
        self._await_start()
        self.launch(replace(self._spec, target=self._target.value))

    def set_target(self, target: TargetState) -> None:
        self._target = target
        if self.state == State.FAILED.value:
            if target is TargetState.STOPPED:  # the only way out of FAILED (§5.1)
                self.tell_state(State.STOPPED.value)
        elif self._rests and self.child is None:
            self.tell_state(State.RUNNING.value if target is TargetState.STARTED else target.value)
        elif self.child is not None:
            self._quiet = False
            self._await_start()
            self.child.send(Aim(target.value))

    def ask(self, what: str, arguments: Mapping[str, Any], timeout: float) -> "Future[Any]":
        """Ask the connector; it is run again when it rests. Fails it when the answer does not come in time."""
        if self.is_over:
            refused: Future[Any] = Future()
            refused.set_exception(
                IllegalStateError(f"connector {self.label!r} cannot be asked: it is {self.state}; restart it")
            )
            return refused
        answer = self._questions.put(what, arguments, timeout)
        if self.child is None:
            self._run_again()
        else:
            self._questions.send(self.child)
        return answer

    def heard(self, message: Message) -> None:
        if self._given_up:
            return
        if isinstance(message, Ended):
            self._rests = self._rests or message.rested
        elif isinstance(message, Answer):
            self._questions.answered(message)
        elif isinstance(message, StateChanged):
            self._started()
            if message.state == State.FAILED.value or not self._quiet:
                super().heard(message)
            if message.state == State.FAILED.value:
                self.is_over = True
                self._questions.refuse()
        elif not isinstance(message, Hello):
            super().heard(message)

    def ended(self, ending: Ending) -> None:
        self._lookout.over()
        self._started()
        if self._rests and not self._stopping and not self.is_over:
            self.child = None
            wanted = State.RUNNING.value if self._target is TargetState.STARTED else self._target.value
            if self.state != wanted:  # it was going when the target changed
                self.tell_state(wanted)
            if self._questions.unanswered():  # asked while it was going
                self._run_again()
            return
        super().ended(ending)
        self._questions.refuse()

    def fail(self, why: Failure, from_outside: bool = False, no_room: bool = False) -> None:
        super().fail(why, from_outside, no_room)
        self._started()
        self._questions.refuse()

    def _run_again(self) -> None:
        self._quiet = True
        self._rests = False  # until it has said so again: one that dies meanwhile has failed
        self._await_start()
        self.launch(replace(self._spec, quiet=True, target=TargetState.STARTED.value))
        if self.child is not None:
            self._questions.send(self.child)

    def _await_start(self) -> None:
        self._started()
        if self._target is TargetState.STARTED:
            limit = self._facilities.connector_start_ms
            self._start_timer = self._facilities.loop.after(
                limit / 1000,
                lambda: self._hangs(f"did not return from start within connector.start.timeout.ms={limit}"),
            )

    def _started(self) -> None:
        if self._start_timer is not None:
            self._start_timer.cancel()
            self._start_timer = None

    def _hangs(self, sentence: str) -> None:
        child = self.child
        if child is None or child.is_gone or self._stopping:
            return
        self._given_up = True
        is_unborn = child.body is None

        def give_up(stack: str) -> None:
            if not self.is_over:
                text = f"connector {self.label} {sentence}; the worker ended it"
                where = stack or f"\t{UNBORN if is_unborn else UNKNOWN}"
                self.fail(failure(text, where, child.output.last_lines()), from_outside=is_unborn)
            child.kill()

        child.stack(give_up)


class ProbeRun:
    """One question to a child of its own. Raises OSError when there are no descriptors for that.

    One that was killed before it lived, as with its template, is another's: nothing has been asked yet.
    """

    def __init__(self, facilities: Facilities, request: RunProbe, answer: "Future[Any]", timeout: float) -> None:
        self.label = request.label
        around = replace(request.around, levels=dict(facilities.levels))
        self._request = replace(request, around=around)
        self.child = Child(facilities.loop, self._request, self)
        self._answer = answer
        self._facilities = facilities
        self._others = OTHER_PROBES
        self._lived = False
        self._timer = facilities.loop.after(timeout, lambda: self._too_late(timeout))
        self._lookout = Lookout(facilities.loop, self.label)
        self._launch()

    def _launch(self) -> None:
        self._lookout.begin(self.child)
        self._facilities.launcher.launch(self.child)

    def logged(self, line: LogLine) -> None:
        """Its lines are in the worker's log; nobody else watches a probe."""

    def heard(self, message: Message) -> None:
        if isinstance(message, Answer) and not self._answer.done():
            self._timer.cancel()
            if message.failure is not None:
                self._answer.set_exception(message.failure.error())
            else:
                self._answer.set_result(message.result)
        elif isinstance(message, Hello):
            self._lived = True
        elif isinstance(message, Ask):
            pass_on(self._facilities.loop, self._facilities.answering, self.child, message)
        elif isinstance(message, StateChanged) and message.failure is not None and not self._answer.done():
            self._answer.set_exception(message.failure.error())

    def ended(self, ending: Ending) -> None:
        self._lookout.over()
        is_anothers = ending.from_outside and not self._lived and not self.child.is_killed
        if is_anothers and self._others and not self._answer.done():
            self._others -= 1
            try:
                self.child = Child(self._facilities.loop, self._request, self)
            except OSError as error:
                log.debug("no other child for the probe %s: %s", self.label, error)  # it fails by how this one ended
            else:
                self._launch()
                return
        self._timer.cancel()
        if not self._answer.done():
            why = failure(f"probe {self.label}: {ending.sentence()}", lines=ending.lines)
            self._answer.set_exception(why.error())

    def _too_late(self, timeout: float) -> None:
        self.child.stack(lambda stack: self._give_up(timeout, stack))

    def _give_up(self, timeout: float, stack: str) -> None:
        if not self._answer.done():
            text = f"probe {self.label} did not answer within {timeout:g} s; the worker ended it"
            why = failure(text, stack, self.child.output.last_lines())
            self._answer.set_exception(NoAnswerError(why.kind, why.message, why.trace, stack))
        self.child.kill()
