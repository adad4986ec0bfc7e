"""Settings of a connector that nobody declares. A plugin may read any: only what looks like a slip is said."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Literal

from millstream.settings.client import Client, client_definitions
from millstream.settings.framework import CONVERTERS, Settings
from millstream.settings.worker import StandaloneConfig

NEAR = 0.8
MOST = 100  # looked at: a request may hold many thousands, each to be compared with all that is known
CLIENTS: tuple[Client, ...] = ("producer", "consumer", "admin")
OPEN = ("topic.creation.", *(f"{client}.override." for client in CLIENTS))
"""Prefixes under which any name may stand."""
OF_ALIASES = ("transforms.", "predicates.")


def undeclared(kind: Literal["source", "sink"], settings: Settings, known: Collection[str]) -> dict[str, str]:
    """Give the settings that nobody declares and that seem to be meant for something, each with a sentence on that.

    known: what the runtime, the connector, its converters, transformations and predicates declare.
    """
    strange = [name for name in settings if name not in known and not name.startswith(OPEN)]
    meant = {name: _meant(kind, name, settings, known) for name in strange[:MOST]}
    return {name: sentence for name, sentence in meant.items() if sentence}


def _meant(kind: Literal["source", "sink"], name: str, settings: Settings, known: Collection[str]) -> str:
    for setting in CONVERTERS:
        if name.startswith(f"{setting}.") and not settings.get(setting):
            return f"it is for a converter that the connector names itself: add {setting!r}, or set it for the worker"
    client: Client = "producer" if kind == "source" else "consumer"
    first, _, rest = name.partition(".")
    for of, own in ((client, name), *((each, rest) for each in CLIENTS if each == first)):
        if own in {one.name for one in client_definitions(of)}:
            return f"did you mean {f'{of}.override.{own}'!r}?"
    if name in {one.name for one in StandaloneConfig.definitions()}:
        return "it is the worker's: put it into the worker's file"
    near = get_close_matches(name, sorted(each for each in known if _same_family(name, each)), 1, NEAR)
    return f"did you mean {near[0]!r}?" if near else ""


def _same_family(name: str, other: str) -> bool:
    """Whether one may be meant by the other: not where they belong to two converters, or to two transformations."""
    return _family(name) == _family(other)


def _family(name: str) -> str:
    for setting in CONVERTERS:
        if name.startswith(f"{setting}."):
            return setting
    return ".".join(name.split(".")[:2]) if name.startswith(OF_ALIASES) else ""
