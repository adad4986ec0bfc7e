"""Who has a lock on a file, as Linux tells it in /proc; elsewhere nobody says."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path


def flock_holder(inode: int) -> int | None:
    """The pid that has a flock on this file; None where the system does not say (Linux does)."""
    with suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
        for line in locks:
            # 3: FLOCK  ADVISORY  WRITE 4711 08:01:131074 0 EOF; who waits has a -> before the kind
            words = line.split()
            if words[1] == "FLOCK" and words[5].endswith(f":{inode}"):
                return int(words[4]) or None  # 0: of another container
    return None


def lock_holders(inode: int, starts: Collection[int]) -> Sequence[int]:
    """Pids of the processes whose open file has locked a byte at one of `starts` (an open file description lock).

    /proc/locks has -1 for these. Those of other users are not seen. A look at every open file: not for every day.
    """
    wanted = {(str(inode), str(start)) for start in starts}
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if not wanted.isdisjoint(_locks(process))]


def _locks(process: Path) -> Iterator[tuple[str, str]]:
    """(inode, first byte) of what a process has locked."""
    # lock:   1: OFDLCK ADVISORY  WRITE -1 08:01:131074 4711 4711
    with suppress(OSError):  # it has ended, or is of another user
        for descriptor in (process / "fdinfo").iterdir():
            with suppress(OSError):
                for line in descriptor.read_text().splitlines():
                    if line.startswith("lock:"):
                        words = line.split()
                        yield words[6].rpartition(":")[2], words[7]
