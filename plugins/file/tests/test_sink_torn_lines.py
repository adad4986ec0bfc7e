"""What a sink that was killed in its write left of a line, and what others wrote: whose an unfinished line is."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from file_sink_bench import Started, batch

from millstream_api import RetriableError, Schema, Type
from millstream_file import mark, sink
from millstream_file.errors import FileError
from millstream_file.mark import ATTRIBUTE
from millstream_file.sink import FileStreamSinkTask

STRING = Schema(Type.STRING)


def _keeps_attributes() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.setxattr(file.fileno(), ATTRIBUTE, b"0 0")
        except (AttributeError, OSError):
            return False
    return True


needs_attributes = pytest.mark.skipif(not _keeps_attributes(), reason="no extended attributes on this file system")


def killed_in_its_write(file: Path, lines: Sequence[str], written: int) -> None:
    """Have a task in a process of its own killed when so many bytes of a put are in the file."""
    code = """
import os, signal, sys
from types import SimpleNamespace
from millstream_api import Origin, RecordBatch, SinkBatch
from millstream_file.config import FileSinkConfig
from millstream_file.mark import ATTRIBUTE
from millstream_file.sink import FileStreamSinkTask

name, written, *lines = sys.argv[1:]
write = os.write

def partly(handle, data):
    write(handle, data[: int(written)])
    os.kill(os.getpid(), signal.SIGKILL)

task = FileStreamSinkTask(FileSinkConfig(file=name), SimpleNamespace())
task.start()
os.write = partly
task.put(SinkBatch([RecordBatch("t", None, lines)], [Origin("t", 0, row, "CreateTime") for row in range(len(lines))]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(file), str(written), *lines], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@needs_attributes
@pytest.mark.parametrize(
    ("before", "lines", "written", "kept"),
    [
        ("one\n", ["two", "three"], 2, "one\n"),
        ("", ["two"], 2, ""),
        ("one\n", ["x" * 100_000], 90_000, "one\n"),
        ("one\n", ["two", "three"], 7, "one\ntwo\n"),
        ("not ours", ["two"], 2, "not ours\n"),
        ("not ours", ["two"], 1, "not ours\n"),
    ],
)
def test_what_a_killed_task_left_of_a_line_is_cut_before_the_first_put(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture, before: str, lines: list[str], written: int,
    kept: str,
) -> None:  # fmt: skip
    file = tmp_path / "out.txt"
    file.write_text(before)
    killed_in_its_write(file, lines, written)
    left = file.read_text()
    task = started(file)
    task.put(batch())
    assert file.read_text() == left, "nothing is cut before there is something to write"
    task.put(batch("two"))
    task.put(batch("three"))
    assert file.read_text() == kept + "two\nthree\n"
    warnings = [f"cut its last {len(left) - len(kept)} bytes, back to byte {len(kept)}"] if left != kept else []
    assert len(caplog.records) == len(warnings)
    assert all(warning in record.getMessage() for record, warning in zip(caplog.records, warnings, strict=True))


@pytest.mark.parametrize("before", ["tw", "one\ntw", "one\n" + "x" * 200_000])
def test_an_unfinished_line_of_somebody_else_is_kept_and_ended(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture, before: str
) -> None:
    file = tmp_path / "out.txt"
    file.write_text(before)
    task = started(file)
    task.put(batch("two"))
    task.put(batch("three"))
    assert file.read_text() == before + "\ntwo\nthree\n"
    [warning] = caplog.records
    assert f"in the middle of a line, at byte {len(before)}, and nothing says that a sink wrote" in warning.getMessage()


def ended_in_order(task: FileStreamSinkTask) -> None:
    task.stop()


def committed(task: FileStreamSinkTask) -> None:
    task.pre_commit({})


@pytest.mark.parametrize("end", [ended_in_order, committed, lambda task: None])
def test_what_somebody_else_appends_behind_a_put_is_kept_and_ended(
    tmp_path: Path, started: Started, end: Callable[[FileStreamSinkTask], None]
) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("one"))
    end(task)
    with file.open("a") as other:
        other.write("not ours")
    started(file).put(batch("two"))
    assert file.read_text() == "one\nnot ours\ntwo\n"


@needs_attributes
@pytest.mark.parametrize("end", [ended_in_order, committed])
def test_a_file_that_somebody_cut_and_wrote_to_behind_a_commit_is_kept(
    tmp_path: Path, started: Started, end: Callable[[FileStreamSinkTask], None]
) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("a long line"))
    assert os.listxattr(file) == [ATTRIBUTE]
    end(task)
    assert os.listxattr(file) == []
    file.write_text("short")
    started(file).put(batch("two"))
    assert file.read_text() == "short\ntwo\n"


@needs_attributes
def test_a_file_written_anew_after_a_kill_and_ended_by_its_author_is_kept(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "out.txt"
    file.write_text("one\n")
    killed_in_its_write(file, ["two", "three"], 2)
    file.unlink()
    file.write_text("one\ntw")
    started(file).put(batch("two"))
    assert file.read_text() == "one\ntw\ntwo\n"


def test_where_there_are_no_attributes_nothing_is_cut_and_nothing_lost(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    for call in ("setxattr", "getxattr", "removexattr"):
        monkeypatch.setattr(mark.os, call, refuse, raising=False)
    file = tmp_path / "out.txt"
    file.write_text("half a l")
    task = started(file)
    task.put(batch("one"))
    task.pre_commit({})
    task.stop()
    assert file.read_text() == "half a l\none\n"


@needs_attributes
def test_a_disk_without_room_for_the_mark_is_waited_for(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "out.txt"
    file.write_text("half a l")
    task = started(file)
    with monkeypatch.context() as patched:
        patched.setattr(mark.os, "setxattr", full)
        with pytest.raises(RetriableError, match=r"cannot write to .*out.txt': No space left on device; free some"):
            task.put(batch("one"))
    assert file.read_text() == "half a l"
    task.put(batch("one"))
    assert file.read_text() == "half a l\none\n"


@needs_attributes
def test_a_commit_of_one_task_leaves_the_mark_of_another_that_was_killed(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("one"))
    killed_in_its_write(file, ["two"], 2)
    task.pre_commit({})
    task.put(batch("three"))
    assert file.read_text() == "one\nthree\n"


def test_a_file_that_ends_with_a_line_end_or_is_empty_is_not_cut(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    for number, before in enumerate(("", "one\n")):
        file = tmp_path / f"{number}.txt"
        file.write_text(before)
        started(file).put(batch("two"))
        assert file.read_text() == before + "two\n"
    assert caplog.records == []


@needs_attributes
def test_part_of_a_line_that_another_task_left_is_not_joined_to_a_line_of_this_one(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("a"))
    killed_in_its_write(file, ["b", "half a line"], 10)
    task.put(batch("c"))
    task.put(batch("d"))
    assert file.read_text() == "a\nb\nc\nd\n"
    assert caplog.text.count("ended in the middle of a line") == 1


def test_a_file_that_was_removed_is_made_anew_and_what_went_with_it_is_not_committed(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("a"))
    file.unlink()
    with pytest.raises(FileError, match=r"out.txt' was removed, and with it what was written since the last commit"):
        task.pre_commit({})
    task.put(batch("a"))
    assert file.read_text() == "a\n"
    assert task.pre_commit({}) == {}
    assert caplog.text.count("it is made anew") == 1


@needs_attributes
def test_part_of_a_batch_that_could_not_be_cut_is_cut_by_the_next_task(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.txt"
    task = started(file)
    task.put(batch("one"))
    task.pre_commit({})
    write = os.write

    def part(handle: int, data: memoryview) -> int:
        if len(data) < len("two\n"):
            raise OSError(errno.EIO, "Input/output error")
        return write(handle, data[:2])

    def refuse(handle: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(sink.os, "write", part)
        patched.setattr(sink.os, "ftruncate", refuse)
        with pytest.raises(FileError, match="cannot cut back to byte 4"):
            task.put(batch("two"))
    task.stop()
    assert file.read_text() == "one\ntw"
    started(file).put(batch("two"))
    assert file.read_text() == "one\ntwo\n"


@needs_attributes
def test_a_file_is_closed_though_its_mark_cannot_be_removed(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, name: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    closed: list[int] = []
    close = os.close
    task = started(tmp_path / "out.txt")
    task.put(batch("one"))
    with monkeypatch.context() as patched:
        patched.setattr(mark.os, "removexattr", refuse)
        patched.setattr(sink.os, "close", lambda handle: (closed.append(handle), close(handle)))
        with pytest.raises(OSError, match="Input/output error"):
            task.stop()
    assert len(closed) == 1
