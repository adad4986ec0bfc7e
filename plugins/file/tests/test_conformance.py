"""The file connectors, certified by the kit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from millstream_conformance import Capability, SinkConformance, SourceConformance


class _InAFolder:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        type(self).folder = tmp_path

    folder: Path


class TestFileSource(_InAFolder, SourceConformance):
    connector = "millstream_file.source:FileStreamSource"

    @classmethod
    def settings(cls) -> dict[str, str]:
        return {"file": str(cls.folder / "in.txt"), "topic": "lines", "batch.size": "2"}

    def feed(self, n: int) -> None:
        with (self.folder / "in.txt").open("a") as file:
            file.writelines(f"line {number}\n" for number in range(n))


class TestFileSink(_InAFolder, SinkConformance):
    connector = "millstream_file.sink:FileStreamSink"
    capabilities = frozenset({Capability.TOMBSTONES})

    @classmethod
    def settings(cls) -> dict[str, str]:
        return {"file": str(cls.folder / "out.txt")}

    def read_back(self) -> Sequence[Any]:
        return (self.folder / "out.txt").read_text().splitlines()
