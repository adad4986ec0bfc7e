"""Where a log may lie: its files, and the file systems on which SQLite's locks and shared memory can be trusted."""

import ctypes
import os
import sys
from dataclasses import dataclass

from millstream.errors import BrokerError

MEMORY = ":memory:"
REFUSED = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x01021997: "9p",
    0x65735546: "FUSE or virtiofs",
    0x5346414F: "AFS",
    0x00C36400: "CephFS",
    0x0BD00BD0: "Lustre",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x73757245: "Coda",
    0x564C: "NCP",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x786F4256: "VirtualBox shared folder",
    0x7C7C6673: "Parallels shared folder",
    0xBACBACBC: "VMware shared folder",
}
STATFS = ctypes.CDLL(None, use_errno=True).statfs if sys.platform.startswith("linux") else None
STATFS_ANSWER = ctypes.c_long * 64  # more than any struct statfs
"""Made once, not where they are called: each child opens a log, and both are pages of its own."""


@dataclass(frozen=True, slots=True)
class LogFiles:
    """The two SQLite files of a log: records, offsets, positions in `data`; configs and statuses in `meta`."""

    data: str
    meta: str
    memory: bool = False

    @property
    def owner(self) -> str:
        """Locked for a worker's life; holds its pid."""
        return f"{self.data}.owner"

    @property
    def claims(self) -> str:
        """Empty; bytes of it are locked by readers for the partitions they have."""
        return f"{self.data}.claims"


def log_files(path: str) -> LogFiles:
    """Name the files of the log at `path`: a file, or a folder (it exists, or ends with a slash), then log.db in it."""
    if path.startswith(MEMORY):
        return LogFiles(path, f"{path}-meta", memory=True)
    if not path:
        raise BrokerError("bootstrap.servers=sqlite: names no file; write sqlite:<path>, such as sqlite:./log.db")
    if path.endswith(("/", os.sep)) or os.path.isdir(path):
        path = os.path.join(path, "log.db")
    whole = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)  # the working folder may be gone
    parts = [part for part in whole.split(os.sep) if part not in {"", "."}]
    data = os.sep + os.sep.join(parts)  # as pathlib writes it, `..` kept: not pathlib, which each child would wake
    stem, suffix = os.path.splitext(data)
    return LogFiles(data, f"{stem}-meta{suffix}")


def prepare_folder(path: str) -> None:
    """Make the folder of `path`, and refuse a file system that several processes cannot share a log on."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise BrokerError(
            f"cannot make the folder {folder!r} for the log: {error.strerror}; "
            "let bootstrap.servers=sqlite:<path> name a folder this user may write to"
        ) from error
    kind = REFUSED.get(magic_of(folder) or 0)
    if kind is not None:
        raise BrokerError(
            f"the log {path!r} would lie on a {kind} file system, where file locks and shared memory cannot be "
            "trusted; "
            "let bootstrap.servers=sqlite:<path> name a file on a local disk (ext4, xfs, btrfs, tmpfs, overlay)"
        )


def magic_of(folder: str) -> int | None:
    """The number statfs(2) gives a file system, None where it cannot be asked (only Linux numbers are known)."""
    if STATFS is None:
        return None
    answer = STATFS_ANSWER()
    if STATFS(os.fsencode(folder), answer) != 0:
        return None
    return answer[0] & 0xFFFFFFFF  # f_type is the first member, a long
