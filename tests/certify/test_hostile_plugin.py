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
#: threads that the hostile plugin leaves behind must not keep the interpreter from ending
RUN = "import os, pytest, sys; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(code)"
#: a counter that no restart reads: wrong in every source of it, whatever the deed
NO_MEMORY = "test_restarted_after_any_committed_prefix_nothing_is_lost"
LEFT_BEHIND, PRINTED = "test_nothing_is_left_behind", "test_nothing_is_printed"
CLEAN = "test_partitions_and_offsets_are_json_clean"
#: what an offset that is no JSON spoils besides: nothing can be stored, so nothing can be restored
UNSTORABLE = {CLEAN, NO_MEMORY, "test_stored_offsets_are_not_changed"}
#: tests that poll
POLLED = {
    "test_values_fit_their_schemas",
    "test_what_was_polled_is_not_changed_afterwards",
    "test_a_batch_answers_for_its_offsets_after_the_next_poll",
    "test_a_poll_without_data_returns",
    "test_stop_ends_a_blocked_poll_within_a_second",
    LEFT_BEHIND,
    PRINTED,
}
EXPECTED: dict[str, set[str]] = {
    "TestSourceThatPrints": {NO_MEMORY, PRINTED},
    "TestSourceThatLeavesAThread": {NO_MEMORY, LEFT_BEHIND},
    "TestSourceThatSleeps": {NO_MEMORY, "test_stop_ends_a_blocked_poll_within_a_second"},
    "TestSourceWithASetInItsOffsets": UNSTORABLE,
    "TestSourceWithBytesInItsOffsets": UNSTORABLE,
    "TestSourceWithNanInItsOffsets": UNSTORABLE,
    "TestSourceThatChangesWhatItGave": {NO_MEMORY, "test_what_was_polled_is_not_changed_afterwards"},
    "TestSourceThatRaises": {*UNSTORABLE, *POLLED},
    "TestSourceThatExits": {*UNSTORABLE, *POLLED, "test_task_configs_are_text_and_no_more_than_asked_for"},
    "TestSinkThatPrints": {PRINTED},
    "TestSinkThatChangesItsBatch": {"test_what_is_put_is_not_changed"},
    "TestSinkThatLeavesAThread": {LEFT_BEHIND},
    "TestTransformation": {
        "test_the_batch_form_leaves_the_batch_as_it_was",
        "test_the_batch_form_does_what_the_record_form_does",
    },
    "packaging.py": {"test_every_reference_is_a_class_of_its_kind", "test_every_setting_is_documented"},
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("certificate")
    command = [sys.executable, "-c", RUN, "-q", "-p", "no:cacheprovider", f"--rootdir={SUITES.parent}"]
    command += ["--certify=millstream-hostile", f"--certificate={folder / 'certificate.json'}", str(SUITES)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout[-2000:]
    found: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    return found


@pytest.mark.timeout(260)
def test_each_deed_fails_where_it_is_wrong_and_nowhere_else(certificate: dict[str, Any]) -> None:
    failed: dict[str, set[str]] = {}
    for node in certificate["failed"]:
        *_, suite, test = node.split("::")
        failed.setdefault(Path(suite).name, set()).add(test.partition("[")[0])
    assert failed == EXPECTED


@pytest.mark.timeout(260)
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
