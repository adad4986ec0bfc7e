"""Where the goldens are, and how much of them was replayed."""

from pathlib import Path

import pytest
from golden.counting import Count

HERE = Path(__file__).parent
DIRECTORY = "--goldens"
COUNTS = pytest.StashKey[dict[str, Count]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(DIRECTORY, default=str(HERE), metavar="DIR", help="recorded behaviour of Java Kafka Connect")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = {}


@pytest.fixture(scope="session")
def goldens(request: pytest.FixtureRequest) -> Path:
    """The folder of the recordings; also when this file was read too late for its option."""
    return Path(request.config.getoption(DIRECTORY, default=str(HERE)))


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
