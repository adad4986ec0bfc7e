"""Memory as on a machine that has been up for a while: hardly a page is free, and files are cached in the rest.

A new virtual machine has most of its memory free, and its host finds each page when it is first touched: 10 us a page
were measured, 2.5 us a record of 1 KB that is written to a file, as much as all the rest of a copy. A page that was a
cached file's is there already, and taking it costs what it costs everywhere.
"""

import os
from pathlib import Path

LEFT = 512 << 20
_PIECE = 1 << 20


class Memory:
    """A file without blocks, read on and on: what is read of it is cached, and goes first when a page is wanted."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "nothing", os.O_RDWR | os.O_CREAT, 0o600)
        self._at = 0

    def use(self) -> None:
        """Leave LEFT bytes free. At most as much is read as there is memory: not each file system caches a hole."""
        piece = bytearray(_PIECE)
        end = self._at + stated("MemTotal")
        while self._at < end and stated("MemFree") > LEFT:
            os.ftruncate(self._file, self._at + 64 * _PIECE)
            for _ in range(64):
                self._at += os.preadv(self._file, [piece], self._at)

    def close(self) -> None:
        os.close(self._file)


def stated(name: str) -> int:
    """Bytes, of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/meminfo has no line {name}")
