"""The entities of the REST API as JSON, field order included. Source: runtime.rest.entities, Kafka 4.3."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millstream.herder.herder import ConnectorView, StateView, WorkerIdentity
from millstream.identity import Status
from millstream.inventory.inventory import Plugin
from millstream.rest.states import States

Json = dict[str, Any]


def server_info(identity: WorkerIdentity) -> Json:
    return {
        "version": identity.version,
        "commit": identity.commit,
        "kafka_cluster_id": identity.kafka_cluster_id,
    }


def connector_info(view: ConnectorView) -> Json:
    tasks = [{"connector": view.name, "task": number} for number in range(len(view.tasks))]
    return {"name": view.name, "config": dict(view.config), "tasks": tasks, "type": view.kind}


def task_infos(view: ConnectorView) -> list[Json]:
    return [
        {"id": {"connector": view.name, "task": number}, "config": dict(config)}
        for number, config in enumerate(view.tasks)
    ]


def state_info(name: str, state: StateView, kind: str) -> Json:
    tasks = [{"id": task, **_state(status)} for task, status in sorted(state.tasks.items())]
    return {"name": name, "connector": _state(state.connector), "tasks": tasks, "type": kind}


def task_state(task: int, status: Status) -> Json:
    return {"id": task, **_state(status)}


def _state(status: Status) -> Json:
    shown: Json = {"state": status.state.value, "worker_id": status.worker_id}
    if status.version is not None:
        shown["version"] = status.version
    if status.trace:
        shown["trace"] = status.trace
    return shown


def expanded(states: States, wanted: Sequence[str]) -> Json:
    """`GET /connectors?expand=…`: a connector without status is left out when status is wanted."""
    shown: Json = {}
    for name, view in states.snapshot.connectors.items():
        entry: Json = {}
        for part in wanted:
            if part == "status":
                state = states.of(name)
                if state is None:
                    break
                entry["status"] = state_info(name, state, view.kind)
            elif part == "info":
                entry["info"] = connector_info(view)
        else:
            shown[name] = entry
    return shown


def active_topics(name: str, topics: Iterable[str]) -> Json:
    return {name: {"topics": sorted(topics)}}


def connector_offsets(offsets: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Json:
    return {"offsets": [{"partition": partition, "offset": offset} for partition, offset in offsets]}


def plugin_info(plugin: Plugin) -> Json:
    return {"class": plugin.name, "type": plugin.kind.value, "version": plugin.reported_version}
