"""What the tests of the kit share: plugins that do it right, to be made wrong, and a run of pytest over them."""

import gc
import json
import warnings
from collections.abc import Sequence
from typing import Any

import pytest

import millstream_api
import millstream_conformance

# before a run in this process, which forgets what was imported in it: a class must not be there twice
for package in (millstream_api, millstream_conformance):
    for name in package.__all__:
        getattr(package, name)

#: suite, what is right, what is wrong instead, the test that must fail
Wrong = tuple[str, str, str, str]
#: a run needs none of them; the first two are imported anew each time
LEAN = (
    "-W",
    "ignore::ResourceWarning",
    "-p",
    "no:hypothesispytest",
    "-p",
    "no:anyio",
    "-p",
    "no:xdist",
    "-p",
    "no:cacheprovider",
)
PLUGIN = """
import json, sys, threading
from collections.abc import Sequence
from millstream_api import *

class CountingConfig(Config):
    topic: str = key(doc="Topic to write to.")
    pause_ms: int = key(1, doc="Pause between two records.")

class CountingTask(SourceTask[CountingConfig]):
    def start(self):
        stored = self.context.offset({"topic": self.config.topic})
        self.count = stored["count"] if stored else 0

    def poll(self):
        if self.context.wait(self.config.pause_ms / 1000):
            return []
        self.count += 1
        return [SourceRecord(self.config.topic, self.count, {"topic": self.config.topic}, {"count": self.count})]

class Counting(SourceConnector[CountingConfig]):
    config_class = CountingConfig
    task_class = CountingTask

class KeepingConfig(Config):
    file: str = key("out.txt", doc="Where to.")

class KeepingTask(SinkTask[KeepingConfig]):
    def start(self):
        self.out = open(self.config.file, "a")
    def put(self, batch):
        for record in batch:
            self.out.write(f"{record.value}\\n")
    def pre_commit(self, offsets):
        self.out.flush()
        return offsets
    def stop(self):
        self.out.close()

class Keeping(SinkConnector[KeepingConfig]):
    config_class = KeepingConfig
    task_class = KeepingTask
"""
SOURCE = """
from millstream_conformance import SourceConformance

class TestCounting(SourceConformance):
    connector = "counting:Counting"
    config = {"topic": "counts"}
"""
SUITE = SOURCE.replace("counting:Counting", "counting.connectors:Counting")
HOOKS = """
from millstream_api import PluginRef, hookimpl

@hookimpl
def register_sources():
    yield PluginRef("counting.connectors:Counting")
"""
METADATA = "Metadata-Version: 2.1\nName: counting\nVersion: 1.2.3\nRequires-Dist: millstream-api<1,>=0.1\n"
SINK = """
from pathlib import Path
from millstream_conformance import SinkConformance

class TestKeeping(SinkConformance):
    connector = "counting:Keeping"
    config = {}

    def running(self):
        Path("out.txt").unlink(missing_ok=True)
        return super().running()

    def read_back(self):
        return Path("out.txt").read_text().splitlines()
"""


def installed(pytester: pytest.Pytester, plugin: str = PLUGIN, suite: str = SUITE) -> pytest.Pytester:
    """An installed distribution with one source, and its suite."""
    package = pytester.mkpydir("counting")
    (package / "plugin.py").write_text(HOOKS)
    (package / "connectors.py").write_text(plugin)
    (package / "py.typed").touch()
    info = pytester.mkdir("counting-1.2.3.dist-info")
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[millstream]\ncounting = counting.plugin\n")
    pytester.makepyfile(test_suite=suite)
    return pytester


def certificate(pytester: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "certificate.json").read_text())
    return found


def run(
    pytester: pytest.Pytester, plugin: str, suite: str, module: str = "counting", only: str = ""
) -> pytest.RunResult:
    """only: the name of a test, where the others of the suite do not matter."""
    pytester.makepyfile(**{module: plugin, "test_suite": suite})
    pytester.syspathinsert()
    try:
        result = pytester.runpytest_inprocess(*LEAN, *(["-k", only] if only else []))
    finally:
        with warnings.catch_warnings():  # what a wrong plugin left open is closed here, and not in the run of the next
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


def run_apart(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """In a process of its own: what is asked for depends on what is imported, or it is not the first run."""
    return pytester.runpytest_subprocess(*LEAN, *arguments)


def failures(result: pytest.RunResult) -> set[str]:
    return {line.split("::")[-1].split(" ")[0].split("[")[0] for line in result.outlines if line.startswith("FAILED")}


def named(rows: Sequence[Wrong]) -> Any:
    """The rows as a test's parameters, called by the test that must fail."""
    return pytest.mark.parametrize("row", rows, ids=[f"{row[3]}-{number}" for number, row in enumerate(rows)])


def passes(pytester: pytest.Pytester, plugin: str, suite: str, module: str = "counting") -> None:
    result = run(pytester, plugin, suite, module)
    assert failures(result) == set()
    assert result.ret == 0


def fails_there(pytester: pytest.Pytester, plugin: str, row: Wrong, module: str) -> None:
    """With one thing wrong instead of right, the test that is for it fails."""
    suite, right, wrong, test = row
    assert right in plugin
    assert test in failures(run(pytester, plugin.replace(right, wrong), suite, module, test))
