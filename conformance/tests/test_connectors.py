"""The suites of sources and sinks pass what is right, and fail each wrong plugin in the place where it is wrong."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_bench import PLUGIN, SINK, SOURCE, failures, run

pytest_plugins = ["pytester"]


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
