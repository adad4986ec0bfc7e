"""The pytest plugin of the kit: `--certify`, waivers, and the certificate.

Loaded at every start of pytest in this environment, so it imports nothing of the kit or the API before it is needed.
"""

import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from millstream_conformance.certificate import Certificate

FILE = "certificate.json"
SUITE = "millstream_conformance.suite"
NAME = "millstream-certificate"
MEMORY_MB = 1500


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("millstream")
    group.addoption("--certify", metavar="DISTRIBUTION", help="certify an installed plugin distribution")
    group.addoption(
        "--certify-memory",
        metavar="MB",
        type=int,
        default=MEMORY_MB,
        help=f"what the process of the certified plugins may have at most; 0: no limit ({MEMORY_MB})",
    )
    group.addoption("--certificate", metavar="FILE", default=FILE, help=f"where it is written ({FILE})")


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--certify")
    if name:
        from millstream_conformance.certificate import Certificate
        from millstream_conformance.distribution import GROUP
        from millstream_conformance.guard import Guard

        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            known = {entry.dist.name for entry in metadata.entry_points(group=GROUP) if entry.dist is not None}
            raise pytest.UsageError(
                f"--certify: no distribution is called {name!r} here: install it into this environment first; "
                f"those with plugins: {', '.join(sorted(known)) or 'none'}"
            ) from None
        config.pluginmanager.register(_Certifying(config, Certificate(name)), NAME)
        if Guard.can(config):
            guard = Guard(config, config.getoption("--certify-memory") * 1_000_000)
            config.pluginmanager.register(guard, f"{NAME}-guard")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SUITE not in sys.modules:  # no suite was imported, so there is none among the tests
        return
    from millstream_conformance.calling import CALLS

    CALLS.hung.clear()  # of another run in this process
    for item in items:
        cls = _suite_of(item)
        if cls is None:
            continue
        from millstream_conformance.suite import replacements

        for sentence in replacements(cls):
            raise pytest.UsageError(sentence)
        reason = cls.waived.get(getattr(item, "originalname", None) or item.name)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(reason=f"waived: {reason}", strict=True))


def _suite_of(item: pytest.Item) -> Any:
    from millstream_conformance.suite import Conformance

    cls = getattr(item, "cls", None)
    return cls if isinstance(cls, type) and issubclass(cls, Conformance) else None


class _Certifying:
    """Has the certificate hear of every test, and writes it at the end."""

    def __init__(self, config: pytest.Config, certificate: "Certificate") -> None:
        self._config = config
        self._certificate = certificate
        self._judged: dict[str, Any] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Before others deselect some. The packaging tests come as a module and not as a path to be collected: pytest
        would load each `conftest.py` above the place that the kit is installed in."""
        path = Path(__file__).with_name("packaging.py")
        packaging = pytest.Module.from_parent(session, path=path, nodeid=f"{path.parent.name}/{path.name}")
        items.extend(session.genitems(packaging))
        for item in items:
            cls = _suite_of(item)
            if cls is not None:
                self._certificate.suites[item.nodeid] = cls

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        ours = [item.nodeid for item in items if item.nodeid in self._certificate.suites]
        self._certificate.results.deselected += ours

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._certificate.results.add(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._judged = self._certificate.judged()
        self._certificate.write(Path(self._config.getoption("--certificate")), self._judged)
        if not self._judged["certified"] and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._judged:  # interrupted before the end
            return
        told = self._judged
        terminalreporter.section("certificate")
        verdict = "is certified" if told["certified"] else "is NOT certified"
        terminalreporter.write_line(f"{told['distribution']} {told['version']} {verdict}, kit {told['kit']}")
        for kind, plugins in told["covered"].items():
            for target, suites in plugins.items():
                terminalreporter.write_line(f"  {kind} {target}: {', '.join(suites) or 'no suite'}")
        for objection in told["objections"]:
            terminalreporter.write_line(f"  - {objection}")
