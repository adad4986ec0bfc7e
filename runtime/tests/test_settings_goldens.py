"""Definitions field by field against those of Java 4.3.1 (`configdefs-runtime.json`)."""

import json
from pathlib import Path

import pytest

from millstream.settings.connector import SinkConnectorConfig, SourceConnectorConfig
from millstream.settings.distributed import DistributedConfig
from millstream.settings.worker import OURS, StandaloneConfig, WorkerConfig

JAVA = "org.apache.kafka.connect.runtime."
CLASSES = {
    f"{JAVA}distributed.DistributedConfig": DistributedConfig,
    f"{JAVA}standalone.StandaloneConfig": StandaloneConfig,
    f"{JAVA}SourceConnectorConfig": SourceConnectorConfig,
    f"{JAVA}SinkConnectorConfig": SinkConnectorConfig,
}
OUR_OWN = {one.name for one in WorkerConfig.definitions() if one.group == OURS}
"""Settings that Java does not have."""
OUR_OWN.add("connector.client.config.override.allowlist")  # in Java the policy's own

DIFFERENT = {
    ("bootstrap.servers", "required"): "without it the embedded log is used",
    ("offset.storage.file.filename", "required"): "the embedded log needs no offset file",
}


def fields(definition):
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


def same_validator(ours, theirs):
    """Names in a set have no order in Java, and those of an empty list of allowed items no text."""
    return ours == theirs or sorted((ours or "").strip("]").split("[")[-1].split(", ")) == sorted(
        (theirs or "").strip("]").split("[")[-1].split(", ")
    )


def differences(recorded, config):
    """Each difference between a recorded class and ours, as (setting, field, theirs, ours)."""
    ours = {one.name: fields(one) for one in config.definitions() if one.name not in OUR_OWN}
    theirs = {one["name"]: one for one in recorded}
    found = [(name, "defined", name in theirs, name in ours) for name in {*ours} ^ {*theirs}]
    for name in {*ours} & {*theirs}:
        a, b = dict(theirs[name]), dict(ours[name])
        a.pop("recommender"), b.pop("recommender")  # of ours the inventory knows, see test_settings_framework
        a.setdefault("required", False), b.setdefault("required", False)
        if same_validator(b["validator"], a["validator"]):
            b["validator"] = a["validator"]
        found += [(name, k, a.get(k), b.get(k)) for k in {*a} | {*b} if a.get(k) != b.get(k)]
    return [found for found in found if found[:2] not in DIFFERENT]


@pytest.fixture(scope="module")
def goldens(request):
    folder = Path(request.config.getoption("--goldens", default=None) or Path(__file__).parent / "golden")
    return json.loads((folder / "configdefs-runtime.json").read_text())


@pytest.mark.parametrize("name", CLASSES)
def test_every_setting_is_defined_as_java_defines_it(name, goldens):
    assert differences(goldens[name], CLASSES[name]) == []


@pytest.mark.parametrize("name", CLASSES)
def test_a_change_of_any_one_field_is_found(name, goldens):
    for number, one in enumerate(goldens[name]):
        for field, value in one.items():
            if field in ("recommender", "default") and one["name"] in {n for n, _ in DIFFERENT} | {""}:
                continue
            if field == "recommender" or (one["name"], field) in DIFFERENT:
                continue
            changed = [dict(each) for each in goldens[name]]
            changed[number][field] = "changed" if value != "changed" else "again"
            assert differences(changed, CLASSES[name]), (one["name"], field)


def test_every_setting_has_a_sentence_of_documentation():
    for config in CLASSES.values():
        assert [one.name for one in config.definitions() if not one.documentation.endswith(".")] == []
