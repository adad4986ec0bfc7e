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
#: what hangs is waited for as long; what does not takes a thousandth of it
PATIENCE_S = 1.0


class _Source(SourceConformance):
    connector = f"{CONNECTORS}:HostileSource"


class _Sink(SinkConformance):
    connector = f"{CONNECTORS}:HostileSink"


class _EndlessSource(_Source):
    patience_s = PATIENCE_S


class _EndlessSink(_Sink):
    patience_s = PATIENCE_S


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


class TestSourceThatEndsItsProcess(_Source):
    config = {"deed": "exit_at_once", "place": "task.poll"}


class TestSourceThatInterrupts(_Source):
    config = {"deed": "keyboard_interrupt", "place": "task.poll"}


class TestSourceWhoseProbeEndsItsProcess(_Source):
    config = {"deed": "exit_at_once", "place": "connector.probe"}


class TestSinkThatFaults(_Sink):
    config = {"deed": "segfault", "place": "task.put"}


class TestSinkThatAborts(_Sink):
    config = {"deed": "abort", "place": "connector.start"}


class TestSourceThatWantsTwoGigabytes(_Source):
    config = {"deed": "greed", "place": "task.start"}


class TestSinkThatClosesItsOutput(_Sink):
    config = {"deed": "close_stdout", "place": "task.start"}


class TestSourceThatChangesTheFolder(_Source):
    config = {"deed": "change_folder", "place": "task.start"}


class TestSinkThatHandlesSignals(_Sink):
    config = {"deed": "other_signals", "place": "task.put"}


class TestSinkThatFloods(_Sink):
    config = {"deed": "flood", "place": "task.put"}


class TestSinkWhoseErrorCannotBePickled(_Sink):
    config = {"deed": "raise_unpicklable", "place": "task.put"}


class TestSourceWhoseStartIsEndless(_EndlessSource):
    config = {"deed": "sleep", "place": "task.start"}


class TestSinkWhoseStartLetsNobodyRun(_EndlessSink):
    config = {"deed": "hold_the_gil", "place": "task.start"}


class TestSourceWhoseConnectorsStartIsEndless(_EndlessSource):
    config = {"deed": "spin", "place": "connector.start"}


class TestSinkWhoseTaskConfigsAreEndless(_EndlessSink):
    config = {"deed": "sleep", "place": "connector.task_configs"}


class TestSourceWhosePollLetsNobodyRun(_EndlessSource):
    config = {"deed": "hold_the_gil", "place": "task.poll"}


class TestSinkWhosePutIsEndless(_EndlessSink):
    config = {"deed": "spin", "place": "task.put"}


class TestSinkWhosePreCommitIsEndless(_EndlessSink):
    config = {"deed": "sleep", "place": "task.pre_commit"}


class TestSourceWhoseStopIsEndless(_EndlessSource):
    config = {"deed": "spin", "place": "task.stop"}


class TestSinkWhoseConnectorsStopIsEndless(_EndlessSink):
    config = {"deed": "sleep", "place": "connector.stop"}


class TestSourceWhoseProbeIsEndless(_EndlessSource):
    config = {"deed": "sleep", "place": "connector.probe"}


class TestSinkWhoseProbeLetsNobodyRun(_EndlessSink):
    config = {"deed": "hold_the_gil", "place": "connector.probe"}


class TestSourceWhoseMonitorIsEndless(_EndlessSource):
    config = {"deed": "sleep", "place": "connector.monitor"}


class TestSourceThatAltersWithoutEnd(_EndlessSource):
    config = {"deed": "spin", "place": "connector.alter_offsets"}


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
