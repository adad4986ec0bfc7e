"""Readings as Prometheus text (exposition format 0.0.4), under the names that users of the JMX exporter have."""

import math
from collections.abc import Iterable, Mapping

from millstream.metrics.names import METRICS
from millstream.metrics.snapshot import Reading, Value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metric_name(group: str, name: str) -> str:
    """Give `kafka_connect_source_task_metrics_source_record_poll_total` for group and name of `metrics.names`."""
    return f"kafka_connect_{group}_{name}".replace("-", "_").replace(".", "_")


def render(readings: Iterable[Reading]) -> str:
    """Give the text that `GET /metrics` answers; samples of one metric stand together, in order of first appearance.

    A text value, such as a state, becomes a label of a sample with value 1:
    `kafka_connect_connector_task_metrics_status{connector="orders",task="0",status="running"} 1`.
    """
    families: dict[tuple[str, str], list[str]] = {}
    for reading in readings:
        for name, value in reading.values.items():
            families.setdefault((reading.group, name), []).append(_sample(reading, name, value))
    lines: list[str] = []
    for (group, name), samples in families.items():
        lines += _header(group, name)
        lines += samples
    return "\n".join(lines) + "\n" if lines else ""


def _header(group: str, name: str) -> list[str]:
    full = metric_name(group, name)
    known = METRICS.get((group, name))
    kind = "counter" if known is not None and known.is_total else "gauge"
    about = [f"# HELP {full} {_escape_help(known.about)}"] if known is not None else []
    return [*about, f"# TYPE {full} {kind}"]


def _sample(reading: Reading, name: str, value: Value) -> str:
    full = metric_name(reading.group, name)
    if isinstance(value, str):
        return f"{full}{_labels({**reading.tags, name.replace('-', '_'): value})} 1"
    return f"{full}{_labels(reading.tags)} {_number(value)}"


def _labels(tags: Mapping[str, str]) -> str:
    if not tags:
        return ""
    return "{" + ",".join(f'{name}="{_escape_label(value)}"' for name, value in tags.items()) + "}"


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float | int) -> str:
    if isinstance(value, int):
        return str(int(value))
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
