"""Plugins that end the process, or never let go of it: the certificate is written, and says what they did where."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_bench import HOOKS, PLUGIN, SUITE, certificate, failures, installed, run_apart

from millstream_conformance.child import Child, apart
from millstream_conformance.guard import PRINTED, Guard, cut

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each is a run of pytest, on a machine that may be busy

POLLS = "        self.count += 1\n"
PROBES = """
    def probe(self):
        import os
        os._exit(7)
"""
ASKS_FOR_MUCH = """
    def probe(self):
        bytearray(400_000_000)
        return ()
"""
PROBED = "test_probe_has_no_objection_to_the_settings_it_runs_with"
ENDED = "the process ended itself with exit code 7"
LASTING = """
import pytest
from pathlib import Path

@pytest.fixture(scope="session", autouse=True)
def _outside():
    with Path("said").open("a") as said:
        said.write("up ")
    yield
    with Path("said").open("a") as said:
        said.write("down ")
"""
STUCK = """
import os, pytest, signal, time

@pytest.fixture(autouse=True)
def _stuck():
    if "test_values_fit" in os.environ["PYTEST_CURRENT_TEST"]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(60)
"""
SHORT = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if "test_values_fit" in item.name:
            item.add_marker(pytest.mark.timeout(3))
"""
STRAY = """
        import os
        if "test_nothing_is_left" in os.environ["PYTEST_CURRENT_TEST"]:
            threading.Thread(target=threading.Event().wait, name='stray').start()
"""
NO_STRAY = """
def test_there_is_no_stray():
    import threading
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
"""
CONNECTOR = "    config_class = CountingConfig\n    task_class = CountingTask\n"


def test_a_plugin_that_ends_the_process_fails_where_it_does(pytester: pytest.Pytester) -> None:
    last_words = PLUGIN.replace(POLLS, "        print('last words'); __import__('os')._exit(7)\n")
    result = run_apart(installed(pytester, last_words), "--certify=counting")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = certificate(pytester)
    assert found["certified"] is False
    assert set(found["ended"]) == set(found["failed"])
    assert set(found["ended"].values()) == {f"{ENDED} in the task's poll"}
    assert all(f"{ENDED} in the task's poll: {node}" in found["objections"] for node in found["failed"])
    assert any("test_task_configs_are_text" in node for node in found["passed"])
    result.stdout.fnmatch_lines([f"{ENDED} in the task's poll", "*Captured stdout call*", "last words"])


def test_a_module_that_ends_the_process_when_it_is_imported_is_not_covered(pytester: pytest.Pytester) -> None:
    installed(pytester)
    also = HOOKS + '    yield PluginRef("counting.ends:Ends")\n'
    (pytester.path / "counting" / "plugin.py").write_text(also)
    (pytester.path / "counting" / "ends.py").write_text("import os\nos._exit(7)\n")
    assert run_apart(pytester, "--certify=counting").ret == pytest.ExitCode.TESTS_FAILED
    found = certificate(pytester)
    assert found["covered"]["source"] == {"counting.connectors:Counting": ["TestCounting"], "counting.ends:Ends": []}
    assert set(found["ended"].values()) == {f"{ENDED} in the import of counting.ends"}


def test_hooks_that_end_the_process_are_said_to_be_not_listed(pytester: pytest.Pytester) -> None:
    installed(pytester)
    (pytester.path / "counting" / "plugin.py").write_text("import os\nos._exit(0)\n")
    result = run_apart(pytester, "--certify=counting")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "its plugins cannot be listed" in certificate(pytester)["objections"]
    result.stdout.fnmatch_lines(["*the interpreter ended with 0*"])


def test_a_test_that_ends_the_process_can_be_waived(pytester: pytest.Pytester) -> None:
    waiver = f"\n    waived = {{{PROBED!r}: 'its library exits'}}\n"
    result = run_apart(
        installed(pytester, PLUGIN.replace(CONNECTOR, CONNECTOR + PROBES), SUITE + waiver), "--certify=counting"
    )
    assert result.ret == 0, result.outlines
    found = certificate(pytester)
    assert found["certified"] is True
    assert list(found["waived"].values()) == ["waived: its library exits"]
    assert list(found["ended"].values()) == [f"{ENDED} in the connector's probe"]


def test_a_fixture_that_outlives_a_test_is_set_up_once_though_tests_fail(pytester: pytest.Pytester) -> None:
    printing = PLUGIN.replace(POLLS, POLLS.replace("\n", "; print('hello')\n"))
    result = run_apart(installed(pytester, printing, LASTING + SUITE), "--certify=counting")
    assert failures(result) == {"test_nothing_is_printed"}
    assert (pytester.path / "said").read_text() == "up down "


def test_a_fixture_that_cannot_be_taken_down_is_a_failure(pytester: pytest.Pytester) -> None:
    lasting = LASTING.replace('        said.write("down ")', "        raise OSError('the outside does not end')")
    result = run_apart(installed(pytester, PLUGIN, lasting + SUITE), "--certify=counting")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert certificate(pytester)["certified"] is False
    result.stdout.fnmatch_lines(["*OSError: the outside does not end"])


def test_a_thread_that_is_left_behind_meets_no_other_test_and_keeps_nobody_from_ending(
    pytester: pytest.Pytester,
) -> None:
    plugin = PLUGIN.replace("        stored = self", f"{STRAY}        stored = self")
    result = run_apart(installed(pytester, plugin, SUITE + NO_STRAY), "--certify=counting")
    assert failures(result) == {"test_nothing_is_left_behind"}
    assert "left behind after stop: threads ['stray']" in result.stdout.str()


def test_a_test_that_nothing_can_interrupt_is_ended_and_says_where_it_was(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SHORT)
    result = run_apart(installed(pytester, PLUGIN, STUCK + SUITE), "--certify=counting")
    assert failures(result) == {"test_values_fit_their_schemas"}
    assert list(certificate(pytester)["ended"].values()) == ["the test did not end in time"]
    result.stdout.fnmatch_lines(["*Where its threads were*", "*in _stuck"])


@pytest.mark.parametrize(("limit", "code"), [("300", pytest.ExitCode.TESTS_FAILED), ("0", pytest.ExitCode.OK)])
def test_the_memory_of_the_plugins_has_a_limit(pytester: pytest.Pytester, limit: str, code: int) -> None:
    installed(pytester, PLUGIN.replace(CONNECTOR, CONNECTOR + ASKS_FOR_MUCH))
    result = run_apart(pytester, "--certify=counting", f"--certify-memory={limit}")
    assert result.ret == code
    assert ("MemoryError" in result.stdout.str()) == (code != 0)


def test_a_debugger_has_the_tests_in_the_process_it_is_in(pytester: pytest.Pytester) -> None:
    assert not Guard.can(pytester.parseconfig("--pdb"))
    assert Guard.can(pytester.parseconfig())


def test_a_child_that_says_nothing_is_ended() -> None:
    child = Child(lambda sending: (sending.send("here"), threading.Event().wait(60)))
    assert child.message(60) == "here"
    assert child.message(0.2) is None
    told, stacks = child.told()
    child.close()
    assert told == "the test did not end in time"
    assert "in test_a_child_that_says_nothing_is_ended" in stacks


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (lambda: [1], [1]),
        (lambda: None, None),
        (lambda: os._exit(0), "otherwise"),
        (lambda: sys.exit(3), "otherwise"),
    ],
    ids=["a list", "nothing", "ends", "raises"],
)
def test_what_is_asked_apart_is_answered_or_given_up(function: Callable[[], Any], answer: Any) -> None:
    assert apart(function, 60, "otherwise") == answer


def test_what_goes_on_apart_is_given_up() -> None:
    assert apart(lambda: threading.Event().wait(60), 0.2, "otherwise") == "otherwise"


def test_what_was_printed_is_cut_in_the_middle_with_a_count() -> None:
    assert cut("x" * PRINTED) == "x" * PRINTED
    text = cut("a" * PRINTED + "b" * PRINTED)
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert f"… {PRINTED} characters …" in text
