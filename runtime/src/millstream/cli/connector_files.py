"""Connector files given on the command line: JSON in two forms, or properties. Source: ConnectStandalone.java."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from millstream.errors import ConfigError
from millstream.herder.requests import INITIAL_STATES, CreateConnector
from millstream.properties import parse_properties, text_of

#: a file is read at each start; with configs kept in memory, as on Kafka, each would rewind the connector
NO_OFFSETS = (
    "initial_offsets cannot stand in a connector file, which is read at each start of the worker: create {0!r} by"
    " POST /connectors with them, or move it by PATCH /connectors/{0}/offsets while it is stopped"
)


def read_connectors(paths: Sequence[Path]) -> Mapping[str, tuple[Path, CreateConnector]]:
    """Read the files, by connector in their order. Raises ConfigError that names a file, or two with one connector."""
    found: dict[str, tuple[Path, CreateConnector]] = {}
    for path in paths:
        made = read_connector(path)
        if made.name in found:
            problem = f"{found[made.name][0]} and {path} both have a connector {made.name!r}; give one another name"
            raise ConfigError({"": problem})
        found[made.name] = (path, made)
    return found


def read_connector(path: Path) -> CreateConnector:
    """Read one connector file, once: it may be a pipe. Raises ConfigError that names the file."""
    try:
        return connector_in(path, path.read_bytes())
    except OSError as error:
        raise ConfigError({"": f"{path}: the connector file cannot be read: {error.strerror}"}) from error


def connector_in(path: Path, data: bytes) -> CreateConnector:
    """Give the connector that was read from a file. Raises ConfigError that names the file.

    Tried in Java's order: a JSON object of scalars with a name; `{"name", "config", "initial_state"}`; properties.
    """
    try:
        given = json_of_settings(data)
    except (ValueError, RecursionError) as error:
        if path.suffix == ".json" or (data.lstrip().startswith(b"{") and "name" not in _properties(path, data)):
            raise ConfigError({"": f"{path}: the connector file is no valid JSON: {error}"}) from error
        given = None
    if isinstance(given, dict) and isinstance(given.get("config"), dict):
        return _request(path, given)
    if isinstance(given, dict):
        return _named(path, {name: _text(path, name, value) for name, value in given.items()})
    return _named(path, _properties(path, data))


def _properties(path: Path, data: bytes) -> dict[str, str | None]:
    return dict(parse_properties(text_of(data), str(path)))


def json_of_settings(data: bytes) -> Any:
    """The value of a text in JSON, numbers as texts that are spelled as there: `1.10` stays that as a setting, as in
    Java. Raises ValueError, and RecursionError for one that is nested too deep."""
    return json.loads(data, parse_int=str, parse_float=str, parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _request(path: Path, given: dict[str, Any]) -> CreateConnector:
    config = {name: _text(path, name, value) for name, value in given["config"].items()}
    name = str(given.get("name") or "").strip()
    if config.setdefault("name", name) != name:
        raise ConfigError(
            {
                "name": f"{path}: the connector is called {name!r}, and its config says {config['name']!r}; "
                "leave the name out of the config"
            }
        )
    state = given.get("initial_state")
    if state is not None and str(state).upper() not in INITIAL_STATES:
        expected = ", ".join(INITIAL_STATES)
        raise ConfigError({"initial_state": f"{path}: {state!r} is no initial_state; expected {expected}"})
    if given.get("initial_offsets"):
        raise ConfigError({"initial_offsets": f"{path}: {NO_OFFSETS.format(name)}"})
    made = _named(path, config)
    return CreateConnector(made.name, made.config, None if state is None else INITIAL_STATES[str(state).upper()])


def _named(path: Path, config: dict[str, str | None]) -> CreateConnector:
    name = (config.get("name") or "").strip()
    if not name:
        raise ConfigError(
            {"name": f"{path}: the connector has no 'name'; expected properties or JSON with a name and its settings"}
        )
    return CreateConnector(name, {**config, "name": name})


def _text(path: Path, name: str, value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return value
    raise ConfigError({name: f"{path}: the setting {name!r} is {type(value).__name__}; expected a text"})
