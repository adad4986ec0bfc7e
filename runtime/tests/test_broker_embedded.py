"""The embedded log by itself: owners and epochs, and what can be wrong with its file."""

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from embedded_bench import NOBODY, T0, ignore, open_and_read, read, write

from millstream.broker.connect import open_broker
from millstream.broker.embedded import filesystem
from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.embedded.schema import APPLICATION_ID
from millstream.broker.ports import (
    AdminSettings,
    ConsumerSettings,
    Outgoing,
    ProducerSettings,
)
from millstream.errors import BrokerError, ConfigError, FencedError


def test_a_second_worker_is_told_who_has_the_log(broker: EmbeddedBroker, path: str) -> None:
    owner = broker.own()
    with (
        closing(open_broker(f"sqlite:{path}")) as second,
        pytest.raises(BrokerError, match=f"in use by pid {os.getpid()}; stop that worker"),
    ):
        second.own()
    write(broker, [b"a"])
    with closing(open_embedded(f"sqlite:{path}")) as reader:
        assert read(reader) == [b"a"]  # the command line reads beside the owner
    owner.release()
    owner.release()
    broker.own().release()


def test_a_later_start_fences_producers_and_consumers_of_an_earlier_one(broker: EmbeddedBroker) -> None:
    first = broker.own()
    write(broker, [b"a"], first.epoch)
    consumer = broker.consumer(ConsumerSettings("c", "g", epoch=first.epoch))
    consumer.subscribe(["t"], None, NOBODY)
    consumer.poll(1, 0)
    first.release()
    second = broker.own()
    assert second.epoch == first.epoch + 1
    with pytest.raises(FencedError, match=rf"epoch {second.epoch}, this writer has {first.epoch}"):
        write(broker, [b"never"], first.epoch)
    with pytest.raises(FencedError):
        consumer.commit_now({T0: 1})
    consumer.close()
    write(broker, [b"b"], second.epoch)
    assert read(broker) == [b"a", b"b"]
    second.release()


def test_a_log_that_is_removed_while_it_is_in_use_is_told_and_so_is_one_that_stands_in_its_place(
    broker: EmbeddedBroker,
) -> None:
    owner = broker.own()
    write(broker, [b"a"], owner.epoch)
    assert broker.retain([]) == 0
    for file in (broker.files.data, broker.files.meta):
        os.remove(file)
    with pytest.raises(BrokerError, match="was removed or replaced while this worker uses it, and what it writes is"):
        broker.retain([])
    with closing(open_embedded(f"sqlite:{broker.files.data}")) as another:
        with pytest.raises(FencedError, match="was removed or replaced while the worker runs"):
            write(another, [b"never"], owner.epoch)
        with pytest.raises(BrokerError, match="was removed or replaced while this worker uses it"):
            broker.retain([])
        assert another.retain([]) == 0
    owner.release()


def test_a_log_whose_folder_is_a_file_now_is_told_so(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(open_embedded(f"sqlite:{folder}/log.db")) as broker:
        folder.rename(tmp_path / "elsewhere")
        folder.write_text("")
        with pytest.raises(BrokerError, match="cannot be found any more: Not a directory"):
            broker.retain([])


def test_what_the_outside_is_told_by_is_forced_to_the_disk_and_nothing_else_is(broker: EmbeddedBroker) -> None:
    said: list[str] = []
    broker._catalog.data._use().set_trace_callback(said.append)

    def forced(step: Callable[[], object]) -> list[bool]:
        """Of each transaction, whether SQLite forces it to the disk."""
        said.clear()
        step()
        last = {"commit": False, "pragma synchronous=full": True, "pragma synchronous=normal": False}
        known = [each.lower() for each in said if each.lower() in last]
        return [index > 0 and last[known[index - 1]] for index, each in enumerate(known) if each == "commit"]

    producer = broker.producer(ProducerSettings("p"))
    admin = broker.admin(AdminSettings("a"))
    consumer = broker.consumer(ConsumerSettings("c", "g"))
    write(broker, [b"a"])
    producer.begin()
    producer.send(Outgoing("t", [b"b"]), ignore)
    assert forced(producer.commit) == [False]
    assert forced(producer.durable) == [True]
    assert forced(producer.durable) == []
    consumer.subscribe(["t"], None, NOBODY)
    consumer.poll(1, 0)
    assert forced(lambda: consumer.commit_now({T0: 1})) == [True]
    consumer.close()
    assert forced(lambda: admin.alter_group_offsets("g", {T0: 0})) == [True]
    assert forced(lambda: admin.delete_group_offsets("g", [T0])) == [True]
    producer.close(1)


def test_the_cluster_id_outlives_the_broker(path: str) -> None:
    with closing(open_embedded(f"sqlite:{path}")) as first, closing(open_embedded(f"sqlite:{path}")) as second:
        assert first.cluster_id == second.cluster_id
    with closing(open_embedded(f"sqlite:{path}")) as third:
        assert third.cluster_id == first.cluster_id


def test_a_folder_holds_log_db_and_its_meta_file(tmp_path: Path) -> None:
    open_embedded(f"sqlite:{tmp_path}/data/").close()
    assert {"log.db", "log-meta.db"} <= {entry.name for entry in (tmp_path / "data").iterdir()}


def test_the_file_is_as_it_was_decided(broker: EmbeddedBroker, path: str) -> None:
    with closing(sqlite3.connect(path)) as shell:
        for pragma, expected in (
            ("page_size", 16384),
            ("journal_mode", "wal"),
            ("application_id", APPLICATION_ID),
            ("user_version", 1),
        ):
            assert shell.execute(f"pragma {pragma}").fetchone() == (expected,)


def test_a_file_that_is_no_sqlite_file_is_refused(path: str) -> None:
    Path(path).write_bytes(b"broker.id=0\n" * 100)
    with pytest.raises(BrokerError, match=f"'{re.escape(path)}' is not a log: it is no SQLite file"):
        open_embedded(f"sqlite:{path}")


def test_another_programs_file_is_refused(path: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table mine(x)")
    with pytest.raises(BrokerError, match="is an SQLite file of another program"):
        open_embedded(f"sqlite:{path}")


def test_a_log_of_a_newer_version_is_refused(path: str) -> None:
    open_embedded(f"sqlite:{path}").close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("pragma user_version=99")
    with pytest.raises(BrokerError, match=r"newer Millstream \(schema 99, this one knows 1\); upgrade"):
        open_embedded(f"sqlite:{path}")


def test_a_damaged_log_is_named(path: str) -> None:
    with closing(open_embedded(f"sqlite:{path}")) as broker:
        write(broker, [b"x" * 1000] * 500)
    with open(path, "r+b") as file:
        file.seek(16384)
        file.write(b"\xff" * (os.path.getsize(path) - 16384))
    with pytest.raises(BrokerError, match=r"the log .* (is damaged|failed)") as caught:
        open_and_read(path)
    assert not caught.value.retriable


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(BrokerError, match=r"cannot make the folder '/proc/nowhere'.*bootstrap.servers=sqlite:<path>"):
        open_embedded("sqlite:/proc/nowhere/log.db")
    with pytest.raises(BrokerError, match=r"cannot open '/proc/log.db.lock'.*folder of the log must be writable"):
        open_embedded("sqlite:/proc/log.db")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("log.db", "{cwd}/log.db"),
        ("./data//log.db", "{cwd}/data/log.db"),
        ("data/../log", "{cwd}/data/../log"),
        (".", "{cwd}/log.db"),
        ("new/", "{cwd}/new/log.db"),
        ("/var/lib/./it.sqlite", "/var/lib/it.sqlite"),
    ],
)
def test_a_log_is_at_an_absolute_path_without_dots_for_nothing(
    path: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = filesystem.log_files(path)
    assert found.data == data.format(cwd=tmp_path)
    stem, dot, suffix = found.data.rpartition("/")[2].partition(".")
    assert found.meta == f"{os.path.dirname(found.data)}/{stem}-meta{dot}{suffix}"


def test_a_log_at_an_absolute_path_is_found_when_the_working_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert filesystem.log_files("/var/lib/it.sqlite").data == "/var/lib/it.sqlite"


@pytest.mark.parametrize(("magic", "name"), [(0x6969, "NFS"), (0x01021997, "9p"), (0x65735546, "FUSE or virtiofs")])
def test_a_file_system_of_the_network_is_refused(
    path: str, magic: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "magic_of", lambda folder: magic)
    with pytest.raises(BrokerError, match=f"'{re.escape(path)}' would lie on a {name} file system.*a local disk"):
        open_embedded(f"sqlite:{path}")


def test_statfs_is_asked_where_it_is_known() -> None:
    if os.path.exists("/proc/self"):
        assert filesystem.magic_of("/proc") == 0x9FA0


def test_wrong_settings_are_all_told_at_once() -> None:
    wrong = {"log.sync": "never", "num.partitions": "0", "log.retention.ms": "soon"}
    with pytest.raises(ConfigError) as caught:
        open_embedded("sqlite::memory:wrong", wrong)
    text = str(caught.value)
    assert "log.sync='never'" in text
    assert "num.partitions='0' is too small" in text
    assert "log.retention.ms='soon' is not a whole number" in text


@pytest.mark.parametrize(
    ("bootstrap", "said"),
    [
        ("sqlite:", "bootstrap.servers=sqlite: names no file; write sqlite:<path>, such as sqlite:./log.db"),
        ("./log.db", "'./log.db' is not an embedded log: name its file, as bootstrap.servers=sqlite:<path>"),
    ],
)
def test_a_path_is_needed(bootstrap: str, said: str) -> None:
    with pytest.raises(BrokerError, match=re.escape(said)):
        open_embedded(bootstrap)
