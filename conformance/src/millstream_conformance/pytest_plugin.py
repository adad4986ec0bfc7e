"""The pytest plugin of the kit: `--certify`, waivers, and the certificate."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from millstream_conformance.suite import Conformance

CERTIFICATE = "certificate.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("millstream")
    group.addoption("--certify", metavar="DISTRIBUTION", help="certify an installed plugin distribution")
    group.addoption("--certificate", metavar="FILE", default=CERTIFICATE, help=f"where it is written ({CERTIFICATE})")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--certify"):
        config.args.append(str(Path(__file__).with_name("packaging.py")))
        config.pluginmanager.register(_Certificate(config), "millstream-certificate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        cls = getattr(item, "cls", None)
        if cls is not None and issubclass(cls, Conformance):
            reason = cls.waived.get(getattr(item, "originalname", None) or item.name)
            if reason is not None:
                item.add_marker(pytest.mark.xfail(reason=f"waived: {reason}", strict=True))


class _Certificate:
    """Gathers what every test came to, and writes it down at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._passed: list[str] = []
        self._failed: list[str] = []
        self._skipped: dict[str, str] = {}
        self._waived: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, "wasxfail"):
            if report.skipped:
                self._waived[report.nodeid] = report.wasxfail
            return
        if report.failed:
            self._failed.append(report.nodeid)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._skipped[report.nodeid] = reason
        elif report.when == "call":
            self._passed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        name = self._config.getoption("--certify")
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            return  # the packaging tests have failed and said so
        certificate: dict[str, Any] = {
            "distribution": name,
            "version": version,
            "certified": bool(self._passed) and not self._failed,
            "kit": metadata.version("millstream-conformance"),
            "api": metadata.version("millstream-api"),
            "passed": self._passed,
            "failed": self._failed,
            "skipped": self._skipped,
            "waived": self._waived,
        }
        Path(self._config.getoption("--certificate")).write_text(json.dumps(certificate, indent=2) + "\n")
