"""Named points at which a crash test lets this process die. Off: one call of an empty function a batch."""

import os
import signal
from collections.abc import Callable, Mapping

FailPoint = Callable[[str], None]
VARIABLE = "MILLSTREAM_FAILPOINTS"
"""`name=action@n`, comma separated: at the n-th passage (1 = the first, the default) of the named point do `kill`
(SIGKILL to ourselves), `exit` (`os._exit(70)`) or `raise` (FailPointError)."""

POINTS = (
    "source.poll.after",
    "source.send.after",
    "source.offsets.before",
    "source.commit.before",
    "source.commit.after",
    "source.durable.after",
    "sink.put.before",
    "sink.put.after",
    "sink.commit.before",
    "sink.commit.after",
)


class FailPointError(Exception):
    """Raised by a fail point whose action is `raise`."""


def nothing(name: str) -> None:
    """No fail point is set."""


def from_environment(environment: Mapping[str, str] = os.environ) -> FailPoint:
    """Read `MILLSTREAM_FAILPOINTS`; `nothing` without it. Raises ValueError for an unknown name or action."""
    text = environment.get(VARIABLE, "").strip()
    return fail_at(text) if text else nothing


def fail_at(text: str) -> FailPoint:
    """The fail point for a specification such as `sink.put.after=kill@3`."""
    left: dict[str, tuple[str, int]] = {}
    for part in text.split(","):
        name, _, rest = part.strip().partition("=")
        action, _, count = rest.partition("@")
        if name not in POINTS:
            raise ValueError(f"{VARIABLE} names the fail point {name!r}; there are {', '.join(POINTS)}")
        if action not in _ACTIONS:
            raise ValueError(f"{VARIABLE} gives {name} the action {action!r}; it can be {', '.join(_ACTIONS)}")
        left[name] = (action, int(count or 1))

    def passed(name: str) -> None:
        if name in left:
            action, count = left[name]
            left[name] = (action, count - 1)
            if count == 1:
                _ACTIONS[action](name)

    return passed


def _kill(name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(name: str) -> None:
    os._exit(70)


def _raise(name: str) -> None:
    raise FailPointError(f"fail point {name}")


_ACTIONS: dict[str, FailPoint] = {"kill": _kill, "exit": _exit, "raise": _raise}
