"""The tables of one log file, and the checks that a file is such a log."""

import base64
import sqlite3
import uuid

from millstream.errors import BrokerError

APPLICATION_ID = 0x4D696C6C  # "Mill"
VERSION = 1
SLOT_BITS = 44
"""A batch's id is its partition's slot << 44 | base offset: rows of one partition are neighbours in the tree."""

LAST = (1 << SLOT_BITS) - 1
PAGE_SIZE = 16384

TABLES = """
create table meta(key text primary key, value) without rowid;
create table topic(id integer primary key, name text not null unique, config text not null);
create table part(slot integer primary key, topic integer not null, part integer not null,
    next integer not null default 0, bytes integer not null default 0, unique(topic, part));
create table batch(id integer primary key, n integer not null, ts integer not null, bytes integer not null,
    data blob not null);
create table row(slot integer not null, key blob not null, offset integer not null, ts integer not null, value blob,
    headers blob, primary key(slot, key)) without rowid;
create unique index row_offset on row(slot, offset);
create table position(grp text not null, topic text not null, part integer not null, offset integer not null,
    primary key(grp, topic, part)) without rowid;
create table interest(grp text not null, topic text not null, primary key(grp, topic)) without rowid;
create view batches as select topic.name as topic, part.part as partition, batch.id & 17592186044415 as base, batch.n,
    batch.ts, batch.bytes from batch join part on part.slot = batch.id >> 44 join topic on topic.id = part.topic;
"""


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Check that the file is a log of a known version, or make an empty one a log. Called under the log's lock."""
    (application,) = connection.execute("pragma application_id").fetchone()
    (version,) = connection.execute("pragma user_version").fetchone()
    (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
    if application == 0 and version == 0 and tables == 0:
        _create(connection)
        return
    if application != APPLICATION_ID:
        raise BrokerError(
            f"{path!r} is an SQLite file of another program (application_id {application:#x}); "
            "let bootstrap.servers=sqlite:<path> name a file of its own"
        )
    if version > VERSION:
        raise BrokerError(
            f"the log {path!r} was written by a newer Millstream (schema {version}, this one knows {VERSION}); "
            "upgrade with pip install -U millstream"
        )


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"pragma page_size={PAGE_SIZE}")
    connection.execute("pragma journal_mode=wal")
    connection.execute("begin immediate")
    for statement in TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    connection.executemany("insert into meta values(?, ?)", [("cluster", cluster), ("epoch", 0), ("barrier", 0)])
    connection.execute(f"pragma application_id={APPLICATION_ID}")
    connection.execute(f"pragma user_version={VERSION}")
    connection.execute("commit")
