"""The fixtures of a running worker."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import GRACEFUL, WorkerProcess

#: of a test that says none: several deadlines of `running`, each of which is a busy machine's
TEST_S = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_S))


@pytest.fixture(scope="session", autouse=True)
def signals_that_are_heard() -> None:
    """Commands get their signals though a shell or `nohup` that runs the tests in the background has them ignored."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that is not started yet, so that a test can set its properties."""
    made = WorkerProcess(tmp_path / "worker")
    made.properties[GRACEFUL] = "60000"  # in a shorter time a busy machine does not stop in order
    made.folder.mkdir()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


@pytest.fixture(params=["process", "thread"])
def either(request: pytest.FixtureRequest, worker: WorkerProcess) -> WorkerProcess:
    """A worker in each isolation."""
    worker.properties["task.isolation"] = request.param
    return worker
