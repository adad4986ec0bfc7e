"""How much memory the queues of the tasks may take, and whether one more task may start. Pure.

A share is given when a task starts and is not taken back, since librdkafka's consumer keeps the queue that it was made
with. So that early tasks leave something to late ones, the memory is divided by MANY tasks at least.
Decided in docs/decisions/a-share-is-kept.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from millstream.worker.limits import Limits

MB = 1024 * 1024
SMALLEST_QUEUE = 4 * MB
"""A sink of four partitions with rows of 100 bytes takes as much, whatever its queue is set to."""
LARGEST_QUEUE = 64 * MB
MANY = 100
WORKER_SHARE = 120 * MB
"""What the worker and the templates of a few distributions take, before any task."""
FEW = 4
TEMPLATE_SHARE = 14 * MB
"""Of each more: 6 MB its template, 8 MB the child that it keeps ahead (PSS)."""
PROCESSES_KEPT = 24
"""Processes and threads left for the worker itself and for probes."""
DEFAULT_SHARE = 70  # percent
RAISE_MEMORY = "raise worker.memory.limit or the container's memory, lower tasks.max, or run fewer tasks on this worker"
RAISE_PROCESSES = "raise that limit, lower tasks.max, or run fewer tasks on this worker"


@dataclass(frozen=True, slots=True)
class Needs:
    """What one task or connector takes at most beside what its plugin holds.

    rest:    bytes without its queue.   threads: its process is the first.
    queue:   bytes that its settings ask for; None: a share of what there is.
    """

    rest: int
    threads: int
    queue: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What one more task gets: bytes for its producer's or consumer's queue, or why it gets nothing."""

    queue_bytes: int
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What those that run have been given. memory: bytes, queues included.

    templates: how many there are, the bare one included.   spares: children that they keep ahead, one each, save for
               the bare one.
    """

    tasks: int = 0
    memory: int = 0
    threads: int = 0
    templates: int = 0
    spares: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What there is for all of them. memory: `worker.memory.limit` in bytes.   kept: threads of the worker's own."""

    limits: Limits
    memory: int
    kept: int = PROCESSES_KEPT

    @classmethod
    def of(cls, limits: Limits, memory_limit: int | None, client_threads: int = 0) -> "Budget":
        """memory_limit: None: 70 % of what there is.   client_threads: of the worker's own Kafka client."""
        memory = limits.memory * DEFAULT_SHARE // 100 if memory_limit is None else memory_limit
        return cls(limits, memory, PROCESSES_KEPT + client_threads)

    def share(self, taken: Taken, needs: Needs) -> Share:
        """Give a share to one more task, or refuse it with the sum.

        A queue that is not set is between 4 and 64 MB.
        """
        left = self.memory - _own(taken) - taken.memory - needs.rest
        smallest = SMALLEST_QUEUE if needs.queue is None else needs.queue
        if smallest > left:
            return Share(0, self._no_memory(taken, needs, smallest))
        if (refusal := self._no_processes(taken, needs)) is not None:
            return Share(0, refusal)
        if needs.queue is not None:
            return Share(needs.queue)
        even = (self.memory - _own(taken)) // max(taken.tasks + 1, MANY) - needs.rest
        return Share(min(max(SMALLEST_QUEUE, min(LARGEST_QUEUE, even)), left))

    def _no_memory(self, taken: Taken, needs: Needs, queue: int) -> str:
        wanted = _own(taken) + taken.memory + needs.rest + queue
        return (
            f"no memory for one more task: {_mb(_own(taken))} for the worker, {_mb(taken.memory)} for those that "
            f"run ({taken.tasks}), and {_mb(needs.rest)} and a queue of {_mb(queue)} for this one are "
            f"{_mb(wanted)}; worker.memory.limit is {self.memory // MB} MB of {self.limits.memory // MB} MB "
            f"({self.limits.memory_from}); {RAISE_MEMORY}"
        )

    def _no_processes(self, taken: Taken, needs: Needs) -> str | None:
        limits = self.limits
        templates = taken.templates + taken.spares
        wanted = self.kept + templates + limits.others + taken.threads + needs.threads
        if limits.processes is None or wanted <= limits.processes:
            return None
        others = f"{limits.others} of others, " if limits.others else ""
        ahead = f"{templates} for templates and children ahead, " if templates else ""
        return (
            f"no processes for one more task: {self.kept} for the worker, {ahead}{others}{taken.threads} of those that "
            f"run ({taken.tasks}), and {needs.threads} for this one are {wanted}; threads count, and the limit is "
            f"{limits.processes} ({limits.processes_from}); {RAISE_PROCESSES}"
        )


def needs_of_task(
    kind: str, settings: Mapping[str, str | None], worker: Mapping[str, str | None], client_threads: int
) -> Needs:
    """What a task will take.

    kind:           source | sink.   settings: the connector's.   worker: the worker's.
    client_threads: how many threads a Kafka client has here, 0 on the embedded log.

    Measured, PSS at rest: 5.4 MB on the embedded log, 7.7 a source and 7.4 a sink on Kafka; half a MB more at work.
    """
    if not client_threads:
        return Needs(6 * MB, 3, 1 * MB)
    if kind == "source":  # a producer, an admin client with one thread more, and one that connects, then sees to rounds
        buffer = _set(("buffer.memory",), "producer", settings, worker)
        return Needs(9 * MB, 4 + 2 * client_threads, buffer or None)
    fetched = _set(("fetch.max.bytes", "max.partition.fetch.bytes"), "consumer", settings, worker)
    return Needs(8 * MB + fetched, 3 + client_threads)  # its group's coordinator has a thread of its own


def needs_of_connector() -> Needs:
    """What a connector takes while it has a process: it watches the outside, or is being asked."""
    return Needs(6 * MB, 4, 0)


def taken_by(given: Sequence[Needs]) -> Taken:
    """Sum up. Each `queue` is what was given."""
    memory = sum(needs.rest + (needs.queue or 0) for needs in given)
    return Taken(len(given), memory, sum(needs.threads for needs in given))


def _own(taken: Taken) -> int:
    """Bytes of the worker itself and its templates."""
    return WORKER_SHARE + max(taken.spares - FEW, 0) * TEMPLATE_SHARE


def _set(
    names: Sequence[str], client: str, settings: Mapping[str, str | None], worker: Mapping[str, str | None]
) -> int:
    """The largest of these client settings as an operator wrote them; 0: none did, or none that is a number here."""
    found = [settings.get(f"{client}.override.{name}") or worker.get(f"{client}.{name}") or "" for name in names]
    return max((int(text) for text in found if text.strip().isdigit()), default=0)


def _mb(size: int) -> str:
    return f"{-(-size // MB)} MB"
