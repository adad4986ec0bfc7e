"""What a request's body may be: read strictly, refused as the client's fault (400) with a sentence.

Java answers 500 to most of these (its parser's exceptions); a listed deviation.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from millstream.herder.offsets import nothing_given
from millstream.herder.requests import INITIAL_STATES, CreateConnector, Offsets
from millstream.identity import TargetState
from millstream.rest.errors import RestError
from millstream.rest.json import Number, UnreadableError, native, read

Config = dict[str, str | None]
BODY = "The body"


async def body_of(request: Request, expected: str) -> Any:
    """The body's JSON value; numbers are `Number`."""
    data = await request.body()
    if not data:
        raise RestError(400, f"The request has no body; expected {expected}")
    try:
        return read(data)
    except UnreadableError as error:
        raise RestError(400, f"{error}; expected {expected}") from error


def create_request(body: Any) -> CreateConnector:
    """Read the body of `POST /connectors`."""
    expected = 'an object with "name" and "config"'
    flat = '; settings stand in "config"' if isinstance(body, dict) and "connector.class" in body else ""
    fields = _object(body, expected, {"name", "config", "initial_state", "initial_offsets"}, hint=flat)
    name = _text(fields.get("name"), "name") or ""
    if fields.get("config") is None:
        raise RestError(400, f'The request has no "config"; expected {expected}')
    config = settings(fields["config"], '"config"')
    offsets = fields.get("initial_offsets")
    return CreateConnector(name, config, _initial_state(fields.get("initial_state")), _initial_offsets(offsets))


def _initial_state(given: Any) -> TargetState | None:
    if given is None:
        return None
    state = INITIAL_STATES.get(str(given).upper()) if isinstance(given, str) else None
    if state is None:
        raise RestError(400, f'"initial_state" is {given!r}; expected one of {", ".join(INITIAL_STATES)}')
    return state


def _initial_offsets(given: Any) -> Offsets | None:
    return None if given is None else _pairs(given, "initial_offsets")


def settings(body: Any, what: str = BODY) -> Config:
    """Read a map of settings: scalars become text, null stays."""
    fields = _object(body, "an object of settings", None, what)
    if isinstance(fields.get("config"), dict):
        problem = 'Cannot deserialize value of type String: "config" is an object; expected a text'
        where = "in the body" if what == BODY else f"in {what}"
        raise RestError(400, f'{problem}: the settings stand {where} itself, without "config" around them')
    return {name: _text(value, name) for name, value in fields.items()}


def offsets(body: Any) -> Offsets:
    """Read the body of `PATCH …/offsets`. A missing "offset" is null: forget it."""
    fields = _object(body, 'an object with "offsets"', {"offsets"})
    if not fields.get("offsets") and not isinstance(fields.get("offsets"), dict | str):
        raise nothing_given()
    return _pairs(fields["offsets"], "offsets")


def _pairs(given: Any, name: str) -> Offsets:
    if not isinstance(given, list):
        raise RestError(400, f'Cannot deserialize value of "{name}": it is {_kind(given)}; expected a list')
    pairs = []
    for element in given:
        if not isinstance(element, dict):
            raise RestError(
                400,
                f'Cannot construct instance of an offset: an element of "{name}" is {_kind(element)};'
                ' expected an object with "partition" and "offset"',
            )
        fields = _object(element, 'an object with "partition" and "offset"', {"partition", "offset"})
        pairs.append((_place(fields.get("partition"), "partition"), _place(fields.get("offset"), "offset")))
    return pairs


def _place(given: Any, name: str) -> Mapping[str, Any] | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise RestError(400, f'Cannot deserialize value of "{name}": it is {_kind(given)}; expected an object')
    try:
        place: Mapping[str, Any] = native(given)
    except UnreadableError as error:
        raise RestError(400, f'Cannot deserialize value of "{name}": {error}') from error
    except RecursionError:
        raise RestError(400, f'Cannot deserialize value of "{name}": it is nested too deep') from None
    return place


def level(body: Any) -> str:
    """Read the body of `PUT /admin/loggers/…`."""
    fields = settings(body)
    given = fields.get("level")
    if given is None:
        raise RestError(400, "Desired 'level' parameter was not specified in request.")
    return given


def _object(body: Any, expected: str, known: set[str] | None, what: str = BODY, hint: str = "") -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RestError(400, f"Cannot deserialize value: {what} is {_kind(body)}; expected {expected}")
    for name in body:
        if known is not None and name not in known:
            names = ", ".join(f'"{each}"' for each in sorted(known))
            raise RestError(400, f'Unrecognized field "{name}"; known are {names}{hint}')
    return body


def _text(value: Any, name: str) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():  # a Number, too
            return str(value)
    raise RestError(400, f'Cannot deserialize value of type String: "{name}" is {_kind(value)}; expected a text')


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case Number():
            return "a number"
        case str():
            return "a text"
        case list():
            return "an array"
    return "an object"
