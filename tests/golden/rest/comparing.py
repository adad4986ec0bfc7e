"""Two answers compared field by field: each has its leaves, path -> value.

What Java leaves undefined is put in order first: names in `GET /connectors`, partitions in `…/offsets`. The list of
settings in a validation is compared by name, and its order as one leaf of its own.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from golden.rest.recording import Answer

#: what a path has that is only in one of the answers
ABSENT = "(absent)"
#: matches any text that is not empty: the sentence is ours
DOCUMENTATION = "$DOCUMENTATION"

Leaves = Mapping[str, Any]


def leaves(answer: Answer) -> dict[str, Any]:
    """Every field of an answer; a body that is no JSON is one leaf."""
    found: dict[str, Any] = {"status": answer.status}
    for name, value in answer.headers:
        path = f"headers.{name}"
        found[path] = f"{found[path]}, {value}" if path in found else value
    try:
        body = json.loads(answer.body, object_pairs_hook=_members)
    except ValueError:
        found["body"] = answer.body
    else:
        found.update(_leaves(body, "body"))
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member stands twice in an object")
    return members


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    match value:
        case dict() if value:
            for name, each in value.items():
                yield from _leaves(_ordered(name, each), f"{path}.{name}")
        case list() if value:
            names = [_setting(each) for each in value]
            if all(names):
                yield f"{path}.(order)", " ".join(names)
            else:
                names, value = [str(number) for number in range(len(value))], _ordered(path, value)
            for name, each in zip(names, value, strict=True):
                yield from _leaves(each, f"{path}.{name}")
        case _:
            yield path, value


def _setting(described: Any) -> str:
    """The name of a described setting, or of one with its value; none of anything else."""
    match described:
        case {"name": str(name), "importance": _} | {"definition": {"name": str(name)}}:
            return name
        case {"definition": None, "value": {"name": str(name)}}:
            return name
    return ""


def _ordered(name: str, value: Any) -> Any:
    """A list whose order is that of a hash map in Java, sorted: of connectors (the whole body), of offsets."""
    if isinstance(value, list) and (name == "offsets" or (name == "body" and all(isinstance(it, str) for it in value))):
        return sorted(value, key=lambda each: json.dumps(each, sort_keys=True))
    return value


def differences(recorded: Leaves, ours: Leaves) -> dict[str, tuple[Any, Any]]:
    """Each path on which the two differ, with what is recorded and what is ours."""
    paths = [*recorded, *(path for path in ours if path not in recorded)]
    pairs = {path: (recorded.get(path, ABSENT), ours.get(path, ABSENT)) for path in paths}
    return {path: (theirs, mine) for path, (theirs, mine) in pairs.items() if not _same(theirs, mine)}


def _same(recorded: Any, ours: Any) -> bool:
    if recorded == DOCUMENTATION:
        return isinstance(ours, str) and ours not in ("", ABSENT)
    return type(recorded) is type(ours) and bool(recorded == ours)
