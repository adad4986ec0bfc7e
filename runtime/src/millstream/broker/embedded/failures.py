"""What SQLite's errors mean to the operator."""

import sqlite3

from millstream.errors import BrokerError


def explained(error: sqlite3.Error, path: str) -> BrokerError:
    """The error as one of ours, `retriable` where the outside may mend."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return BrokerError(
                f"cannot write the log {path!r}: the disk is full; free some space, and writing goes on by itself",
                retriable=True,
            )
        case sqlite3.SQLITE_IOERR:
            return BrokerError(
                f"cannot write or read the log {path!r}: {error}; check the disk's space and health, it is tried again",
                retriable=True,
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BrokerError(
                f"the log {path!r} is locked by another program, such as an open sqlite3 shell; close it",
                retriable=True,
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return BrokerError(
                f"cannot open the log {path!r}: {error}; the file and its folder must be writable for this user"
            )
        case sqlite3.SQLITE_NOTADB:
            return BrokerError(
                f"{path!r} is not a log: it is no SQLite file; let bootstrap.servers=sqlite:<path> name another"
            )
        case sqlite3.SQLITE_CORRUPT:
            return BrokerError(
                f"the log {path!r} is damaged: {error}; keep a copy, then restore a backup or recover it with "
                "the sqlite3 shell's .recover"
            )
    return BrokerError(f"the log {path!r} failed: {error}")
