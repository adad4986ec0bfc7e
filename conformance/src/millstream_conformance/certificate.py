"""What a certification run came to: which plugins which suites looked at, and whether that is enough."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from millstream_conformance.distribution import Listing, listing
from millstream_conformance.harness import load
from millstream_conformance.kinds import KINDS
from millstream_conformance.suite import NOT_APPLICABLE, Conformance


@dataclass
class Results:
    """What every test came to, by node id."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    waived: dict[str, str] = field(default_factory=dict)
    deselected: list[str] = field(default_factory=list)

    def add(self, report: pytest.TestReport) -> None:
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
        }

    def _covered(self, listed: Listing) -> dict[str, dict[str, list[str]]]:
        """By kind and plugin, the suites whose tests passed on it."""
        ran = {self.suites[node] for node in self.results.passed if node in self.suites}
        return {
            KINDS[hook].word: {
                target: sorted({suite.__qualname__ for suite in ran if _certifies(suite, hook, target)})
                for target, _ in refs
            }
            for hook, refs in listed.refs.items()
        }

    def _objections(self, listed: Listing, covered: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
        if listed.error:
            yield "its plugins cannot be listed"
        if self.results.failed:
            yield f"{len(self.results.failed)} tests failed"
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


def _certifies(suite: type[Conformance], hook: str, target: str) -> bool:
    try:
        return suite.hook == hook and suite.plugin_class() is load(target)
    except (ImportError, AttributeError, TypeError):  # a packaging test has failed and said so
        return False
