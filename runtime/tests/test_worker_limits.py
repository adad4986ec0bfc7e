import os
from pathlib import Path

import pytest

from millstream.worker.budget import Budget, Taken, needs_of_task
from millstream.worker.limits import Limits, read_limits, threads_of

V2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = """\
31 1 0:27 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
32 31 0:28 {inside} /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
33 31 0:29 {inside} /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids
34 31 0:30 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
"""


class Machine:
    """A tree of files as the kernel shows it."""

    def __init__(self, root: Path, kilobytes: int = 1000) -> None:
        self.root = root
        self.write("proc/meminfo", f"MemTotal:  {kilobytes} kB\nMemFree: 5 kB\n")

    def write(self, path: str, text: object) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"{text}\n")

    def read(self) -> Limits:
        return read_limits(str(self.root))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_cgroups_the_machine_limits_memory_alone(machine):
    assert machine.read() == Limits(1_024_000, None)


def test_a_container_sees_its_own_cgroup_as_the_root(machine):
    machine.write("proc/self/mountinfo", V2)
    machine.write("proc/self/cgroup", "0::/")
    machine.write("sys/fs/cgroup/memory.max", 500_000)
    machine.write("sys/fs/cgroup/pids.max", 77)
    assert machine.read() == Limits(
        500_000, 77, "memory.max of cgroup /sys/fs/cgroup", "pids.max of cgroup /sys/fs/cgroup"
    )


def test_the_smallest_limit_of_all_cgroups_around_counts(machine):
    machine.write("proc/self/mountinfo", V2)
    machine.write("proc/self/cgroup", "0::/system.slice/millstream.service")
    machine.write("sys/fs/cgroup/system.slice/memory.max", 400_000)
    machine.write("sys/fs/cgroup/system.slice/millstream.service/memory.max", "max")
    machine.write("sys/fs/cgroup/system.slice/pids.max", "max")
    machine.write("sys/fs/cgroup/system.slice/millstream.service/pids.max", 512)
    assert machine.read() == Limits(
        400_000,
        512,
        "memory.max of cgroup /sys/fs/cgroup/system.slice",
        "pids.max of cgroup /sys/fs/cgroup/system.slice/millstream.service",
    )


@pytest.mark.parametrize("inside", ["/", "/docker/ab12"])
def test_version_one_has_a_hierarchy_for_each_controller(machine, inside):
    machine.write("proc/self/mountinfo", V1.format(inside=inside))
    machine.write("proc/self/cgroup", "9:memory:/docker/ab12\n8:pids:/docker/ab12\n0::/")
    below = "docker/ab12/" if inside == "/" else ""
    machine.write(f"sys/fs/cgroup/memory/{below}memory.limit_in_bytes", 300_000)
    machine.write(f"sys/fs/cgroup/pids/{below}pids.max", 1024)
    found = machine.read()
    assert (found.memory, found.processes) == (300_000, 1024)


def test_a_version_one_without_limits_has_a_number_beyond_any_machine(machine):
    machine.write("proc/self/mountinfo", V1.format(inside="/"))
    machine.write("proc/self/cgroup", "9:memory:/\n8:pids:/")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    assert machine.read() == Limits(1_024_000, None)


def test_a_mount_that_shows_another_cgroup_is_read_at_its_root(machine):
    machine.write("proc/self/mountinfo", V2)
    machine.write("proc/self/cgroup", "0::/../other")
    machine.write("sys/fs/cgroup/memory.max", 600_000)
    machine.write("sys/fs/other/memory.max", 1)
    assert machine.read().memory == 600_000


def test_processes_of_others_in_the_cgroup_are_counted_and_the_own_are_not(machine):
    machine.write("proc/self/mountinfo", V2)
    machine.write("proc/self/cgroup", "0::/")
    for thread in (1, 2, 3):
        (machine.root / f"proc/{os.getpid()}/task/{thread}").mkdir(parents=True)
    machine.write("sys/fs/cgroup/pids.max", 100)
    machine.write("sys/fs/cgroup/pids.current", 13)
    assert machine.read().others == 10


@pytest.mark.parametrize("version", [1, 2])
def test_a_template_that_was_begun_early_is_the_workers_own(tmp_path, version):
    machine = Machine(tmp_path, 4_000_000)
    folder = "sys/fs/cgroup" if version == 2 else "sys/fs/cgroup/pids/docker/ab12"
    machine.write("proc/self/mountinfo", V2 if version == 2 else V1.format(inside="/"))
    machine.write("proc/self/cgroup", "0::/" if version == 2 else "8:pids:/docker/ab12\n0::/")
    for pid, threads in ((os.getpid(), 3), (77, 1)):
        for thread in range(threads):
            (machine.root / f"proc/{pid}/task/{thread}").mkdir(parents=True)
    machine.write(f"{folder}/pids.max", 40)
    machine.write(f"{folder}/pids.current", 9)
    found = read_limits(str(machine.root), begun=[77])
    assert (found.processes, found.others) == (40, 5)
    budget = Budget.of(found, None)
    task = needs_of_task("source", {}, {}, 0)
    assert budget.share(Taken(threads=3, templates=3, spares=2), task).refusal is None  # 24 + 5 + 5 + 3 + 3
    sum_beyond = budget.share(Taken(threads=4, templates=3, spares=2), task).refusal
    assert "24 for the worker, 5 for templates and children ahead, 5 of others, 4 of those that run" in sum_beyond
    assert f"the limit is 40 (pids.max of cgroup /{folder})" in sum_beyond


def test_of_two_pid_limits_the_one_with_less_room_counts(machine):
    machine.write("proc/self/mountinfo", V2)
    machine.write("proc/self/cgroup", "0::/pod/one")
    machine.write("sys/fs/cgroup/pod/pids.max", 1000)
    machine.write("sys/fs/cgroup/pod/pids.current", 900)
    machine.write("sys/fs/cgroup/pod/one/pids.max", 500)
    machine.write("sys/fs/cgroup/pod/one/pids.current", 0)
    assert (machine.read().processes, machine.read().others) == (1000, 900)


def test_threads_of_a_process_are_counted_and_one_that_is_gone_has_none():
    assert threads_of(os.getpid()) >= 1
    assert threads_of(0) == 0
    assert threads_of(2**22 + 1) == 0
