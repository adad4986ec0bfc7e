"""Which offsets an operator may set, decided on the request alone. Source: SinkUtils.java, ConnectorOffsets.java."""

import re
from collections.abc import Mapping
from typing import Any

from millstream.errors import WorkerError
from millstream.herder.requests import Offsets
from millstream.storage.java_json import dumps
from millstream_api import TopicPartition

TOPIC, PARTITION, OFFSET = "kafka_topic", "kafka_partition", "kafka_offset"
INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
INTEGER = re.compile(r"([+-]?)0*([0-9]{1,19})")


class OffsetsError(WorkerError):
    """The offsets of a request cannot be meant: the client's fault."""


def not_stopped(name: str) -> OffsetsError:
    """The refusal to touch the offsets of a connector that is not stopped."""
    return OffsetsError(
        "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the"
        f" specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
    )


def nothing_given() -> OffsetsError:
    return OffsetsError("Partitions / offsets need to be provided for an alter offsets request")


def sink_offsets(offsets: Offsets) -> dict[TopicPartition, int | None]:
    """Read a sink's offsets; None: forget. The last of two for one partition counts. Raises OffsetsError."""
    return {_partition(partition): _offset(offset) for partition, offset in offsets}


def _partition(partition: Mapping[str, Any] | None) -> TopicPartition:
    if not partition:
        raise OffsetsError("The partition for a sink connector offset cannot be null or missing")
    if TOPIC not in partition or PARTITION not in partition:
        raise OffsetsError(
            f"The partition for a sink connector offset must contain the keys '{TOPIC}' and '{PARTITION}'"
        )
    if partition[TOPIC] is None:
        raise OffsetsError("Kafka topic names must be valid strings and may not be null")
    if partition[PARTITION] is None:
        raise OffsetsError("Kafka partitions must be valid numbers and may not be null")
    number = _integer(partition[PARTITION], INT32_MAX)
    if number is None:
        raise OffsetsError(
            "Failed to parse the following Kafka partition value in the provided offsets:"
            f" '{_told(partition[PARTITION])}'. Partition values for sink connectors need to be integers."
        )
    return TopicPartition(str(partition[TOPIC]), number)


def _offset(offset: Mapping[str, Any] | None) -> int | None:
    if offset is None:
        return None
    if OFFSET not in offset:
        raise OffsetsError(f"The offset for a sink connector should either be null or contain the key '{OFFSET}'")
    number = _integer(offset[OFFSET], INT64_MAX)
    if number is None:
        raise OffsetsError(
            f"Failed to parse the following Kafka offset value in the provided offsets: '{_told(offset[OFFSET])}'."
            " Offset values for sink connectors need to be integers."
        )
    return number


def _told(value: Any) -> str:
    """As the request spelled it."""
    return value if isinstance(value, str) else dumps(value)


def _integer(value: Any, most: int) -> int | None:
    """An integer, or a text that is one; None for anything else."""
    found = None if isinstance(value, bool | float) else INTEGER.fullmatch(str(value))
    if found is None:
        return None
    number = int(found[1] + found[2])
    return number if -most - 1 <= number <= most else None


def as_json(offsets: Mapping[TopicPartition, int]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """A sink's committed offsets in the form that source offsets have."""
    return [
        ({PARTITION: partition.partition, TOPIC: partition.topic}, {OFFSET: offset})
        for partition, offset in sorted(offsets.items())
    ]


def outcome(done: str, examined: bool) -> str:
    """The sentence after success; done: `altered` or `reset`; examined: the connector looked at them itself."""
    if examined:
        return f"The offsets for this connector have been {done} successfully"
    return (
        f"The Connect framework-managed offsets for this connector have been {done} successfully. However, if this"
        f" connector manages offsets externally, they will need to be manually {done} in the system that the connector"
        " uses."
    )
