"""Every definition of a setting that Java Connect 4.3.1 has (`configdefs-runtime.json`), and what we define.

A step is "class: setting"; "class: (settings)" is which settings a class has. Its fields are those of the recording.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from golden.rest.comparing import differences
from golden.rest.differing import Listed

from millstream.inventory.inventory import Inventory
from millstream.inventory.loading import load
from millstream.settings.connector import SinkConnectorConfig, SourceConnectorConfig
from millstream.settings.distributed import DistributedConfig
from millstream.settings.framework import Surroundings, describe
from millstream.settings.worker import StandaloneConfig
from millstream_api import Definition

FILE = "configdefs-runtime.json"
SETTINGS = "(settings)"
RUNTIME = "org.apache.kafka.connect.runtime."
WORKERS: Mapping[str, type[DistributedConfig] | type[StandaloneConfig]] = {
    f"{RUNTIME}distributed.DistributedConfig": DistributedConfig,
    f"{RUNTIME}standalone.StandaloneConfig": StandaloneConfig,
}
SOURCE, SINK = f"{RUNTIME}SourceConnectorConfig", f"{RUNTIME}SinkConnectorConfig"

Steps = Mapping[str, Mapping[str, Any]]
Recorded = Mapping[str, Sequence[Mapping[str, Any]]]


def read(goldens: Path) -> Steps:
    recorded: Recorded = json.loads((goldens / FILE).read_text())
    return steps(recorded)


def steps(classes: Recorded) -> Steps:
    found: dict[str, Mapping[str, Any]] = {}
    for java, settings in classes.items():
        names = [each["name"] for each in settings]
        # nothing lists a worker's settings, so that they have no order; those of a plugin are listed in theirs
        found[f"{java}: {SETTINGS}"] = {"names": " ".join(sorted(names) if java in WORKERS else names)}
        for each in settings:
            found[f"{java}: {each['name']}"] = each
    return found


def of(step: str) -> str:
    """The class that a step is about."""
    return step.partition(": ")[0]


@dataclass(frozen=True)
class Ours:
    """What we define. own: settings that Java lacks, which are left out."""

    inventory: Inventory
    own: Listed

    def steps(self, classes: Sequence[str]) -> Steps:
        return steps({java: [fields(each) for each in self._settings(java)] for java in classes})

    def _settings(self, java: str) -> list[Definition]:
        return [each for each in self.definitions(java) if not self.own.is_own(each.name)]

    def definitions(self, java: str) -> Sequence[Definition]:
        if java in WORKERS:
            return WORKERS[java].definitions()
        if java in (SOURCE, SINK):
            return self._of_connectors(java)
        # two classes were recorded by the name of what holds their definitions
        rows = self.inventory.lookup(java) or self.inventory.lookup(java.removesuffix("Config"))
        assert rows, f"we have no {java}, and differences.toml does not say why"
        found: Sequence[Definition] = load(rows[0]).config_class.definitions()
        return found

    def _of_connectors(self, java: str) -> Sequence[Definition]:
        """As they are defined, with what the installed plugins say about values that are recommended."""
        described = describe("source" if java == SOURCE else "sink", {}, Surroundings(self.inventory, {}, lambda _: ()))
        recommend = {each.name: each.recommend for each in described.definitions}
        config = SourceConnectorConfig if java == SOURCE else SinkConnectorConfig
        return [replace(each, recommend=recommend[each.name]) for each in config.definitions()]


def fields(definition: Definition) -> Mapping[str, Any]:
    """One of our definitions in the shape of the recording."""
    return {
        "name": definition.name,
        "type": definition.type.value,
        "importance": definition.importance.value,
        "group": definition.group,
        "order_in_group": definition.order,
        "width": definition.width.value,
        "display_name": definition.display_name,
        "dependents": list(definition.dependents),
        "validator": definition.validator,
        "recommender": definition.recommender,
        "internal": definition.internal,
        **({"required": True} if definition.required else {"default": definition.default_text}),
    }


def is_listed(step: str, recorded: Mapping[str, Any], listed: Listed) -> bool:
    return not listed.replays(of(step)) or bool(listed.expected(step, recorded))


def problems(recorded: Steps, ours: Steps, listed: Listed) -> list[str]:
    """What is neither as recorded nor as listed; of classes that are not replayed nothing."""
    found: list[str] = []
    for step, theirs in recorded.items():
        if listed.replays(of(step)):
            found += listed.unexpected(step, theirs, differences(theirs, ours.get(step, {})))
    return found
