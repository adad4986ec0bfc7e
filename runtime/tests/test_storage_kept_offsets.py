import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.errors import ConfigError, DataError, WorkerError
from millstream.storage.java_map import dump, load
from millstream.storage.kept_offsets import READ, WRITE, KeptOffsets
from millstream.storage.offset_file import OffsetFile

WAIT_S = 20.0
KEY = b'["c",{"b":1,"a":2}]'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "offsets.bin"


@pytest.fixture
def kept(path):
    path.write_bytes(dump({KEY: b'{"position":35}', b'["other",null]': b"{}"}))
    kept = KeptOffsets(OffsetFile(path))
    yield kept
    kept.close()


FOREIGN = [(b"SQLite", "is no offsets file of Kafka Connect: byte 0"), (dump({})[:-1], "it ends at byte 81")]


def read(kept, *partitions, connector="c"):
    return kept.answer(connector, READ, {"partitions": list(partitions)}).result(WAIT_S)


def commit(kept, *pairs, connector="c"):
    return kept.answer(connector, WRITE, {"offsets": [list(pair) for pair in pairs]})


def test_a_position_is_found_whatever_the_order_of_its_partitions_fields(kept):
    assert read(kept, '{"a":2,"b":1}', '{"a":2}') == ['{"position":35}', None]
    assert read(kept, '{"b":1,"a":2}', connector="other") == [None]


def test_a_commit_keeps_the_key_that_is_stored_and_is_in_the_file_when_it_is_answered(kept, path):
    assert commit(kept, ('{"a":2,"b":1}', '{"position":40}'), ('{"new":1}', '{"x":1.0}')).result(WAIT_S) is None
    found = load(path.read_bytes())
    assert found[KEY] == b'{"position":40}'
    assert found[b'["c",{"new":1}]'] == b'{"x":1.0}'
    assert read(kept, '{"new":1}') == ['{"x":1.0}']


def test_a_forgotten_offset_stays_as_null_as_javas(kept, path):
    commit(kept, ('{"b":1,"a":2}', None)).result(WAIT_S)
    assert load(path.read_bytes())[KEY] is None
    assert read(kept, '{"b":1,"a":2}') == [None]
    assert kept.of("c") == []


def test_an_operator_reads_and_writes_the_same(kept, path):
    assert kept.of("c") == [({"b": 1, "a": 2}, {"position": 35})]
    kept.write("c", [({"b": 1, "a": 2}, {"position": 7}), ({"z": 1}, None)])
    assert kept.of("c") == [({"b": 1, "a": 2}, {"position": 7})]
    assert load(path.read_bytes())[KEY] == b'{"position":7}'
    with pytest.raises(DataError):
        kept.write("c", [({"a": []}, None)])


def test_commits_that_wait_together_replace_the_file_once(kept, path, monkeypatch):
    written = []
    monkeypatch.setattr(OffsetFile, "write", lambda file, entries: written.append(entries))
    answers = [commit(kept, (f'{{"p":{n}}}', "{}")) for n in range(200)]
    assert [answer.result(WAIT_S) for answer in answers] == [None] * 200
    assert len(written) <= 200
    assert len(written[-1]) == 202


def test_a_file_that_cannot_be_written_is_an_answer_and_the_position_stays_as_it_was(kept, path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkerError, match=r"offset\.storage\.file\.filename .* cannot be written: No space left"):
        commit(kept, ('{"b":1,"a":2}', '{"position":99}')).result(WAIT_S)
    assert read(kept, '{"b":1,"a":2}') == ['{"position":35}']
    assert sorted(file.name for file in path.parent.iterdir()) == ["offsets.bin", "offsets.bin.lock"]


def test_what_nobody_knows_is_refused(kept):
    with pytest.raises(WorkerError, match="no answer to 'weather'"):
        kept.answer("c", "weather", {}).result(WAIT_S)


def test_what_nobody_foresaw_is_an_answer_and_the_next_question_is_answered_too(kept, monkeypatch, caplog):
    def broken(*_):
        raise MemoryError("none left")

    with monkeypatch.context() as breaking:
        breaking.setattr(OffsetFile, "write", broken)
        with pytest.raises(MemoryError, match="none left"):
            commit(kept, ('{"b":1,"a":2}', '{"position":99}')).result(WAIT_S)
    assert "A question about stored offsets failed, and is answered so" in caplog.text
    with pytest.raises(ValueError, match=r".+"):
        read(kept, "no JSON")
    with pytest.raises(DataError):
        read(kept, '{"a":[]}')
    assert read(kept, '{"b":1,"a":2}') == ['{"position":35}']
    assert commit(kept, ('{"b":1,"a":2}', '{"position":41}')).result(WAIT_S) is None


def test_a_keeper_that_has_ended_is_told_to_who_waits_and_to_who_asks_later(kept, monkeypatch, caplog):
    def ending(*_):
        raise SystemExit("out of order")

    with monkeypatch.context() as breaking:
        breaking.setattr(OffsetFile, "write", ending)
        waiting = [commit(kept, ('{"b":1,"a":2}', "{}")) for _ in range(3)]
        for answer in waiting:
            with pytest.raises(WorkerError, match=r"has ended \(out of order\); restart the worker"):
                answer.result(WAIT_S)
    with pytest.raises(WorkerError, match="restart the worker"):
        read(kept, "{}")
    with pytest.raises(WorkerError, match="restart the worker"):
        kept.write("c", [({"a": 1}, {"b": 2})])
    assert "nobody writes" in caplog.text


def test_who_asks_when_the_worker_has_let_the_file_go_is_told(kept, path):
    kept.close()
    said = f"the offsets file {str(path)!r} is not read or written: the worker has let it go"
    with pytest.raises(WorkerError, match=re.escape(said)):
        read(kept, "{}")


def test_a_missing_or_empty_file_is_a_beginning(path):
    for prepare in (lambda: None, lambda: path.write_bytes(b"")):
        prepare()
        kept = KeptOffsets(OffsetFile(path))
        assert kept.of("c") == []
        kept.close()


HOLDER = """
import pathlib, sys
from millstream.storage.offset_file import OffsetFile
held = OffsetFile(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
held.close()
"""


def test_two_workers_on_one_file_are_an_error_that_names_the_other(path):
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=rf"is in use by the worker with pid {other.pid}; stop that worker, or"):
            OffsetFile(path)
        other.stdin.close()
        assert other.wait(WAIT_S) == 0
    OffsetFile(path).close()


@pytest.mark.parametrize(("content", "sentence"), FOREIGN)
def test_a_file_of_another_kind_is_refused_and_left_alone(path, content, sentence):
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        OffsetFile(path)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(path):
    with pytest.raises(ConfigError, match=r"offset\.storage\.file\.filename .*its folder must exist"):
        OffsetFile(path / "deeper")


def test_the_file_is_replaced_in_one_step(path):
    file = OffsetFile(path)
    file.write({b"a": b"1"})
    before = path.stat()
    file.write({b"a": b"2"})
    assert path.stat().st_ino != before.st_ino
    assert stat.S_ISREG(path.stat().st_mode)
    assert load(path.read_bytes()) == {b"a": b"2"}
    file.close()


def test_what_is_written_is_on_the_disk_before_it_is_the_file(path, monkeypatch):
    done, forced, replace = [], os.fsync, Path.replace

    def force(fd):
        done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        forced(fd)

    def become(self, target):
        done.append("replaced")
        return replace(self, target)

    file = OffsetFile(path)
    monkeypatch.setattr(os, "fsync", force)
    monkeypatch.setattr(Path, "replace", become)
    file.write({b"k": b"v"})
    file.close()
    assert done == ["file", "replaced", "folder"]
