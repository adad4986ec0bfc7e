"""A task, a connector, a probe from the worker's side: what it is asked, what its child says, how its end is told."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from millstream.errors import IllegalStateError, WorkerError
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
    LogLine,
    Message,
    Progressed,
    Reconfigure,
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
from millstream.worker.children import Child, Ending
from millstream.worker.loop import Loop, Timer

log = logging.getLogger(__name__)

CONNECT_EXCEPTION = "org.apache.kafka.connect.errors.ConnectException"
CANCEL_SECONDS = 0.2  # between Cancel and the signals: a sink's wakeup needs a moment
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


def failure(sentence: str, stack: str = "", lines: str = "") -> Failure:
    """Make the trace of something that the child could not tell itself."""
    trace = f"{CONNECT_EXCEPTION}: {sentence}"
    if stack:
        trace += f"\n{stack}"
    if lines:
        trace += "\nThe last lines of its output:\n" + "\n".join(f"\t{line}" for line in lines.split("\n"))
    return Failure(CONNECT_EXCEPTION, sentence, trace)


class Supervised:
    """What tasks and connectors have in common. On the loop's thread only."""

    kind = ""

    def __init__(self, facilities: Facilities, label: str, on_event: Callable[[Event], None]) -> None:
        self.state = State.UNASSIGNED.value
        self.metrics: Mapping[str, float] = {}
        self.child: Child | None = None
        self.label = label
        self.is_over = False
        self._facilities = facilities
        self._on_event = on_event
        self._stopping = False
        self._stopped: list[Future[None]] = []

    def launch(self, run: Run) -> None:
        around = replace(run.around, levels=dict(self._facilities.levels))
        self.child = Child(self._facilities.loop, replace(run, around=around), self)
        self._facilities.launcher.launch(self.child)

    def tell_state(self, state: str, why: Failure | None = None) -> None:
        self.state = state
        self._on_event(StateChanged(state, why))

    def fail(self, why: Failure) -> None:
        """FAILED by the worker's own judgement; nothing of the child is heard any more."""
        if self.state not in SETTLED or not self.is_over:
            self.is_over = True
            self.tell_state(State.FAILED.value, why)

    def logged(self, line: LogLine) -> None:
        self._on_event(line)

    def heard(self, message: Message) -> None:
        if self.is_over:
            return
        if isinstance(message, StateChanged):
            self.state = message.state
            self._on_event(message)
        elif isinstance(message, Counted):
            self.metrics = message.values
            self._on_event(message)
        elif isinstance(message, TopicSeen | Progressed | Reconfigure):
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
            self._facilities.loop.after(max(timeout, 0.0), self._out_of_patience)
        return done

    def ended(self, ending: Ending) -> None:
        if self._stopping:
            self._gone_by_wish()
        elif not self.is_over and self.state not in SETTLED:
            self.fail(failure(f"{self.kind} {self.label}: {ending.sentence()}", lines=ending.lines))
        self.is_over = True
        for done in self._stopped:
            done.set_result(None)
        self._stopped.clear()

    def _gone_by_wish(self) -> None:
        if self.state not in SETTLED:
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
            log.warning("[%s] did not stop in time and is ended; it was at\n%s", self.label, stack or "\t(unknown)")
            child.kill()


class TaskRun(Supervised):
    """One task, in one child, for its whole life."""

    kind = "task"

    def __init__(self, facilities: Facilities, spec: RunTask, on_event: Callable[[Event], None]) -> None:
        super().__init__(facilities, f"{spec.connector}-{spec.task}", on_event)
        self._spec = spec
        self._warned = False

    def begin_with(self, around: Surroundings) -> None:
        self.launch(replace(self._spec, around=around))
        self._look_in(self._facilities.poll_warn_ms / 1000)

    def set_target(self, target: TargetState) -> None:
        if self.child is not None and not self.is_over:
            self.child.send(Aim(target.value))

    def _look_in(self, seconds: float) -> None:
        """A task tells its metrics every second between two calls of its plugin: silence is a call that lasts."""
        self._facilities.loop.after(seconds, self._check_silence)

    def _check_silence(self) -> None:
        child, limit = self.child, self._facilities.poll_warn_ms / 1000
        if child is None or child.is_gone or self.is_over or self._warned:
            return
        silent = self._facilities.loop.now() - child.heard_at
        if self.state == State.PAUSED.value:
            self._look_in(limit)
        elif silent < limit:
            self._look_in(limit - silent)
        else:
            self._warned = True
            child.stack(lambda stack: self._warn(silent, stack))

    def _warn(self, silent: float, stack: str) -> None:
        log.warning(
            "[%s] has been in one call of its plugin for %.0f s; that is legal, and said once. It is at\n%s",
            self.label,
            silent,
            stack or "\t(unknown)",
        )


@dataclass(slots=True)
class _Question:
    ask: Ask
    answer: "Future[Any]"
    timeout: Timer
    is_sent: bool = False


class ConnectorRun(Supervised):
    """One connector. One that overrides neither `start` nor `monitor` rests without a child until it is asked."""

    kind = "connector"

    def __init__(self, facilities: Facilities, spec: RunConnector, on_event: Callable[[Event], None]) -> None:
        super().__init__(facilities, spec.connector, on_event)
        self._spec = spec
        self._target = TargetState(spec.target)
        self._questions: dict[int, _Question] = {}
        self._numbers = 0
        self._rests = False
        self._quiet = False
        self._start_timer: Timer | None = None

    def begin(self) -> None:
        self._await_start()
        self.launch(self._spec)

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
        answer: Future[Any] = Future()
        if self.state == State.FAILED.value or self.is_over:
            answer.set_exception(IllegalStateError(f"connector {self.label!r} cannot be asked: it is {self.state}"))
            return answer
        self._numbers += 1
        number = self._numbers
        timer = self._facilities.loop.after(timeout, lambda: self._unanswered(number, timeout))
        self._questions[number] = _Question(Ask(number, what, arguments), answer, timer)
        if self.child is None:
            self._run_again()
        self._send_questions()
        return answer

    def heard(self, message: Message) -> None:
        if isinstance(message, Ended) and message.rested:
            self._rests = True
        elif isinstance(message, Answer):
            self._answered(message)
        elif isinstance(message, StateChanged):
            self._started()
            if message.state == State.FAILED.value or not self._quiet:
                super().heard(message)
            if message.state == State.FAILED.value:
                self._refuse_questions()
        elif not isinstance(message, Hello):
            super().heard(message)

    def ended(self, ending: Ending) -> None:
        self._started()
        if self._rests and not self._stopping and not self.is_over:
            self.child = None
            self._quiet = True
            for question in self._questions.values():
                question.is_sent = False
            if self._questions:  # asked while it was going
                self._run_again()
                self._send_questions()
            return
        super().ended(ending)
        self._refuse_questions()

    def fail(self, why: Failure) -> None:
        super().fail(why)
        self._refuse_questions()

    def _run_again(self) -> None:
        self._quiet = True
        self._await_start()
        self.launch(replace(self._spec, quiet=True, target=TargetState.STARTED.value))

    def _send_questions(self) -> None:
        for question in self._questions.values():
            if not question.is_sent and self.child is not None:
                question.is_sent = True
                self.child.send(question.ask)

    def _answered(self, answer: Answer) -> None:
        question = self._questions.pop(answer.number, None)
        if question is None:
            return
        question.timeout.cancel()
        if answer.failure is not None:
            question.answer.set_exception(answer.failure.error())
        else:
            question.answer.set_result(answer.result)

    def _refuse_questions(self) -> None:
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.timeout.cancel()
            question.answer.set_exception(WorkerError(f"connector {self.label!r} ended before it gave an answer"))

    def _await_start(self) -> None:
        self._started()
        if self._target is TargetState.STARTED and self._start_timer is None:
            limit = self._facilities.connector_start_ms
            self._start_timer = self._facilities.loop.after(
                limit / 1000,
                lambda: self._hangs(f"did not return from start within connector.start.timeout.ms={limit}"),
            )

    def _started(self) -> None:
        if self._start_timer is not None:
            self._start_timer.cancel()
            self._start_timer = None

    def _unanswered(self, number: int, timeout: float) -> None:
        question = self._questions[number]
        self._hangs(f"did not answer {question.ask.what} within {timeout:g} s")

    def _hangs(self, sentence: str) -> None:
        child = self.child
        if child is not None and not child.is_gone and not self._stopping:
            child.stack(lambda stack: self._given_up(child, sentence, stack))

    def _given_up(self, child: Child, sentence: str, stack: str) -> None:
        if not self.is_over:
            text = f"connector {self.label} {sentence}; the worker ended it"
            self.fail(failure(text, stack or "\tat an unknown place: its stack could not be had", child.last_lines()))
        child.kill()


class ProbeRun:
    """One question to a child of its own."""

    def __init__(self, facilities: Facilities, request: RunProbe, answer: "Future[Any]", timeout: float) -> None:
        self.label = request.label
        self.child = Child(facilities.loop, replace(request, around=replace(request.around)), self)
        self._answer = answer
        self._timer = facilities.loop.after(timeout, lambda: self._too_late(timeout))
        facilities.launcher.launch(self.child)

    def logged(self, line: LogLine) -> None:
        """Its lines are in the worker's log; nobody else watches a probe."""

    def heard(self, message: Message) -> None:
        if isinstance(message, Answer) and not self._answer.done():
            self._timer.cancel()
            if message.failure is not None:
                self._answer.set_exception(message.failure.error())
            else:
                self._answer.set_result(message.result)
        elif isinstance(message, StateChanged) and message.failure is not None and not self._answer.done():
            self._answer.set_exception(message.failure.error())

    def ended(self, ending: Ending) -> None:
        self._timer.cancel()
        if not self._answer.done():
            why = failure(f"probe {self.label}: {ending.sentence()}", lines=ending.lines)
            self._answer.set_exception(why.error())

    def _too_late(self, timeout: float) -> None:
        self.child.stack(lambda stack: self._give_up(timeout, stack))

    def _give_up(self, timeout: float, stack: str) -> None:
        if not self._answer.done():
            text = f"probe {self.label} did not answer within {timeout:g} s; the worker ended it"
            self._answer.set_exception(failure(text, stack, self.child.last_lines()).error())
        self.child.kill()
