"""Values of one group of metrics at one moment, in a form that crosses a pipe as JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = float | int | str


@dataclass(frozen=True, slots=True)
class Reading:
    """What one group of metrics says about one connector or task.

    tags:   `connector`, and `task` as text where it is a task's; nothing for the worker's own.
    values: by metric name as in `metrics.names`; text for states, classes and versions.
    """

    group: str
    tags: Mapping[str, str]
    values: Mapping[str, Value]

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON: a number that JSON cannot write becomes {"float": "NaN"} or the like."""
        values = {
            name: {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in self.values.items()
        }
        return {"group": self.group, "tags": dict(self.tags), "values": values}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Reading":
        values = {
            name: float(value["float"]) if isinstance(value, Mapping) else value
            for name, value in told["values"].items()
        }
        return cls(told["group"], told["tags"], values)
