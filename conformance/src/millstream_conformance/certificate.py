"""What a certification run came to: which plugins which suites looked at, and whether that is enough."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from millstream_conformance.child import apart
from millstream_conformance.distribution import Listing, listing
from millstream_conformance.guard import ENDED
from millstream_conformance.harness import load
from millstream_conformance.kinds import KINDS
from millstream_conformance.suite import NOT_APPLICABLE, Conformance

IMPORT_S = 30.0


@dataclass
class Results:
    """What every test came to, by node id.

    ended: how the process ended in a test; those have failed, or were waived.
    """

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    waived: dict[str, str] = field(default_factory=dict)
    deselected: list[str] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        self.ended.update((report.nodeid, str(how)) for name, how in report.user_properties if name == ENDED)
        if hasattr(report, "wasxfail"):
            if report.skipped:
                self.waived[report.nodeid] = report.wasxfail.removeprefix("reason: ")
        elif report.failed:
            self.failed.append(report.nodeid)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            reason = reason.removeprefix("Skipped: ")
            kind = self.not_applicable if reason.startswith(NOT_APPLICABLE) else self.skipped
            kind[report.nodeid] = reason.removeprefix(NOT_APPLICABLE)
        elif report.when == "call":
            self.passed.append(report.nodeid)


@dataclass
class Certificate:
    """Gathers results while tests run, and judges in the end.

    suites:  by node id, the suite's class a test belongs to.
    """

    name: str
    results: Results = field(default_factory=Results)
    suites: dict[str, type[Conformance]] = field(default_factory=dict)

    def judged(self) -> dict[str, Any]:
        """The certificate as JSON."""
        distribution = metadata.distribution(self.name)
        listed = listing(distribution)
        covered = self._covered(listed)
        objections = list(self._objections(listed, covered))
        return {
            "distribution": self.name,
            "version": distribution.version,
            "certified": not objections,
            "objections": objections,
            "kit": metadata.version("millstream-conformance"),
            "api": metadata.version("millstream-api"),
            "covered": covered,
            "passed": self.results.passed,
            "failed": self.results.failed,
            "not_applicable": self.results.not_applicable,
            "skipped": self.results.skipped,
            "waived": self.results.waived,
            "ended": self.results.ended,
        }

    def _covered(self, listed: Listing) -> dict[str, dict[str, list[str]]]:
        """By kind and plugin, the suites whose tests passed on it."""
        ran = {self.suites[node] for node in self.results.passed if node in self.suites}
        return {
            KINDS[hook].word: {target: _certifying(ran, hook, target) for target, _ in refs}
            for hook, refs in listed.refs.items()
        }

    def _objections(self, listed: Listing, covered: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
        if listed.error:
            yield "its plugins cannot be listed"
        if self.results.failed:
            yield f"{len(self.results.failed)} tests failed"
        for node, how in self.results.ended.items():
            if node in self.results.failed:
                yield f"{how}: {node}"
        if self.results.skipped:
            yield (
                f"{len(self.results.skipped)} tests were skipped by their author; waive a test by name and reason in "
                "`waived` instead"
            )
        if self.results.deselected:
            yield f"{len(self.results.deselected)} tests of the kit were deselected; run it without -k and -m"
        for hook in listed.refs:
            kind = KINDS[hook]
            for target, suites in covered[kind.word].items():
                if not suites:
                    yield f"no suite ran for the {kind.word} {target}: make a subclass of {kind.suite} for it"

    def write(self, file: Path, judged: Mapping[str, Any]) -> None:
        file.write_text(json.dumps(judged, indent=2) + "\n")


def _certifying(suites: Iterable[type[Conformance]], hook: str, target: str) -> list[str]:
    """The suites that are of this plugin, by the name it is registered with; else by another one of the same class."""
    kind = [suite for suite in suites if suite.hook == hook]
    found = [suite.__qualname__ for suite in kind if getattr(suite, KINDS[hook].attribute, None) == target]
    if not found and kind:  # what is imported for that may do anything
        found = apart(lambda: [suite.__qualname__ for suite in kind if _is_of(suite, target)], IMPORT_S, otherwise=[])
    return sorted(set(found))


def _is_of(suite: type[Conformance], target: str) -> bool:
    try:
        return suite.plugin_class() is load(target)
    except (ImportError, AttributeError, TypeError):  # a packaging test has failed and said so
        return False
