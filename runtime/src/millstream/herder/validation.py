"""Whether a connector's settings will do, asked of a child: the plugin's code may hang, and never here."""

import logging
import re
from collections.abc import Mapping
from typing import Any

from millstream.errors import ConfigError, NotFoundError, PluginError, WorkerError
from millstream.herder.classes import target_of
from millstream.herder.crew import Crew
from millstream.herder.probing import probe
from millstream.herder.procedures import Procedure
from millstream.herder.requests import Config
from millstream.host.channel import RunProbe
from millstream.host.probe import defined
from millstream.host.report import UNDECLARED
from millstream.inventory.inventory import LISTED
from millstream.settings.connector import config_of
from millstream.settings.plugins import Kind
from millstream.storage.java_json import copied_map_order

log = logging.getLogger(__name__)

Report = Mapping[str, Any]

#: names under which connectors keep secrets
SECRET = re.compile(r"password|passphrase|secret|token|credential|jaas|auth|private|(^|[._-])key$", re.IGNORECASE)
HIDDEN = "[hidden]"


class KindError(WorkerError):
    """A plugin of this kind has no settings to show: the client's fault."""


class Validation:
    """Used by the herder's thread alone."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._inventory = crew.inventory

    def validate(self, config: Config) -> Procedure:
        """Give what REST answers: every setting with its definition, value and errors."""
        report = yield from self._report(config)
        return {name: told for name, told in report.items() if name != UNDECLARED}

    def accept(self, config: Config) -> Procedure:
        """Raise ConfigError unless the settings will do. Those that look like a slip of the pen are logged."""
        report = yield from self._report(config)
        refuse_invalid(report)
        for name, meant in report[UNDECLARED].items():
            said = "[%s|worker] nothing declares the setting %r, and it may change nothing; %s"
            log.warning(said, config.get("name"), name, meant)

    def _report(self, config: Config) -> Procedure:
        given = config.get("connector.class")
        if given is None:
            raise no_class(config)
        plugin = self._inventory.find_connector(given)
        kind = "source" if plugin.kind is Kind.SOURCE else "sink"
        name = config.get("name") or ""
        words = f"performing multi-property validation for the connector {name or given}"
        question = RunProbe("report", target_of(plugin), config, {"kind": kind}, name)
        return (yield from probe(self._crew, question, words))

    def definitions(self, name: str, version: str | None) -> Procedure:
        """Give a plugin's settings; a connector's own come first, then those of the runtime that it has not."""
        found = self._inventory.lookup(name)
        if not found:
            try:
                found = [self._inventory.find_connector(name)]
            except PluginError:
                raise NotFoundError(f"Unknown plugin {name}.") from None
        plugin = next((each for each in found if each.kind in LISTED), None)
        if plugin is None:
            raise KindError(
                f"Invalid plugin class {name}. Valid types are sink, source, converter, header_converter,"
                " transformation, predicate."
            )
        problem = None if version is None else self._inventory.version_problem(plugin, version)
        if problem is not None:
            raise PluginError(problem)
        words = f"retrieving the configuration definition of {plugin.name}"
        own = yield from probe(self._crew, RunProbe("definitions", target_of(plugin)), words)
        if plugin.kind not in (Kind.SOURCE, Kind.SINK):
            return own
        names = {each["name"] for each in own}
        framework = config_of("source" if plugin.kind is Kind.SOURCE else "sink").definitions()
        rest = [defined(each) for each in framework if each.name not in names]
        installed = {"default_value": plugin.reported_version}
        return [*own, *(each | (installed if each["name"] == "connector.plugin.version" else {}) for each in rest)]


def refuse_invalid(report: Report) -> None:
    """Raise ConfigError with all errors of a report, in Java's words."""
    values = [each["value"] for each in report["configs"] if each["value"] is not None]
    errors = [(value["name"], error) for value in values for error in value["errors"]]
    if errors:
        raise InvalidError(errors)


class InvalidError(ConfigError):
    """Settings with errors, as `POST /connectors` refuses them."""

    def __str__(self) -> str:
        sentences = "".join(f"\n{problem.sentence}" for problem in self.found)
        return (
            f"Connector configuration is invalid and contains the following {len(self.found)} error(s):{sentences}\n"
            "You can also find the above list of errors at the endpoint"
            " `/connector-plugins/{connectorType}/config/validate`"
        )


def no_class(config: Config) -> ConfigError:
    """The refusal of settings without `connector.class`, which quotes them as Java prints a map.

    There is no class to say which of them are secrets: values are hidden by their names.
    """
    shown = ", ".join(f"{name}={_shown(name, value)}" for name, value in copied_map_order(config).items())
    return ConfigError({"": f"Connector config {{{shown}}} contains no connector type"})


def _shown(name: str, value: str | None) -> str:
    return "null" if value is None else HIDDEN if SECRET.search(name) else value
