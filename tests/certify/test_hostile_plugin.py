"""The kit fails the hostile plugin in the places where it is wrong, and nowhere else; its settings are sound."""

import json
import random
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from millstream_api.config.soundness import faults, sample

SUITES = Path(__file__).with_name("hostile_suites.py")
#: a counter that no restart reads: wrong in every source of it, whatever the deed
NO_MEMORY = {
    "test_restarted_after_any_committed_prefix_nothing_is_lost",
    "test_offsets_that_an_operator_sets_are_gone_on_from",
}
LEFT_BEHIND, PRINTED = "test_nothing_is_left_behind", "test_nothing_is_printed"
CHANGED = "test_the_process_stays_as_it_was"
PROBED = "test_probe_has_no_objection_to_the_settings_it_runs_with"
ALTERED = {
    "test_offsets_that_an_operator_sets_are_gone_on_from",
    "test_offsets_that_an_operator_forgets_are_forgotten",
    "test_offsets_of_another_connector_are_refused_in_words_or_taken",
}
CONFIGURED = "test_task_configs_are_text_and_no_more_than_asked_for"
MONITORED = "test_monitor_ends_within_a_second_when_it_is_time_to_stop"
CLEAN = "test_partitions_and_offsets_are_json_clean"
#: what an offset that is no JSON spoils besides: nothing can be stored, so nothing can be restored
UNSTORABLE = {
    *NO_MEMORY,
    CLEAN,
    "test_stored_offsets_are_not_changed",
    "test_offsets_that_an_operator_forgets_are_forgotten",
}
#: tests in which a source's task runs
POLLED = {
    *UNSTORABLE,
    CHANGED,
    "test_values_fit_their_schemas",
    "test_what_was_polled_is_not_changed_afterwards",
    "test_a_batch_answers_for_its_offsets_after_the_next_poll",
    "test_a_poll_without_data_returns",
    "test_stop_ends_a_blocked_poll_within_a_second",
    LEFT_BEHIND,
    PRINTED,
}
#: tests in which a sink's task starts
STARTED = {
    "test_columns_and_rows_are_the_same_outside",
    "test_rows_of_several_partitions_arrive_in_the_order_of_each",
    "test_each_partition_has_its_own_offset_and_goes_on_when_another_is_taken_away",
    "test_two_tasks_write_beside_each_other",
    "test_an_empty_batch_is_taken",
    "test_records_arrive_in_order",
    "test_records_that_come_again_after_a_restart_are_taken_and_none_is_lost",
    "test_what_was_committed_is_outside_even_if_the_task_goes_no_further",
    "test_pre_commit_is_never_ahead_of_what_was_put",
    "test_null_keys_and_keys_are_taken",
    "test_what_is_put_is_not_changed",
    LEFT_BEHIND,
    PRINTED,
    CHANGED,
}
EXPECTED: dict[str, set[str]] = {
    "TestSourceThatPrints": {*NO_MEMORY, PRINTED},
    "TestSourceThatLeavesAThread": {*NO_MEMORY, LEFT_BEHIND},
    "TestSourceThatSleeps": {*NO_MEMORY, "test_stop_ends_a_blocked_poll_within_a_second"},
    "TestSourceWithASetInItsOffsets": UNSTORABLE,
    "TestSourceWithBytesInItsOffsets": UNSTORABLE,
    "TestSourceWithNanInItsOffsets": UNSTORABLE,
    "TestSourceThatChangesWhatItGave": {*NO_MEMORY, "test_what_was_polled_is_not_changed_afterwards"},
    "TestSourceThatRaises": POLLED,
    "TestSourceThatExits": {*POLLED, CONFIGURED},
    "TestSinkThatPrints": {PRINTED},
    "TestSinkThatChangesItsBatch": {"test_what_is_put_is_not_changed"},
    "TestSinkThatLeavesAThread": {LEFT_BEHIND},
    "TestSourceThatEndsItsProcess": POLLED,
    "TestSourceThatInterrupts": POLLED,
    "TestSourceWhoseProbeEndsItsProcess": {*NO_MEMORY, PROBED},
    "TestSinkThatFaults": STARTED,
    "TestSinkThatAborts": {*STARTED, CONFIGURED, MONITORED},
    "TestSourceThatWantsTwoGigabytes": POLLED,
    # where two tasks start in one test, the second one has nothing to close
    "TestSinkThatClosesItsOutput": {
        *(CHANGED, LEFT_BEHIND, "test_two_tasks_write_beside_each_other"),
        "test_records_that_come_again_after_a_restart_are_taken_and_none_is_lost",
    },
    "TestSourceThatChangesTheFolder": {*NO_MEMORY, CHANGED},
    "TestSinkThatHandlesSignals": {CHANGED},
    "TestSinkThatFloods": {PRINTED},
    "TestSinkWhoseErrorCannotBePickled": STARTED,
    "TestSourceWhoseStartIsEndless": POLLED,
    "TestSinkWhoseStartLetsNobodyRun": STARTED,
    "TestSourceWhoseConnectorsStartIsEndless": {*POLLED, CONFIGURED, MONITORED},
    "TestSinkWhoseTaskConfigsAreEndless": {*STARTED, CONFIGURED},
    "TestSourceWhosePollLetsNobodyRun": POLLED,
    "TestSinkWhosePutIsEndless": STARTED,
    "TestSinkWhosePreCommitIsEndless": STARTED,
    "TestSourceWhoseStopIsEndless": POLLED,
    "TestSinkWhoseConnectorsStopIsEndless": {*STARTED, CONFIGURED, MONITORED},
    "TestSourceWhoseProbeIsEndless": {*NO_MEMORY, PROBED},
    "TestSinkWhoseProbeLetsNobodyRun": {PROBED},
    "TestSourceWhoseMonitorIsEndless": {*NO_MEMORY, MONITORED},
    "TestSourceThatAltersWithoutEnd": {*NO_MEMORY, *ALTERED},
    "TestTransformation": {
        "test_the_batch_form_leaves_the_batch_as_it_was",
        "test_the_batch_form_does_what_the_record_form_does",
    },
    "packaging.py": {"test_every_reference_is_a_class_of_its_kind", "test_every_setting_is_documented"},
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("certificate")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"]
    # the settings are the same in all suites: the last test below is for them
    command += ["-k", "not parsing_and_validation_agree", f"--rootdir={SUITES.parent}"]
    command += ["--certify=millstream-hostile", f"--certificate={folder / 'certificate.json'}", str(SUITES)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=540)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout[-2000:]
    found: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    return {**found, "printed": done.stdout}


@pytest.mark.timeout(600)
def test_each_deed_fails_where_it_is_wrong_and_nowhere_else(certificate: dict[str, Any]) -> None:
    failed: dict[str, set[str]] = {}
    for node in certificate["failed"]:
        *_, suite, test = node.split("::")
        failed.setdefault(Path(suite).name, set()).add(test.partition("[")[0])
    assert failed == EXPECTED


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("suite", "how"),
    [
        ("TestSourceThatEndsItsProcess", "the process ended itself with exit code 3 in the task's poll"),
        ("TestSourceThatInterrupts", "KeyboardInterrupt was raised"),
        ("TestSourceWhoseProbeEndsItsProcess", "the process ended itself with exit code 3 in the connector's probe"),
        ("TestSinkThatFaults", "the process was ended by signal 11 (SIGSEGV) in the task's put"),
        ("TestSinkThatAborts", "the process was ended by signal 6 (SIGABRT) in the connector's start"),
        (
            "TestSourceWhosePollLetsNobodyRun",
            "the task's poll did not return within 1 s, and let no other code of its process run",
        ),
    ],
)
def test_what_ends_the_process_is_told_in_the_certificate(certificate: dict[str, Any], suite: str, how: str) -> None:
    told = {node: each for node, each in certificate["ended"].items() if f"::{suite}::" in node}
    assert set(told.values()) == {how}
    assert all(f"{how}: {node}" in certificate["objections"] for node in told)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "sentence",
    [
        "MemoryError",
        "Unpicklable: this cannot be pickled",
        "the process is not as it was: standard output is closed",
        "the process is not as it was: the working directory is '/' instead of ",
        "the process is not as it was: other handlers are set for the signals SIGINT, SIGUSR1, SIGTERM, SIGCHLD",
        "100000000 characters are printed to standard output, which begin with 'xxx",
        "left behind after stop: threads ['stray']",
        *(
            f"{call} did not return within 1 s"
            for call in (
                *("the task's start", "the task's poll", "the task's put", "the task's pre_commit", "the task's stop"),
                *("the connector's start", "the connector's task_configs", "the connector's stop"),
                *("the connector's probe", "the connector's alter_offsets"),
            )
        ),
        "the task's start is not called again: it did not return in test_",
        "monitor went on for more than 1 s: it ends when context.wait is true",
    ],
)
def test_what_fails_says_what_is_wrong(certificate: dict[str, Any], sentence: str) -> None:
    assert sentence in certificate["printed"]


@pytest.mark.timeout(600)
def test_nothing_else_ends_the_process(certificate: dict[str, Any]) -> None:
    """Least of all a thread that is left behind, or too little memory."""
    ended = {node.split("::")[-2] for node in certificate["ended"]}
    assert ended == {
        *("TestSourceThatEndsItsProcess", "TestSourceThatInterrupts", "TestSourceWhoseProbeEndsItsProcess"),
        *("TestSinkThatFaults", "TestSinkThatAborts", "TestSourceWhosePollLetsNobodyRun"),
    }


@pytest.mark.timeout(600)
def test_it_is_not_certified_and_the_certificate_says_why(certificate: dict[str, Any]) -> None:
    assert certificate["certified"] is False
    why = certificate["objections"]
    assert f"{len(certificate['failed'])} tests failed" in why
    exits = "no suite ran for the source millstream_hostile.exits_at_import:ExitsAtImport"
    assert any(objection.startswith(exits) for objection in why)


@pytest.mark.parametrize(
    "config",
    [
        "millstream_hostile.connectors:HostileConfig",
        "millstream_hostile.lending:LendingConfig",
        "millstream_heartbeat:HeartbeatConfig",
        "millstream_golden.source:GoldenConfig",
        "millstream_golden.source:GoldenTaskConfig",
        "millstream_file.config:FileSourceConfig",
        "millstream_json.config:JsonConverterConfig",
    ],
)
def test_what_holds_of_our_settings_holds_of_theirs(config: str) -> None:
    module, _, name = config.partition(":")
    config_class = getattr(import_module(module), name)
    for seed in range(300):
        assert list(faults(config_class, sample(config_class, random.Random(seed)))) == []
