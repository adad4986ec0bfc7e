"""How long a test of this folder may take, its own deadlines being those of a busy machine; a broker, a topic, its
readers."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millstream.broker.connect import open_broker
from millstream.broker.ports import Broker
from services.kafka import Kafka
from services.reading import Member, members_of

HERE = Path(__file__).parent
LIMIT_S = 300
#: how long calls wait before they raise that it may pass: a task comes again then
IMPATIENCE = ("admin.VISIBLE_SECONDS", "broker.LIMIT_SECONDS", "writing.producer.SLOW_SECONDS")
IMPATIENCE += ("writing.sending.SLOW_SECONDS", "writing.sending.STALL_SECONDS")
IMPATIENCE += ("writing.topics.LOOK_SECONDS", "writing.topics.STEP_SECONDS")
PATIENCE_S = 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are the task themselves, and call once: brokers may take as long as those of a busy machine do."""
    for name in IMPATIENCE:
        monkeypatch.setattr(f"millstream.broker.kafka.{name}", PATIENCE_S)


@pytest.fixture
def broker(kafka: Kafka) -> Iterator[Broker]:
    broker = open_broker(kafka.address())
    yield broker
    broker.close()


@pytest.fixture
def topic() -> str:
    return f"rows-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def joining(broker: Broker, topic: str) -> Iterator[Callable[..., Member]]:
    with members_of(broker, topic) as joining:
        yield joining
