"""JSON as the REST API spells it, out and in."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.responses import Response

from millstream.storage.java_json import dumps

MEDIA_TYPE = "application/json"


#: characters; StreamReadConstraints of Jackson, Java's parser
LONGEST_NUMBER = 1_000
#: an escape that is half of a pair; whether the other half follows shows when the text is encoded
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class UnreadableError(ValueError):
    """A body is no JSON; the message says where."""


class Number(str):
    """A number in a body as it was written, so that a setting keeps its spelling."""

    __slots__ = ()


def respond(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body, spelled as Java does."""
    return Response(dumps(body), status, headers, MEDIA_TYPE)


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(b"", status, headers)


def read(data: bytes) -> Any:
    """Read one JSON value; numbers become `Number`. Raises UnreadableError."""
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_no_constant)
        if SURROGATE.search(text) is not None:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise UnreadableError("The body holds half of a surrogate pair, which is no text") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"Invalid UTF-8: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"The body is not JSON: {error}") from error


def _number(text: str) -> Number:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"Number value length ({len(text)}) exceeds the maximum allowed ({LONGEST_NUMBER})")
    return Number(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"Non-standard token '{name}'")


def native(value: Any) -> Any:
    """A value that `read` gave with its numbers as numbers: int, or float for one with a fraction or exponent.

    Raises UnreadableError for a fraction that no float holds, RecursionError for a value that is nested too deep.
    """
    match value:
        case Number():
            return int(value) if value.lstrip("-").isdigit() else _float(value)
        case dict():
            return {name: native(each) for name, each in value.items()}
        case list():
            return [native(each) for each in value]
    return value


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise UnreadableError(f"{text} is beyond a number of 64 bits")
    return number
