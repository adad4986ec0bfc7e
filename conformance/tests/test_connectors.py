"""The suites of sources and sinks pass what is right, and fail each wrong plugin in the place where it is wrong."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_bench import PLUGIN, SINK, SOURCE, failures, passes, run

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each is a run of pytest, on a machine that may be busy


def test_a_source_that_does_it_right_passes(pytester: pytest.Pytester) -> None:
    passes(pytester, PLUGIN, SOURCE)


def test_a_sink_that_does_it_right_passes(pytester: pytest.Pytester) -> None:
    passes(pytester, PLUGIN, SINK)


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
            "import time; time.sleep(60 if self.context._blocking else 0)\n        if False:",
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
    assert test in failures(run(pytester, plugin, SOURCE, only=test))


SHARDS = """
import json
from pathlib import Path
from millstream_api import *

class ShardsConfig(Config):
    topic: str = key(doc="Topic to write to.")
    folder: str = key(doc="A file of lines a shard.")
    shards: str = key("abcd", doc="Their names; a task has some of them.")

class ShardsTask(SourceTask[ShardsConfig]):
    def start(self):
        stored = self.context.offsets([{"shard": name} for name in self.config.shards])
        self.at = {name: offset["line"] if offset else 0 for name, offset in zip(self.config.shards, stored)}

    def poll(self):
        records = []
        for name, at in self.at.items():
            path = Path(self.config.folder, name)
            for line in path.read_text().splitlines()[at:] if path.exists() else ():
                self.at[name] += 1
                records.append(
                    SourceRecord(self.config.topic, line, {"shard": name}, {"line": self.at[name]}, STRING)
                )
        return records

class Shards(SourceConnector[ShardsConfig]):
    config_class = ShardsConfig
    task_class = ShardsTask
    def task_configs(self, max_tasks):
        names = self.config.shards
        count = min(max_tasks, len(names))
        return [{"shards": names[number::count]} for number in range(count)]
"""
SHARED = """
from pathlib import Path
import pytest
from millstream_conformance import SourceConformance

class TestShards(SourceConformance):
    connector = "shards:Shards"
    records = 10

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        type(self).config = {"topic": "t", "folder": str(tmp_path)}

    def feed(self, n):
        for number in range(n):
            with Path(self.config["folder"], "abcd"[number % 4]).open("a") as shard:
                shard.write(f"line {number}\\n")
"""
SHAPES = "test_columns_and_rows_are_the_same_outside"
TOGETHER = "test_several_tasks_give_together_what_one_gives"


@pytest.mark.parametrize(
    ("suite", "right", "wrong", "said"),
    [
        (
            SOURCE,
            "        return [SourceRecord",
            "        [SourceRecord",
            "poll gave a NoneType; it must give a list of S",
        ),
        (
            SOURCE,
            "        return [SourceRecord",
            "        yield [SourceRecord",
            "poll gave a generator; it must give a li",
        ),
        (
            SOURCE,
            "        return [SourceRecord",
            "        return ['x'] or [SourceRecord",
            "poll gave a list with a str; it",
        ),
        (
            SINK,
            "        return offsets\n",
            "",
            "pre_commit gave a NoneType; it must give a mapping of partition to offs",
        ),
    ],
    ids=["no return", "yield", "strangers", "no offsets"],
)
def test_what_a_method_may_not_give_is_said(
    pytester: pytest.Pytester, suite: str, right: str, wrong: str, said: str
) -> None:
    assert right in PLUGIN
    plugin = PLUGIN.replace(right, wrong).replace('open(self.config.file, "a")', '__import__("io").StringIO()')
    run(pytester, plugin, suite).stdout.fnmatch_lines([f"E *{said}*"])  # nobody would close a file behind it


def test_a_source_whose_tasks_share_the_work_passes(pytester: pytest.Pytester) -> None:
    passes(pytester, SHARDS, SHARED, "shards")


@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        ('{"shards": names[number::count]}', "{}", TOGETHER),
        ("names[number::count]", "names[number]", TOGETHER),
        ("for line in path", "for line in [] if len(self.at) < 4 and name == 'd' else path", TOGETHER),
        ("if offset else 0", "if offset and len(stored) == 4 else 0", "test_restarted_with_more_tasks_nothing_is_lost"),
    ],
)
def test_a_source_whose_tasks_do_not_share_the_work_fails_there(
    pytester: pytest.Pytester, right: str, wrong: str, test: str
) -> None:
    assert right in SHARDS
    assert test in failures(run(pytester, SHARDS.replace(right, wrong), SHARED, "shards", test))


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
        (
            """        for record in batch:
            self.out.write(f"{record.value}\\n")
""",
            """        for group in batch.groups:
            for value in group.values:
                self.out.write(f"{value}\\n")
""",
            SHAPES,
        ),
        (
            "        for record in batch:\n",
            "        for record in list(batch)[:2] if len(batch) == 3 else batch:\n",
            SHAPES,
        ),
        (
            "        for record in batch:\n",
            "        for record in sorted(batch, key=lambda record: -record.origin.offset):\n",
            "test_rows_of_several_partitions_arrive_in_the_order_of_each",
        ),
        (
            "        return offsets\n",
            "        self.all = getattr(self, 'all', {}); self.all |= offsets; return self.all\n",
            "test_each_partition_has_its_own_offset_and_goes_on_when_another_is_taken_away",
        ),
        (
            "        return offsets\n",
            "        return dict.fromkeys(offsets, max(offsets.values()))\n",
            "test_each_partition_has_its_own_offset_and_goes_on_when_another_is_taken_away",
        ),
        (
            "    def stop(self):\n",
            "    def close(self, partitions):\n        self.out.truncate(0)\n    def stop(self):\n",
            "test_each_partition_has_its_own_offset_and_goes_on_when_another_is_taken_away",
        ),
        ('open(self.config.file, "a")', 'open(self.config.file, "w")', "test_two_tasks_write_beside_each_other"),
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
    assert test in failures(run(pytester, plugin, SINK, only=test))


@pytest.mark.parametrize(
    "test",
    ["test_task_configs_are_text_and_no_more_than_asked_for", "test_a_poll_without_data_returns"],
)
def test_a_source_without_tasks_where_nothing_is_fed_is_told_what_the_kit_needs(
    pytester: pytest.Pytester, test: str
) -> None:
    right = "class Counting(SourceConnector[CountingConfig]):\n"
    assert right in PLUGIN
    plugin = PLUGIN.replace(right, f"{right}    def task_configs(self, max_tasks): return []\n")
    result = run(pytester, plugin, SOURCE, only=test)
    assert failures(result) == {test}
    told = (
        "gave no task, and the kit tests one: have the fixture that makes the outside put there what a task is made for"
    )
    result.stdout.fnmatch_lines([f"*{told}*"])
