"""Kafka keeps the contract of the broker ports, as the embedded log does."""

import importlib.util
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millstream.broker.connect import open_broker
from millstream.broker.ports import Broker
from services.kafka import Kafka

CONTRACT = Path(__file__).parents[2] / "runtime" / "tests" / "broker_contract.py"
SPEC = importlib.util.spec_from_file_location("broker_contract", CONTRACT)
assert SPEC is not None
assert SPEC.loader is not None
broker_contract = importlib.util.module_from_spec(SPEC)
sys.modules["broker_contract"] = broker_contract
SPEC.loader.exec_module(broker_contract)
broker_contract.SECONDS = 60.0  # tests of this folder have more time as a whole

WAIT_S = 60.0
pytestmark = pytest.mark.usefixtures("patient")


class Sweeper:
    """Removes the topics and groups that came since it was made: the contract's tests use the same names."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._admin = AdminClient(settings)
        self._topics, self._groups = self._found()

    def sweep(self) -> None:
        deadline, refusal = time.monotonic() + WAIT_S, None
        while new := self._new():
            assert time.monotonic() < deadline, f"{new} are not gone: {refusal}"
            for future in self._removed(*new).values():
                try:
                    future.result(WAIT_S)
                except KafkaException as error:  # gone by itself, or a member is still leaving it
                    refusal = error

    def _removed(self, topics: list[str], groups: list[str]) -> dict[str, Future[None]]:
        gone = self._admin.delete_consumer_groups(groups) if groups else {}
        return {**gone, **(self._admin.delete_topics(topics) if topics else {})}

    def _new(self) -> tuple[list[str], list[str]] | None:
        """Topics and groups, if there are any."""
        new = [
            sorted(there - before) for there, before in zip(self._found(), (self._topics, self._groups), strict=True)
        ]
        return (new[0], new[1]) if any(new) else None

    def _found(self) -> tuple[set[str], set[str]]:
        groups = self._admin.list_consumer_groups().result(WAIT_S)
        names = self._admin.list_topics(timeout=WAIT_S).topics
        return {name for name in names if not name.startswith("__")}, {group.group_id for group in groups.valid}


@pytest.fixture(scope="module")
def sweeper(kafka: Kafka) -> Sweeper:
    return Sweeper(kafka.client())


class TestKafka(broker_contract.BrokerContract):  # type: ignore[misc, name-defined]
    @pytest.fixture
    def broker(self, kafka: Kafka, sweeper: Sweeper) -> Iterator[Broker]:
        broker = open_broker(kafka.address())
        assert broker.shared
        yield broker
        broker.close()
        sweeper.sweep()
