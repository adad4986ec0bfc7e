"""Tests in a child process: a plugin that ends its process, or lets nobody else run, fails a test and not pytest.

One child runs the tests one after the other, as pytest would. It is replaced when it has ended, and when a test that
failed has left threads, so that they meet no other test.
"""

import sys
import threading
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from millstream_conformance.calling import CALLS, PATIENCE_S
from millstream_conformance.child import GRACE_S, Child

#: for a test with its fixtures, which may have to start an outside; a call of a plugin has its own, shorter one
TEST_S = 300.0
#: of what a test printed is shown; more is cut, in the middle
PRINTED = 20_000
#: under this name a report says how the process ended
ENDED = "millstream.ended"


@dataclass(frozen=True)
class _Done:
    """What a test came to. last: the child runs no other.   hung: calls that did not return, see `Calls`."""

    reports: Sequence[dict[str, Any]]
    last: bool
    hung: dict[tuple[str, str], str] = field(default_factory=dict)


class Guard:
    """Runs each test in the child, and has this process hear of it.

    memory_bytes: what the child may have at most; 0: no limit.
    """

    def __init__(self, config: pytest.Config, memory_bytes: int) -> None:
        self._config = config
        self._memory_bytes = memory_bytes
        self._child: Child | None = None
        self._reports: list[pytest.TestReport] | None = None  # a list in the child

    @staticmethod
    def can(config: pytest.Config) -> bool:
        """Whether there can be a child: not without fork, in a debugger, or when tests are spread over processes."""
        spread = hasattr(config, "workerinput") or config.pluginmanager.has_plugin("dsession")
        return sys.platform != "win32" and not spread and not config.getoption("usepdb", False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if self._reports is not None:
            self._reports = runtestprotocol(item, log=False, nextitem=nextitem)
            return True
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._from_child(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_sessionfinish(self) -> None:
        self._close()

    def _from_child(self, item: pytest.Item) -> Iterable[pytest.TestReport]:
        if self._child is None:
            self._child = self._forked(item)
        began = time.time()  # as pytest's own reports have it
        try:
            done = self._child.message(TEST_S)
        except pytest.fail.Exception:  # pytest-timeout has rung in both processes
            done = self._child.message(GRACE_S)
        if done is None:
            report = self._ended(item, began)
            self._child = None
            return [report]
        CALLS.hung.update(done.hung)
        if done.last:
            self._close()
        return [
            self._config.hook.pytest_report_from_serializable(config=self._config, data=each) for each in done.reports
        ]

    def _close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _ended(self, item: pytest.Item, began: float) -> pytest.TestReport:
        """The report of a test in which the child ended."""
        assert self._child is not None
        suite = getattr(item, "cls", None)
        CALLS.suite, CALLS.test = suite.__qualname__ if suite else "", item.name
        CALLS.patience_s = getattr(suite, "patience_s", PATIENCE_S)
        sentence, stacks = self._child.told()
        self._child.close()
        sections = [("Where its threads were", stacks)] if stacks else []
        capturing = self._config.pluginmanager.get_plugin("capturemanager")
        printed = tuple(capturing.read_global_capture()) if capturing is not None else ("", "")
        sections += [
            (f"Captured {name} call", cut(text))
            for name, text in zip(("stdout", "stderr"), printed, strict=True)
            if text
        ]
        report = pytest.TestReport(
            item.nodeid,
            item.location,
            dict.fromkeys(item.keywords, 1),
            "failed",
            sentence,
            "call",
            sections,
            time.time() - began,
            began,
            time.time(),
            [(ENDED, sentence)],
        )
        waiver = next((mark.kwargs.get("reason", "") for mark in item.iter_markers("xfail")), None)
        if waiver is not None:
            report.outcome = "skipped"
            report.wasxfail = waiver
        return report

    def _forked(self, item: pytest.Item) -> Child:
        """A child that begins with this test."""
        folders = getattr(self._config, "_tmp_path_factory", None)
        if folders is not None:
            folders.getbasetemp()  # one for all children: each would make its own, and leave it
        items = item.session.items
        rest = items[items.index(item) :]
        return Child(lambda sending: self._serve(rest, sending))

    def _serve(self, items: Sequence[pytest.Item], sending: Connection) -> None:
        _limit_memory(self._memory_bytes)
        threads = set(threading.enumerate())
        for item, following in zip(items, [*items[1:], None], strict=True):
            self._reports = []
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            last = following is None or _is_to_be_replaced(self._reports, threads)
            if last:
                _tear_down(item.session, self._reports)
            sending.send(_Done(list(map(self._serialized, self._reports)), last, CALLS.hung))
            if last:
                return

    def _serialized(self, report: pytest.TestReport) -> dict[str, Any]:
        report.sections = [(title, cut(text)) for title, text in report.sections]
        data: dict[str, Any] = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        return data


def cut(text: str) -> str:
    """The beginning and the end, and how much is left out between."""
    if len(text) <= PRINTED:
        return text
    half = PRINTED // 2
    return f"{text[:half]}\n… {len(text) - PRINTED} characters …\n{text[-half:]}"


def _is_to_be_replaced(reports: Sequence[pytest.TestReport], threads: set[threading.Thread]) -> bool:
    """Whether a test that failed left threads behind, or one printed so much that it is better forgotten."""
    went_wrong = any(report.failed or hasattr(report, "wasxfail") for report in reports)
    if went_wrong and not threads.issuperset(threading.enumerate()):
        return True
    return any(len(text) > PRINTED for report in reports for _, text in report.sections)


def _tear_down(session: pytest.Session, reports: Sequence[pytest.TestReport]) -> None:
    """The fixtures that outlive a test, of what this process has set up."""
    try:
        session._setupstate.teardown_exact(None)
    except Exception:  # noqa: BLE001 - fixtures are the author's; the test's report says it
        reports[-1].outcome = "failed"
        reports[-1].longrepr = traceback.format_exc()


def _limit_memory(limit_bytes: int) -> None:
    if not limit_bytes:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
