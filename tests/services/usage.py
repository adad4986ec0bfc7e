"""Memory and CPU time of processes, as the kernel counts them."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """rss and pss in bytes; pss shares what processes share, and is 0 where the kernel does not tell it."""

    rss: int
    pss: int
    cpu_s: float


def usage(pids: Iterable[int]) -> Usage:
    """The sum over processes and their children; CPU time also of children that have ended."""
    import psutil  # of requirements/services.txt: environments without services import this module too

    rss, pss, cpu = 0, 0, 0.0
    roots = [psutil.Process(pid) for pid in pids]
    for process in {found.pid: found for root in roots for found in (root, *root.children(recursive=True))}.values():
        try:
            memory, times = process.memory_full_info(), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        rss, pss = rss + memory.rss, pss + getattr(memory, "pss", 0)
        cpu += times.user + times.system + times.children_user + times.children_system
    return Usage(rss, pss, cpu)
