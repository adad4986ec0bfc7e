"""What the machine and the cgroups around the worker allow. Source: cgroups(7), proc_pid_mountinfo(5)."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MEMORY = ("memory.max", "memory.limit_in_bytes")
"""cgroup v2, v1. An unlimited one holds `max`, or a number beyond any machine."""
PIDS = ("pids.max",)
MACHINE = "the machine's memory"


@dataclass(frozen=True, slots=True)
class Limits:
    """What there is.

    memory:    bytes.   memory_from: what says so.
    processes: None when not limited; threads count.   processes_from: what says so.
    others:    processes and threads of others that the limit counts, too.
    """

    memory: int
    processes: int | None = None
    memory_from: str = MACHINE
    processes_from: str = ""
    others: int = 0


def read_limits(root: str = "/", begun: Iterable[int] = ()) -> Limits:
    """Read the smallest limits of this process's cgroup and those around it; what cannot be read does not limit.

    Call it before children are started: whoever is there beside this process then, is another's.

    begun: numbers of processes that are this one's all the same, as a template that was begun early.
    """
    memory, memory_from = _total_memory(root), MACHINE
    for folder in _folders(root, "memory"):
        for name in MEMORY:
            allowed = _number(os.path.join(folder, name))
            if allowed is not None and allowed < memory:
                memory, memory_from = allowed, f"{name} of cgroup {_shown(root, folder)}"
    processes, processes_from, others = None, "", 0
    own = sum(threads_of(pid, root) for pid in (os.getpid(), *begun))
    for folder in _folders(root, "pids"):
        for name in PIDS:
            allowed = _number(os.path.join(folder, name))
            taken = max((_number(os.path.join(folder, "pids.current")) or 0) - own, 0)
            if allowed is not None and (processes is None or allowed - taken < processes - others):
                processes, processes_from, others = allowed, f"{name} of cgroup {_shown(root, folder)}", taken
    return Limits(memory, processes, memory_from, processes_from, others)


def threads_of(pid: int, root: str = "/") -> int:
    """How many threads a process has now; 0: it is gone, or none is known."""
    try:
        return len(os.listdir(os.path.join(root, f"proc/{pid}/task"))) if pid else 0
    except OSError:
        return 0


def _folders(root: str, controller: str) -> Iterator[str]:
    """This process's cgroup for a controller, then those around it as far as they are mounted here; v2 and v1."""
    paths = dict(_paths(root))
    for inside, mounted, names in _mounts(root):
        path = paths.get(controller if names else "")
        if path is None or (names and controller not in names):
            continue
        below = path.removeprefix(inside.rstrip("/")) if path.startswith(inside) else ""
        if ".." in below.split("/"):  # the mount shows another cgroup than this process's, as beside a namespace
            below = ""
        parts = [part for part in below.split("/") if part]
        top = os.path.join(root, mounted.lstrip("/"))
        for length in range(len(parts), -1, -1):
            yield os.path.join(top, *parts[:length])


def _paths(root: str) -> Iterator[tuple[str, str]]:
    """Controller → path of this process's cgroup; v2 has the controller ""."""
    for line in _lines(os.path.join(root, "proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(root: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Of each mounted hierarchy: which cgroup is mounted, where, and its controllers, none for v2."""
    for line in _lines(os.path.join(root, "proc/self/mountinfo")):
        where, _, what = line.partition(" - ")
        kind, _, options = what.partition(" ")
        fields = where.split(" ")
        if kind == "cgroup2":
            yield fields[3], fields[4], frozenset()
        elif kind == "cgroup":
            yield fields[3], fields[4], frozenset(options.rpartition(" ")[2].split(","))


def _shown(root: str, folder: str) -> str:
    return "/" + os.path.relpath(folder, root)


def _total_memory(root: str) -> int:
    for line in _lines(os.path.join(root, "proc/meminfo")):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as lines:
            return lines.read().splitlines()
    except OSError:
        return []  # not Linux, or not shown here


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as held:
            return int(held.read())
    except (OSError, ValueError):
        return None  # absent, or `max`
