"""A pytest plugin: one fixture a service, started once a session before the first test, all at the same time.

Its imports are light, as every test environment has this plugin; what a service needs is imported when it is asked for.
A new service is a module with a class that has `of_session`, one line in `CATALOGUE` and one fixture.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from services.errors import Unavailable
from services.instance import tail
from services.session import REQUIRED, Session, required

if TYPE_CHECKING:
    from services.kafka import Kafka

CATALOGUE = {"kafka": "services.kafka:Kafka"}
SESSION = pytest.StashKey[Session]()
LOGGED = pytest.StashKey[dict[Path, int]]()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> "Kafka":
    """A broker that all tests of the session share: use topics and groups of your own names."""
    found: Kafka = service(request, "kafka")
    return found


@pytest.fixture
def kafka_proxy(kafka: "Kafka") -> Iterator[Any]:
    """The proxy before the listener PROXIED, healed after the test."""
    yield kafka.proxy
    kafka.proxy.heal()


@pytest.fixture
def own_kafka(request: pytest.FixtureRequest) -> "Iterator[Callable[..., Kafka]]":
    """`own_kafka({...})` starts a broker for this test alone, with further properties, to be stopped or killed.

    A test that does so needs `@pytest.mark.timeout(240)`, as a JVM on a loaded machine takes its time.
    """
    session = request.config.stash[SESSION]

    def start(properties: dict[str, str] | None = None) -> "Kafka":
        from services.kafka import Kafka

        broker: Kafka = available(lambda: Kafka.start(session.form, properties))
        session.own.append(broker)
        return broker

    yield start
    while session.own:
        session.own.pop().stop()


def service(request: pytest.FixtureRequest, name: str) -> Any:
    """A service of the session. Without it the test is skipped, or fails where services are required."""
    return available(lambda: request.config.stash[SESSION].get(name))


def available(start: Callable[[], Any]) -> Any:
    try:
        return start()
    except Unavailable as reason:
        if required():
            pytest.fail(f"{reason} ({REQUIRED} is set: nothing is skipped)", pytrace=False)
        pytest.skip(str(reason))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SESSION] = Session(CATALOGUE)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SESSION in config.stash:
        config.stash[SESSION].stop()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Before any test, so that no test's time limit pays for the start."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    services = session.config.stash[SESSION]
    services.begin(name for name in CATALOGUE if name in wanted)
    services.wait()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    logs = _logs(item)
    item.stash[LOGGED] = {log: log.stat().st_size for log in logs.values() if log.exists()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the services wrote since it began."""
    report = yield
    if report.failed:
        for name, log in _logs(item).items():
            text = tail(log, item.stash[LOGGED].get(log, 0))
            if text:
                report.sections.append((f"log of {name} during this test", text))
    return report


def _logs(item: pytest.Item) -> dict[str, Path]:
    return {name: log for service in item.config.stash[SESSION].up() for name, log in service.logs.items()}
