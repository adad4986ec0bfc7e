"""Definitions field by field against those of Java 4.3.1."""

import json
from pathlib import Path
from typing import Any

import pytest

from millstream_api import Definition
from millstream_file.config import FileSinkConfig, FileSourceConfig

OURS = {"encoding.errors", "line.max.bytes"}
RECORDED = json.loads((Path(__file__).parent / "configdef.json").read_text())


def shown(definition: Definition) -> dict[str, Any]:
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


@pytest.mark.parametrize(("java", "config"), [("Source", FileSourceConfig), ("Sink", FileSinkConfig)])
def test_settings_are_javas_and_the_ones_that_are_ours_are_known(java: str, config: Any) -> None:
    ours = [shown(definition) for definition in config.definitions() if definition.name not in OURS]
    assert ours == RECORDED[f"org.apache.kafka.connect.file.FileStream{java}Connector"]
    assert {definition.name for definition in config.definitions()} - {
        one["name"] for one in RECORDED[f"org.apache.kafka.connect.file.FileStream{java}Connector"]
    } <= OURS
    assert all(definition.documentation for definition in config.definitions())
