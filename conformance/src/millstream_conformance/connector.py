"""What the suites of sources and sinks ask of a connector: its tasks' configs, `probe`, `monitor`, `alter_offsets`."""

import copy
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytest

from millstream_api import Connector, MillstreamError, Place, Problem
from millstream_conformance.calling import CALLS, Timed, called, in_time
from millstream_conformance.comparing import difference
from millstream_conformance.contexts import SourceHarnessContext
from millstream_conformance.harness import make_connector, task_settings
from millstream_conformance.settings import SettingsConformance
from millstream_conformance.suite import does_not_apply

#: a shorter one may stand in any text
SHORTEST_SECRET = 4
#: how long a monitor is left to itself, and how long it may take to see that it is time to stop
MONITOR_S, STOP_S = 0.2, 1.0


class ConnectorPromises(SettingsConformance):
    """What an author tells of a connector, and how the suites ask it.

    connector:  `module:Class`.
    config:     settings it runs with, text by dotted name.
    """

    connector: str
    config: Mapping[str, str]

    def away(self) -> AbstractContextManager[object] | None:
        """Give a context in which the outside cannot be reached; None when the author cannot take it away.

        Asked once by each test of an outage, before the task is made; entered while it runs, and left while it runs:
        then the outside can be reached again.
        """
        return None

    def outage(self) -> AbstractContextManager[object]:
        """The context that `away` gives. Skips the test when there is none."""
        found = self.away()
        if found is None:
            does_not_apply("the suite cannot take the outside away: override `away`")
        return found

    def secrets(self) -> dict[str, str]:
        """The secret settings that are given, of four characters and more: text by name. Skips the test without any."""
        found = self.given_secrets()
        if not found:
            does_not_apply("no secret setting is given")
        return found

    def given_secrets(self) -> dict[str, str]:
        """As `secrets`, and none when there are none."""
        definitions = self.plugin_class().config_class.definitions()
        names = [each.name for each in definitions if each.type == "PASSWORD"]
        return {name: text for name in names if len(text := self.settings().get(name, "").strip()) >= SHORTEST_SECRET}

    def made(self, context: SourceHarnessContext | None = None) -> Any:
        """The connector, not started. Raises ConfigError for settings that will not do."""
        return make_connector(self.plugin_class(), self.settings(), context)

    def needs_override(self, method: str) -> None:
        """Skip the test that calls this unless the connector has its own form of the method."""
        if getattr(self.plugin_class(), method) is getattr(Connector, method):
            does_not_apply(f"the connector does not override `{method}`")

    def problems(self) -> list[Problem]:
        """What `probe` says, asked of a connector that is not started.

        Raises what `probe` raises. Skips the test when the connector does not override it.
        """
        self.needs_override("probe")
        connector = self.made()
        with called("the connector's probe"):
            return list(connector.probe())  # it may be a generator

    def altered(self, pairs: Sequence[tuple[Place, Place | None]]) -> None:
        """Have a connector that is not started look at offsets that are its own.

        Fails the test when it says something else than true or false, or changes them. Skips it when the connector does
        not override `alter_offsets`, or refuses.
        """
        self.needs_override("alter_offsets")
        before = copy.deepcopy(pairs)
        try:
            examined = self.asked_to_alter(pairs)
        except (MillstreamError, ValueError) as error:
            does_not_apply(f"the connector refuses: {type(error).__name__}: {error}")
        assert isinstance(examined, bool), (
            f"alter_offsets gives {type(examined).__name__}: True, or False for no opinion"
        )
        assert not difference(pairs, before), "alter_offsets changed what it was given"

    def asked_to_alter(self, pairs: Sequence[tuple[Place, Place | None]]) -> Any:
        """What `alter_offsets` of a connector that is not started says. Raises what it raises."""
        connector = Timed(self.made(), "connector")
        return connector.alter_offsets(pairs)


class ConnectorConformance(ConnectorPromises):
    """What sources and sinks share."""

    @pytest.mark.parametrize("max_tasks", [1, 3, 10])
    def test_task_configs_are_text_and_no_more_than_asked_for(self, max_tasks: int) -> None:
        cls = self.plugin_class()
        configs = task_settings(cls, self.settings(), max_tasks)
        assert len(configs) <= max_tasks, f"task_configs({max_tasks}) gave {len(configs)} tasks"
        for config in configs:
            assert all(isinstance(key, str) and isinstance(value, str) for key, value in config.items())
            (cls.task_class.config_class or cls.config_class).parse(config)

    def test_probe_has_no_objection_to_the_settings_it_runs_with(self) -> None:
        found = self.problems()
        assert all(isinstance(each, tuple) and len(each) == 2 for each in found), "probe gives what is no Problem"
        told = "; ".join(f"{setting}: {sentence}" for setting, sentence in found)
        assert not found, f"probe objects to the settings that the suite runs with: {told}"

    def test_probe_says_while_the_outside_is_away_which_settings_lead_there_or_nothing(self) -> None:
        self.needs_override("probe")
        with self.outage():
            found = self.problems()
        known = {each.name for each in self.plugin_class().config_class.definitions()}
        for setting, sentence in found:
            assert setting in known, f"probe objects to {setting!r}, which is no setting: it has {sorted(known)}"
            assert sentence.strip(), f"probe objects to {setting!r} and says nothing"
        shown = [name for name, text in self.given_secrets().items() if text in repr(found)]
        assert not shown, f"probe shows the secrets {shown}"

    def test_monitor_ends_within_a_second_when_it_is_time_to_stop(self) -> None:
        self.needs_override("monitor")
        context = SourceHarnessContext(blocking=True)
        connector = Timed(self.made(context), "connector")
        failure: list[BaseException] = []

        def watch() -> None:
            try:
                connector.monitor()
            except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
                failure.append(error)

        thread = threading.Thread(target=watch, daemon=True)
        try:
            connector.start()
            thread.start()
            thread.join(MONITOR_S)
            context.stop()

            def over(seconds: float) -> bool:
                thread.join(seconds)
                return not thread.is_alive()

            if not in_time(over, STOP_S):
                CALLS.given_up("the connector's monitor")
                pytest.fail(f"monitor went on for more than {STOP_S:g} s: it ends when context.wait is true")
        finally:
            context.stop()
            connector.stop()
        if failure:
            raise failure[0]
        assert context.failure is None, "monitor called context.fail although nothing is wrong outside"
