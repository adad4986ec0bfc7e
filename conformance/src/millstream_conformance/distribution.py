"""What an installed distribution registers, asked in a fresh process: nothing of it is imported here."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from millstream_conformance.kinds import KINDS

GROUP = "millstream"
LISTING_S = 60.0
#: before the answer, whatever a plugin has printed
ANSWER = "listed: "
LISTING = """
import json, sys
from importlib import import_module
import millstream_api.hookspecs as hookspecs, pluggy
before = set(sys.modules)
refs, unmarked, problem = {}, [], ""
for name in sys.argv[2:]:
    module = import_module(name)
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    marked = {caller.name for caller in manager.get_hookcallers(module) or ()}
    unmarked += [f"{name}.{each}" for each in vars(module) if each.startswith("register_") and each not in marked]
    for hook in json.loads(sys.argv[1]):
        if hook in marked:
            refs.setdefault(hook, []).extend([[r.target, list(r.aliases)] for r in getattr(module, hook)()])
imported = sorted(set(sys.modules) - before)
print("listed: " + json.dumps({"refs": refs, "imported": imported, "unmarked": unmarked, "problem": problem}))
"""


@dataclass(frozen=True)
class Listing:
    """What listing the plugins of a distribution came to.

    refs:      by hook, target and aliases of each plugin.   imported: modules that were not there before.
    unmarked:  functions named as hooks that are none.       problem: what pluggy says of the hooks; "" nothing.
    error:     what listing printed when it ended badly; the rest is empty then.
    """

    refs: Mapping[str, Sequence[tuple[str, Sequence[str]]]]
    imported: Sequence[str] = ()
    unmarked: Sequence[str] = ()
    problem: str = ""
    error: str = ""


def listing(distribution: metadata.Distribution) -> Listing:
    """Have a fresh interpreter import the modules of the entry points, and call their hooks."""
    modules = [entry.module for entry in distribution.entry_points.select(group=GROUP)]
    command = [sys.executable, "-c", LISTING, json.dumps(list(KINDS)), *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LISTING_S)
    except subprocess.TimeoutExpired:
        return Listing({}, error=f"the interpreter did not end within {LISTING_S:g} s")
    last = done.stdout.rpartition(ANSWER)[2] if ANSWER in done.stdout else ""
    if done.returncode != 0 or not last:
        return Listing({}, error=done.stderr or f"the interpreter ended with {done.returncode}")
    found: dict[str, Any] = json.loads(last)
    refs = {hook: [(target, tuple(aliases)) for target, aliases in some] for hook, some in found["refs"].items()}
    return Listing(refs, found["imported"], found["unmarked"], found["problem"])
