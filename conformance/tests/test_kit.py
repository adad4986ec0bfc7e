"""The kit passes what is right, and fails each wrong plugin in the place where it is wrong."""

import pytest

pytest_plugins = ["pytester"]

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


def run(pytester: pytest.Pytester, plugin: str, suite: str) -> pytest.RunResult:
    pytester.makepyfile(counting=plugin, test_suite=suite)
    pytester.syspathinsert()
    return pytester.runpytest_subprocess("-p", "no:cacheprovider")


def failures(result: pytest.RunResult) -> set[str]:
    return {line.split("::")[-1].split(" ")[0].split("[")[0] for line in result.outlines if line.startswith("FAILED")}


def test_a_source_that_does_it_right_passes(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLUGIN, SOURCE)
    assert failures(result) == set()
    assert result.ret == 0


def test_a_sink_that_does_it_right_passes(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLUGIN, SINK)
    assert failures(result) == set()
    assert result.ret == 0


@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        (
            'stored["count"] if stored else 0',
            "0",
            "test_restarted_after_any_committed_prefix_nothing_is_lost",
        ),
        ('{"count": self.count})]', '{"count": {1}})]', "test_partitions_and_offsets_are_json_clean"),
        ("        self.count += 1\n", "        self.count += 1; print('hello')\n", "test_nothing_is_printed"),
        (
            "if self.context.wait(self.config.pause_ms / 1000):",
            "import time; time.sleep(3 if self.context._blocking else 0)\n        if False:",
            "test_stop_ends_a_blocked_poll_within_a_second",
        ),
        (
            "        stored = self",
            "        threading.Thread(target=threading.Event().wait, daemon=True).start()\n        stored = self",
            "test_nothing_is_left_behind",
        ),
        ('key(1, doc="Pause between two records.")', "key(1)", "test_every_setting_is_documented"),
        (
            "class Counting(SourceConnector[CountingConfig]):\n",
            "class Counting(SourceConnector[CountingConfig]):\n"
            "    def task_configs(self, max_tasks): return [{}] * (max_tasks + 1)\n",
            "test_task_configs_are_text_and_no_more_than_asked_for",
        ),
        ("self.count, {", "self.count, value_schema=STRING, source_partition={", "test_values_fit_their_schemas"),
    ],
    ids=lambda text: text if text.startswith("test_") else "",
)
def test_a_source_that_is_wrong_fails_where_it_is_wrong(
    pytester: pytest.Pytester, right: str, wrong: str, test: str
) -> None:
    assert right in PLUGIN
    plugin = PLUGIN.replace(right, wrong)
    if test == "test_values_fit_their_schemas":
        plugin = plugin.replace(', {"count": self.count})]', ', source_offset={"count": self.count})]')
    assert test in failures(run(pytester, plugin, SOURCE))


@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        (
            "        return offsets\n",
            "        return {at: offset + 1 for at, offset in offsets.items()}\n",
            "test_pre_commit_is_never_ahead_of_what_was_put",
        ),
        (
            "        self.out.flush()\n",
            "",
            "test_what_was_committed_is_outside_even_if_the_task_goes_no_further",
        ),
        ("        self.out.close()\n", "        pass\n", "test_nothing_is_left_behind"),
        ("        for record in batch:\n", "        for record in reversed(batch):\n", "test_records_arrive_in_order"),
    ],
    ids=lambda text: text if text.startswith("test_") else "",
)
def test_a_sink_that_is_wrong_fails_where_it_is_wrong(
    pytester: pytest.Pytester, right: str, wrong: str, test: str
) -> None:
    assert right in PLUGIN
    plugin = PLUGIN.replace(right, wrong)
    if test == "test_nothing_is_left_behind":
        plugin = plugin.replace("self.out = open(", "self.kept = KEPT; self.out = open(").replace(
            "class KeepingTask", "KEPT = []\n\nclass KeepingTask"
        )
        plugin = plugin.replace('"a")\n', '"a"); KEPT.append(self.out)\n')
    assert test in failures(run(pytester, plugin, SINK))


def test_a_kit_test_cannot_be_replaced(pytester: pytest.Pytester) -> None:
    suite = SOURCE + "\n    def test_nothing_is_printed(self):\n        pass\n"
    result = run(pytester, PLUGIN, suite)
    result.stdout.fnmatch_lines(["*TestCounting replaces test_nothing_is_printed; waive a test by name and reason*"])


def test_a_waived_test_is_an_expected_failure_and_a_mended_bug_forces_the_waiver_out(
    pytester: pytest.Pytester,
) -> None:
    waiver = '\n    waived = {"test_nothing_is_printed": "it greets"}\n'
    printing = PLUGIN.replace("        self.count += 1\n", "        self.count += 1; print('hello')\n")
    assert run(pytester, printing, SOURCE + waiver).ret == 0
    assert failures(run(pytester, PLUGIN, SOURCE + waiver)) == {"test_nothing_is_printed"}


def test_a_distribution_is_certified_with_a_certificate(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--certify=millstream-json", "-p", "no:cacheprovider")
    assert result.ret == 0, result.outlines
    certificate = (pytester.path / "certificate.json").read_text()
    assert '"certified": true' in certificate
    assert "test_listing_imports_only_the_plugin_itself" in certificate


def test_an_unknown_distribution_is_said_to_be_missing(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--certify=no-such-thing", "-p", "no:cacheprovider")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*no distribution is called 'no-such-thing' here*"])
