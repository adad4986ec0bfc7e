"""A pytest plugin: one fixture a service, started once a session before the first test, all at the same time.

Its imports are light, as every test environment has this plugin; what a service needs is imported when it is asked for.
A new service is a module with a class that has `of_session`, one line in `CATALOGUE` and one fixture.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from services.errors import Unavailable
from services.instance import tail
from services.session import REQUIRED, Session, required

if TYPE_CHECKING:
    from services.form import Form
    from services.java_connect import JavaWorker
    from services.kafka import Kafka
    from services.proxy import Proxy

CATALOGUE = {
    "kafka": "services.kafka:Kafka",
    "strict_kafka": "services.kafka:StrictKafka",
    "java_connect": "services.java_connect:JavaWorker",
}
T = TypeVar("T")
SESSION = pytest.StashKey[Session]()
LOGGED = pytest.StashKey[dict[Path, int]]()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> "Kafka":
    """A broker that all tests of the session share: use topics and groups of your own names."""
    found: Kafka = service(request, "kafka")
    return found


@pytest.fixture(scope="session")
def strict_kafka(request: pytest.FixtureRequest) -> "Kafka":
    """Another one that all share: it makes no topic by itself, and asks for a certificate by SSL."""
    found: Kafka = service(request, "strict_kafka")
    return found


@pytest.fixture(scope="session")
def java_connect(request: pytest.FixtureRequest) -> "JavaWorker":
    """A distributed Java worker on that broker, alone in its cluster."""
    found: JavaWorker = service(request, "java_connect")
    return found


@pytest.fixture
def kafka_proxy(kafka: "Kafka") -> "Iterator[Proxy]":
    """The proxy before the listener PROXIED, healed after the test."""
    yield kafka.proxy
    kafka.proxy.heal()


@pytest.fixture
def own(request: pytest.FixtureRequest) -> "Iterator[Own]":
    """Starts services for this test alone, which it may stop and kill; they end with it.

    A test that does so needs `@pytest.mark.timeout(300)`, as a JVM on a loaded machine takes its time.
    """
    session = request.config.stash[SESSION]
    yield Own(session)
    with ExitStack() as last_first:
        while session.own:
            last_first.callback(session.own.pop(0).stop)


@pytest.fixture
def own_kafka(own: "Own") -> "Callable[..., Kafka]":
    """`own_kafka({...})` is a broker with further properties for this test alone."""
    return own.kafka


class Own:
    """Starts services of one test's own."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def kafka(
        self,
        properties: Mapping[str, str] | None = None,
        form: "Form | None" = None,
        disk_mb: int | None = None,
    ) -> "Kafka":
        """A broker with further properties, in a form of the test's choice, or with a small disk."""

        kind = available(lambda: self._session.kind("kafka"))
        started: Kafka = self._kept(lambda: kind.start(form or self._session.form, properties, disk_mb=disk_mb))
        return started

    def java_worker(
        self, properties: Mapping[str, str], mode: str = "distributed", form: "Form | None" = None
    ) -> "JavaWorker":
        """A Java worker; `properties` has `bootstrap.servers`."""

        kind = available(lambda: self._session.kind("java_connect"))
        started: JavaWorker = self._kept(lambda: kind.start(form or self._session.form, properties, mode))
        return started

    def _kept(self, start: Callable[[], Any]) -> Any:
        started = available(start)
        self._session.own.append(started)
        return started


def service(request: pytest.FixtureRequest, name: str) -> Any:
    """A service of the session. Without it the test is skipped, or fails where services are required."""
    return available(lambda: request.config.stash[SESSION].get(name))


def available(start: Callable[[], T]) -> T:
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
