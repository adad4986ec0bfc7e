"""Where the goldens are, what of them is not replayed, and how much was."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from golden.counting import Count

HERE = Path(__file__).parent
DIRECTORY = "--goldens"
COUNTS = pytest.StashKey[dict[str, Count]]()


@dataclass
class NotReplayed:
    """The list of steps that are not replayed, or differ; remembers which entries were of use."""

    steps: Mapping[str, str]
    differs: Mapping[str, str]
    used: set[str] = field(default_factory=set)

    def reason(self, step: str) -> str | None:
        """Why a step is not replayed; None: it is."""
        return self._found(self.steps, step)

    def difference(self, step: str) -> str:
        """Why a step differs. A step that differs and is not listed fails the test that asks."""
        reason = self._found(self.differs, step)
        assert reason is not None, f"{step!r} differs, and not_replayed.toml does not say why"
        return reason

    def _found(self, entries: Mapping[str, str], step: str) -> str | None:
        for pattern, reason in entries.items():
            if fnmatchcase(step, pattern):
                self.used.add(pattern)
                return reason
        return None

    def unused(self, file: str) -> set[str]:
        """Entries about a file that matched nothing."""
        return {entry for entry in (*self.steps, *self.differs) if entry.startswith(f"{file}: ")} - self.used


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(DIRECTORY, default=str(HERE), metavar="DIR", help="recorded behaviour of Java Kafka Connect")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = {}


@pytest.fixture(scope="session")
def goldens(request: pytest.FixtureRequest) -> Path:
    """The folder of the recordings; also when this file was read too late for its option."""
    return Path(request.config.getoption(DIRECTORY, default=str(HERE)))


@pytest.fixture(scope="session")
def not_replayed() -> NotReplayed:
    found = tomllib.loads((HERE / "not_replayed.toml").read_text())
    return NotReplayed(found["not_replayed"], found["differs"])


@pytest.fixture(scope="session")
def counted(request: pytest.FixtureRequest) -> dict[str, Count]:
    """How many steps of each file were replayed, of how many: printed at the end of the run."""
    return request.config.stash.setdefault(COUNTS, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash.get(COUNTS, {})
    for file, count in counts.items():
        terminalreporter.write_line(f"goldens: {file}: {count}")
    scenarios = [count for file, count in counts.items() if file.startswith("rest: ")]
    if len(scenarios) > 1:
        terminalreporter.write_line(f"goldens: rest, in all: {Count(*map(sum, zip(*scenarios, strict=True)))}")
