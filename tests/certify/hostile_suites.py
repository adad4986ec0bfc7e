"""The hostile plugin under the kit: run by test_hostile_plugin.py, which says where it must fail."""

from pathlib import Path

import pytest

from millstream_conformance import (
    ConfigProviderConformance,
    SinkConformance,
    SourceConformance,
    TransformationConformance,
)

CONNECTORS = "millstream_hostile.connectors"


class _Source(SourceConformance):
    connector = f"{CONNECTORS}:HostileSource"


class _Sink(SinkConformance):
    connector = f"{CONNECTORS}:HostileSink"


class TestSourceThatPrints(_Source):
    config = {"deed": "greet", "place": "task.poll", "after": "1"}


class TestSourceThatLeavesAThread(_Source):
    config = {"deed": "stray_thread", "place": "task.start"}


class TestSourceThatSleeps(_Source):
    config = {"deed": "sleep", "place": "task.poll", "after": "6"}


class TestSourceWithASetInItsOffsets(_Source):
    config = {"offset": "set"}


class TestSourceWithBytesInItsOffsets(_Source):
    config = {"offset": "bytes"}


class TestSourceWithNanInItsOffsets(_Source):
    config = {"offset": "nan"}


class TestSourceThatChangesWhatItGave(_Source):
    config = {"deed": "change_batch", "place": "task.poll"}


class TestSourceThatRaises(_Source):
    config = {"deed": "raise_unspeakable", "place": "task.poll"}


class TestSourceThatExits(_Source):
    config = {"deed": "system_exit", "place": "connector.task_configs"}


class TestSinkThatPrints(_Sink):
    config = {"deed": "greet", "place": "task.put"}


class TestSinkThatChangesItsBatch(_Sink):
    config = {"deed": "change_batch", "place": "task.put"}


class TestSinkThatLeavesAThread(_Sink):
    config = {"deed": "stray_thread", "place": "task.put"}


class TestTransformation(TransformationConformance):
    transformation = f"{CONNECTORS}:ChangesItsBatch"


class TestLendingProvider(ConfigProviderConformance):
    """Not hostile."""

    provider = "millstream_hostile.lending:LendingProvider"

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        (tmp_path / "lent").write_text("user=alice\npassword=open sesame\n")
        type(self).path = str(tmp_path / "lent")

    def known(self) -> dict[str, str]:
        return {"user": "alice", "password": "open sesame"}
