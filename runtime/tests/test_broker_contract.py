"""The embedded log, on disk and in memory, keeps the contract of the ports."""

import importlib.util
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.broker.connect import open_broker
from millstream.broker.ports import Broker

SPEC = importlib.util.spec_from_file_location("broker_contract", Path(__file__).with_name("broker_contract.py"))
assert SPEC is not None
assert SPEC.loader is not None
broker_contract = importlib.util.module_from_spec(SPEC)
sys.modules["broker_contract"] = broker_contract
SPEC.loader.exec_module(broker_contract)


class TestEmbedded(broker_contract.BrokerContract):  # type: ignore[misc, name-defined]
    @pytest.fixture(params=["file", "memory"])
    def broker(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
        where = f"{tmp_path}/log.db" if request.param == "file" else f":memory:{uuid.uuid4()}"
        broker = open_broker(f"sqlite:{where}")
        assert broker.bootstrap == f"sqlite:{where}"
        assert broker.shared is (request.param == "file")
        yield broker
        broker.close()
