"""What differs between what a plugin gave and what is right, in one line.

Not left to pytest: where CI or BUILD_NUMBER is set in the environment it diffs both sides in full, line against line
and character against character, which takes minutes for rows with their schemas.
"""

import reprlib
from collections.abc import Mapping
from typing import Any

SHOWN = reprlib.Repr()
SHOWN.maxother = SHOWN.maxstring = 200


def difference(found: Any, wanted: Any) -> str:
    """The first row, or key, that differs; empty when nothing does."""
    if found == wanted:
        return ""
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        if len(found) != len(wanted):
            return f"{len(found)} rows instead of {len(wanted)}: {_instead(found, wanted)}"
        at = [row for row, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other]
        return f"row {at[0]}: {_instead(found[at[0]], wanted[at[0]])}" if at else _instead(found, wanted)
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in [*wanted, *found]:
            if key not in found or key not in wanted:
                return f"{key!r} is {'missing' if key in wanted else 'too much'}"
            if found[key] != wanted[key]:
                return f"{key!r}: {_instead(found[key], wanted[key])}"
    return _instead(found, wanted)


def _instead(found: Any, wanted: Any) -> str:
    return f"{SHOWN.repr(found)} instead of {SHOWN.repr(wanted)}"
