"""How much memory the queues of the tasks may take: limits of the machine or the container, divided."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

MB = 1024 * 1024
SMALLEST_QUEUE = 1 * MB
LARGEST_QUEUE = 64 * MB
WORKER_SHARE = 120 * MB
"""What the worker and its templates take, before any task."""
TASK_SHARE = 6 * MB
"""What a task takes without its queues: its pages beside the template's, and a client's threads."""
PROCESSES_KEPT = 32
"""Processes and threads left for the worker itself, its templates and the machine."""
THREADS_A_TASK = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What there is. memory: bytes, of the cgroup or else of the machine.   processes: None when not limited."""

    memory: int
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What one more task gets: bytes for its producer's or consumer's queue, or why it gets nothing."""

    queue_bytes: int
    refusal: str | None = None


def share(limits: Limits, tasks: int, memory_limit: int | None = None) -> Share:
    """Divide the memory among `tasks` tasks, the one that asks among them. Pure.

    memory_limit: `worker.memory.limit` in bytes; None: 70 % of what there is.

    A queue is between 1 and 64 MB. When not even the smallest fits, or no process is left, the refusal holds the sum.
    """
    limit = memory_limit if memory_limit is not None else limits.memory * 7 // 10
    left = limit - WORKER_SHARE - tasks * TASK_SHARE
    needed = WORKER_SHARE + tasks * (TASK_SHARE + SMALLEST_QUEUE)
    if needed > limit:
        return Share(
            0,
            f"no memory for task number {tasks}: {WORKER_SHARE // MB} MB for the worker and {tasks} times "
            f"{(TASK_SHARE + SMALLEST_QUEUE) // MB} MB are {needed // MB} MB, and worker.memory.limit is "
            f"{limit // MB} MB of {limits.memory // MB} MB; raise it, or run fewer tasks on this worker",
        )
    if limits.processes is not None and PROCESSES_KEPT + tasks * THREADS_A_TASK > limits.processes:
        return Share(
            0,
            f"no processes for task number {tasks}: {PROCESSES_KEPT} for the worker and {tasks} times {THREADS_A_TASK} "
            f"are more than the pid limit of {limits.processes}; raise it, or run fewer tasks on this worker",
        )
    return Share(max(SMALLEST_QUEUE, min(LARGEST_QUEUE, left // max(tasks, 1))))


def read_limits(root: str = "/") -> Limits:
    """Read what the machine and the cgroups (v2 or v1) allow; what cannot be read does not limit."""
    memory = _total_memory(root)
    for path in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        allowed = _number(os.path.join(root, path))
        if allowed is not None:
            memory = min(memory, allowed)
    counts = [
        number
        for path in ("sys/fs/cgroup/pids.max", "sys/fs/cgroup/pids/pids.max")
        if (number := _number(os.path.join(root, path))) is not None
    ]
    return Limits(memory, min(counts) if counts else None)


def parse_size(text: str, total: int) -> int:
    """Read `worker.memory.limit`: bytes, a size such as `512m` or `2g`, or a share of the machine such as `70%`.

    Raises ValueError naming the forms.
    """
    units: Mapping[str, int] = {"k": 1024, "m": MB, "g": 1024 * MB}
    stripped = text.strip().lower()
    try:
        if stripped.endswith("%"):
            return int(total * float(stripped[:-1]) / 100)
        unit = units.get(stripped[-1:], 1)
        return int(float(stripped[:-1] if unit > 1 else stripped) * unit)
    except ValueError:
        raise ValueError(
            f"worker.memory.limit is {text!r}: expected bytes, a size such as 512m or 2g, or a share such as 70%"
        ) from None


def _total_memory(root: str) -> int:
    try:
        with open(os.path.join(root, "proc/meminfo"), encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    except (OSError, StopIteration, ValueError):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as held:
            return int(held.read())
    except (OSError, ValueError):
        return None  # absent, or `max`
