"""The file sink, put by put."""

import errno
import fcntl
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from file_sink_bench import Started, batch

from millstream_api import Origin, RecordBatch, RetriableError, Schema, SinkBatch, Type
from millstream_api.logical import DATE
from millstream_file import sink
from millstream_file.config import FileSinkConfig
from millstream_file.errors import FileError
from millstream_file.sink import FileStreamSink

STRING = Schema(Type.STRING)


def test_each_value_is_a_line_in_the_order_consumed(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("a", "", "ünï €😀", schema=STRING))
    task.put(batch())
    task.put(batch("half a pair: \ud800"))
    task.put(batch(None, "b"))
    mixed = [RecordBatch("t", STRING, ["one", "three"], rows=[0, 2]), RecordBatch("u", None, [b"\xfftwo"], rows=[1])]
    task.put(SinkBatch(mixed, [Origin("t", 0, row, "CreateTime") for row in range(3)]))
    assert file.read_bytes() == "a\n\nünï €😀\nhalf a pair: ?\nnull\nb\none\n".encode() + b"\xfftwo\nthree\n"


def test_values_have_javas_text_form(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    row = Schema.struct({"a": Schema(Type.INT64), "b": Schema(Type.STRING, optional=True)})
    task.put(batch({"a": 1, "b": None}, schema=row))
    task.put(batch({"a": 1, "b": [1, 2.5, None, "x"], "c": {"d": True}}, 12, 1e21, True, Decimal("1.50"), "\ud800"))
    from datetime import date

    task.put(batch(date(2023, 11, 14), schema=DATE))
    assert file.read_text().splitlines() == [
        *("Struct{a=1}", "{a=1, b=[1, 2.5, null, x], c={d=true}}", "12", "1.0E21", "true", "1.50", "?"),
        "Tue Nov 14 00:00:00 UTC 2023",
    ]


def test_bytes_are_written_as_they_are(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "out.txt"
    started(file).put(batch(b"a\xff", None, b"", schema=Schema(Type.BYTES, optional=True)))
    assert file.read_bytes() == b"a\xff\nnull\n\n"


def test_a_file_that_is_there_is_appended_to(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "out.txt"
    file.write_text("before\n")
    task = started(file)
    task.put(batch("a"))
    task.stop()
    task.stop()
    started(file).put(batch("b"))
    assert file.read_text() == "before\na\nb\n"


def test_what_is_committed_is_on_disk(tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(sink.os, "fsync", synced.append)
    task = started(tmp_path / "out.txt")
    offsets = {"p": 3}
    assert task.pre_commit(offsets) is offsets  # type: ignore[comparison-overlap, arg-type]
    assert synced == []
    task.put(batch("a"))
    task.pre_commit({})
    task.pre_commit({})
    assert len(synced) == 1


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=lambda number: errno.errorcode[number])
def test_a_disk_that_is_full_is_waited_for_and_no_part_of_the_batch_is_left(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("a"))
    write = os.write

    def short(handle: int, data: memoryview) -> int:
        if len(data) < 5:
            raise OSError(full, "there is no room")
        return write(handle, data[:3])

    with monkeypatch.context() as patched:
        patched.setattr(sink.os, "write", short)
        with pytest.raises(RetriableError, match=r"cannot write to '.*out.txt': there is no room; free some"):
            task.put(batch("a long line"))
    assert file.read_text() == "a\n"
    task.put(batch("b"))
    assert file.read_text() == "a\nb\n"


def test_a_write_that_fails_for_good_fails_the_task(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = started(tmp_path / "out.txt")

    def broken(handle: int, data: memoryview) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(sink.os, "write", broken)
        with pytest.raises(FileError, match=r"cannot write to '.*out.txt': Input/output error; nothing of this batch"):
            task.put(batch("a"))


def test_what_went_with_a_removed_file_comes_again_before_what_follows_it(
    tmp_path: Path, started: Started, context: Any
) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("a"))
    file.unlink()
    with pytest.raises(RetriableError, match=r"out.txt' was removed, and with it what was written since"):
        task.put(batch("b"))
    assert (context.commits_asked, context.retries, file.exists()) == (1, [1.0], False)
    with pytest.raises(FileError):  # for which the worker goes back to what was committed last
        task.pre_commit({})
    task.put(batch("a", "b"))
    assert file.read_text() == "a\nb\n"


def test_a_disk_that_loses_data_fails_the_commit(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = started(tmp_path / "out.txt")
    task.put(batch("a"))

    def lose(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(sink.os, "fsync", lose)
        with pytest.raises(FileError, match=r"cannot make durable .*Input/output error"):
            task.pre_commit({})


def test_a_file_that_cannot_be_made_fails_the_start(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "no such folder" / "out.txt"
    with pytest.raises(FileError) as caught:
        started(file)
    assert str(caught.value).startswith(f"Couldn't find or create file '{file}' for FileStreamSinkTask: No such file")


def test_without_a_file_it_writes_to_standard_output(started: Started, capfd: pytest.CaptureFixture[str]) -> None:
    task = started(None)
    task.put(batch("a", "b"))
    task.pre_commit({})
    task.stop()
    assert capfd.readouterr().out == "a\nb\n"


def test_two_tasks_may_append_to_one_file(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "out.txt"
    tasks = [started(file), started(file)]
    for number in range(10):
        tasks[number % 2].put(batch(f"{number}", "x"))
    assert sorted(file.read_text().split()) == sorted([*map(str, range(10)), *["x"] * 10])


def test_a_task_writes_while_no_other_may(tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    write, refused = os.write, []

    def watched(handle: int, data: memoryview) -> int:
        with file.open() as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                refused.append(True)
        return write(handle, data)

    with monkeypatch.context() as patched:
        patched.setattr(sink.os, "write", watched)
        task.put(batch("a"))
    assert refused == [True]
    with file.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_named_pipe_that_nobody_reads_any_more_is_told(tmp_path: Path, started: Started) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    task = started(pipe)
    task.put(batch("a"))
    task.pre_commit({})
    read = os.read(reader, 10)
    os.close(reader)
    assert read == b"a\n"
    with pytest.raises(FileError, match=r"cannot write to '.*pipe': Broken pipe"):
        task.put(batch("b"))


def test_every_task_has_the_connectors_settings_and_any_offset_may_be_set() -> None:
    connector = FileStreamSink(FileSinkConfig(file="a"), None)  # type: ignore[arg-type]
    assert [dict(config) for config in connector.task_configs(3)] == [{}, {}, {}]
    assert connector.alter_offsets([]) is True


def test_listing_the_plugins_imports_nothing_but_the_api() -> None:
    code = (
        "import sys, millstream_file.plugin as p; list(p.register_sources()), list(p.register_sinks());"
        "print(sorted(m for m in sys.modules if m.startswith('millstream_file')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['millstream_file', 'millstream_file.plugin']"


def test_tasks_that_write_on_to_a_file_that_was_renamed_put_no_empty_lines_into_it(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    file, old = tmp_path / "out.txt", tmp_path / "out.txt.1"
    tasks = [started(file), started(file)]
    for task in tasks:
        task.put(batch("before"))
    file.rename(old)
    file.write_text("somebody else's, longer than what was there before")
    for task in [*tasks, *tasks]:
        task.put(batch("after"))
    assert old.read_text() == "before\n" * 2 + "after\n" * 4
    assert caplog.messages == []
