"""Scenarios replayed against running workers, several workers at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from golden.rest.asking import Asked
from golden.rest.between import SETTINGS, Setting, before, delete_all
from golden.rest.recording import Answer, Exchange
from running import PROPERTIES, WorkerProcess

#: how long an answer may take to become what was recorded, and one that is not expected to
PATIENCE_S, IMPATIENCE_S = 60.0, 0.2
#: workers that run at the same time
AT_ONCE = 3
#: entry points of the plugins that the recorded worker had; others that are installed here would show in lists
RECORDED_PLUGINS = {"builtin", "file", "golden", "json", "transforms"}
LINES = "".join(f"line {number}\n" for number in range(5))


@dataclass(frozen=True)
class Judge:
    """as_expected: whether an answer will do.   hopeless: whether a step is known not to be alike yet."""

    as_expected: Callable[[Exchange, Answer], bool]
    hopeless: Callable[[Exchange], bool]


Outcome = list[tuple[Exchange, Answer]]


@dataclass
class Replay:
    """Runs the scenarios that are wanted; `of` waits for one of them."""

    judge: Judge
    exchanges: Sequence[Exchange]
    folder: Path

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, "replay")
        self._outcomes: dict[str, Future[Outcome]] = {}

    def begin(self, scenarios: Iterable[str]) -> None:
        """Start the workers of scenarios that have not begun."""
        wanted = set(scenarios) - self._outcomes.keys()
        for setting in SETTINGS:
            ours = [each for each in setting.scenarios if each in wanted]
            outcomes = {scenario: Future[Outcome]() for scenario in ours}
            self._outcomes.update(outcomes)
            if ours:
                self._pool.submit(self._run, setting, self.folder / "-".join(ours), outcomes)

    def of(self, scenario: str) -> Outcome:
        return self._outcomes[scenario].result()

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _run(self, setting: Setting, folder: Path, outcomes: Mapping[str, Future[Outcome]]) -> None:
        worker = worker_of(setting, folder)
        try:
            asked = Asked(worker.start())
            for number, (scenario, outcome) in enumerate(outcomes.items()):
                if number:
                    delete_all(asked)
                outcome.set_result(self._replay(asked, scenario))
            worker.stop()
        except BaseException as error:
            for outcome in outcomes.values():
                if not outcome.done():
                    outcome.set_exception(error)
        finally:
            if worker.process is not None and worker.process.poll() is None:
                worker.kill()

    def _replay(self, asked: Asked, scenario: str) -> Outcome:
        return [(exchange, self._step(asked, exchange)) for exchange in self.exchanges if exchange.scenario == scenario]

    def _step(self, asked: Asked, exchange: Exchange) -> Answer:
        for deed in before(exchange.scenario, exchange.name):
            deed(asked)
        request = exchange.request
        if request.method != "GET" or not request.target.startswith("/connectors"):
            return asked.answer(request)
        patience = IMPATIENCE_S if self.judge.hopeless(exchange) else PATIENCE_S
        return asked.answer_in_time(request, lambda answer: self.judge.as_expected(exchange, answer), patience)


def worker_of(setting: Setting, folder: Path) -> WorkerProcess:
    """A worker as the recorder's was set up, not started yet."""
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "in.txt").write_text(LINES)

    def filled(text: str) -> str:
        return text.replace("$DATA", str(data)).replace("$FOLDER", str(folder))

    for name, text in setting.files.items():
        (folder / name).write_text(filled(text))
    others = {each.name for each in entry_points(group="millstream")} - RECORDED_PLUGINS
    disabled = {"plugins.disabled": ",".join(sorted(others))} if others else {}
    return WorkerProcess(
        folder,
        {**PROPERTIES, "offset.flush.interval.ms": "1000", **disabled, **setting.properties},
        list(setting.arguments),
        {name: filled(value) for name, value in setting.environment.items()},
    )
