"""The file source, poll by poll."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millstream_api import RetriableError, SourceBatch, Support
from millstream_file import source
from millstream_file.config import FileSourceConfig
from millstream_file.errors import FileError
from millstream_file.source import FileStreamSource, FileStreamSourceTask

Started = Callable[..., FileStreamSourceTask]


@pytest.fixture
def started(context: Any, request: pytest.FixtureRequest) -> Started:
    def start(file: Path | None, **settings: Any) -> FileStreamSourceTask:
        config = FileSourceConfig(topic="lines", file=None if file is None else str(file), **settings)
        task = FileStreamSourceTask(config, context)
        task.start()
        request.addfinalizer(task.stop)
        return task

    return start


def lines(task: FileStreamSourceTask, polls: int = 3) -> list[tuple[str, Any]]:
    """Each line with the position behind it."""
    batches = [batch for _ in range(polls) for batch in task.poll()]
    return [(text, batch.offset_at(row)["position"]) for batch in batches for row, text in enumerate(batch.values)]  # type: ignore[index]


def test_each_line_is_a_record_with_the_byte_position_behind_it(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "in.txt"
    file.write_bytes('line 0\n\nünï €😀 "q" \\ \t|\n{"a":1}\n  spaces \r\nlast\nunfinished'.encode())
    task = started(file)
    [batch] = task.poll()
    assert isinstance(batch, SourceBatch)
    assert list(batch.values) == ["line 0", "", 'ünï €😀 "q" \\ \t|', '{"a":1}', "  spaces ", "last"]
    assert [batch.offset_at(row) for row in range(6)] == [{"position": at} for at in (7, 8, 31, 39, 50, 55)]
    assert (batch.topic, batch.source_partition) == ("lines", {"filename": str(file)})
    assert batch.timestamps is not None
    assert len({*batch.timestamps}) == 1
    assert task.poll() == []


def test_a_growing_file_is_read_on_and_an_unfinished_line_waits_for_its_end(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "in.txt"
    file.write_text("one\ntw")
    task = started(file)
    assert lines(task) == [("one", 4)]
    with file.open("a") as more:
        more.write("o\nthree\n")
    assert lines(task) == [("two", 8), ("three", 14)]


@pytest.mark.parametrize("position", [4, 0, None, -1])
def test_reading_goes_on_behind_the_last_committed_line(
    tmp_path: Path, started: Started, context: Any, position: int | None
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("one\ntwo\n")
    context.stored[str(file)] = {"position": position}
    assert lines(started(file)) == ([("two", 8)] if position == 4 else [("one", 4), ("two", 8)])


@pytest.mark.parametrize("position", ["4", 4.0, True, 1 << 63])
def test_an_offset_that_is_no_position_fails_the_task(
    tmp_path: Path, started: Started, context: Any, position: object
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("one\n")
    context.stored[str(file)] = {"position": position}
    with pytest.raises(FileError, match="Offset position is the incorrect type: "):
        started(file).poll()


def test_a_file_is_not_read_while_its_stored_position_cannot_be_had(
    tmp_path: Path, started: Started, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("a\nb\n")
    context.stored[str(file)] = {"position": 2}
    task = started(file)

    def away(_: Any) -> None:
        raise RetriableError("the offsets are away")

    with monkeypatch.context() as patched:
        patched.setattr(context, "offset", away)
        for _ in range(2):
            with pytest.raises(RetriableError):
                task.poll()
    assert lines(task) == [("b", 4)]


def test_a_missing_file_is_waited_for_with_one_warning(
    tmp_path: Path, started: Started, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "later.txt"
    task = started(file)
    assert [task.poll() for _ in range(3)] == [[], [], []]
    assert context.waited == [1.0, 1.0, 1.0]
    assert [record.getMessage() for record in caplog.records] == [
        f"Couldn't find file {file} for FileStreamSourceTask, sleeping to wait for it to be created"
    ]
    file.write_text("there\n")
    assert lines(task) == [("there", 6)]


def test_a_folder_or_a_file_that_may_not_be_read_fails_the_task(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileError, match=r"cannot read '.*' at byte 0: Is a directory"):
        started(tmp_path).poll()

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    task = started(tmp_path / "x")
    with monkeypatch.context() as patched:
        patched.setattr(source.os, "open", refuse)
        with pytest.raises(
            FileError, match=r"cannot open '.*' .* Permission denied; setting 'file' must name a text file"
        ):
            task.poll()


def test_the_pause_between_looks_at_an_idle_file_grows_to_a_second(
    tmp_path: Path, started: Started, context: Any
) -> None:
    file = tmp_path / "in.txt"
    file.touch()
    task = started(file)
    for _ in range(7):
        task.poll()
    assert context.waited == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    file.write_text("a\n")
    assert lines(task, 2) == [("a", 2)]
    assert context.waited[7:] == [0.05]


@pytest.mark.parametrize(("size", "batches"), [(2, [2, 2, 1]), (1, [1] * 5), (0, [1] * 5), (-3, [1] * 5), (9, [5])])
def test_a_poll_gives_at_most_batch_size_records(
    tmp_path: Path, started: Started, size: int, batches: list[int]
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("a\nb\nc\nd\ne\n")
    task = started(file, batch_size=size)
    polled = [task.poll() for _ in range(6)]
    assert [len(batch) for poll in polled for batch in poll] == batches
    again = [batch.offset_at(row)["position"] for poll in polled for batch in poll for row in range(len(batch))]  # type: ignore[index]
    assert again == [2, 4, 6, 8, 10], "also after the next poll"


def test_a_file_that_became_shorter_gives_nothing_new_and_one_warning(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("one\ntwo\n")
    task = started(file)
    assert len(lines(task)) == 2
    os.truncate(file, 2)
    assert lines(task) == []
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert "has 2 bytes, and was read up to byte 8: it was cut or replaced" in warning.getMessage()
    assert "reset its offsets" in warning.getMessage()


def test_a_file_that_was_rotated_is_read_to_its_end_and_one_warning_says_what_is_not_read(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "log.txt"
    file.write_text("a\n")
    task = started(file)
    assert lines(task) == [("a", 2)]
    file.rename(tmp_path / "log.1")
    assert lines(task) == []
    with (tmp_path / "log.1").open("a") as old:
        old.write("b\n")
    file.write_text("new\n")
    assert lines(task) == [("b", 4)]
    assert lines(task) == []
    assert caplog.text.count("was removed or renamed while it is read") == 1
    assert caplog.text.count("Another file is called") == 1


def test_a_position_behind_the_end_gives_nothing_until_the_file_is_longer(
    tmp_path: Path, started: Started, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("one\n")
    context.stored[str(file)] = {"position": 8}
    task = started(file)
    assert lines(task) == []
    assert len(caplog.records) == 1
    file.write_text("one\ntwo\nthree\n")
    assert lines(task) == [("three", 14)]


def test_bytes_that_are_not_utf8_are_replaced_with_one_warning_a_file(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "in.txt"
    file.write_bytes(b"good\nb\xffd\n")
    task = started(file)
    assert lines(task) == [("good", 5), ("b\ufffdd", 9)]
    with file.open("ab") as more:
        more.write(b"\xfe\n")
    assert lines(task) == [("\ufffd", 11)]
    [warning] = caplog.records
    assert f"{str(file)!r} is not UTF-8 at byte 6" in warning.getMessage()


def test_bytes_that_are_not_utf8_stop_the_task_before_their_line_if_asked_to(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "in.txt"
    file.write_bytes(b"good\nfine\nb\xffd\nnever\n")
    task = started(file, encoding_errors="FAIL", batch_size=1)
    assert lines(task, 2) == [("good", 5), ("fine", 10)]
    for _ in range(2):
        with pytest.raises(
            FileError, match=r"is not UTF-8 at byte 11, and encoding.errors=fail; mend the file, or set"
        ):
            task.poll()
    file.write_bytes(b"\xff\n")
    with pytest.raises(FileError, match="at byte 0"):
        started(file, encoding_errors="fail").poll()


def test_a_huge_line_is_one_record(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "in.txt"
    file.write_bytes(b"x" * 3_000_000 + b"\nshort\n")
    found = lines(started(file), 4)
    assert [(len(text), at) for text, at in found] == [(3_000_000, 3_000_001), (5, 3_000_007)]


def test_many_lines_arrive_all_and_in_order(tmp_path: Path, started: Started) -> None:
    file = tmp_path / "in.txt"
    wanted = [f"line {number} {'x' * (number % 90)}" for number in range(20_000)]
    file.write_text("\r\n".join(wanted) + "\r\n")
    task = started(file)
    found: list[tuple[str, Any]] = []
    while batch := task.poll():
        found += [(text, batch[0].offset_at(row)) for row, text in enumerate(batch[0].values)]
        assert len(batch[0]) <= 2000
    assert [text for text, _ in found] == wanted
    assert found[-1][1] == {"position": file.stat().st_size}


def test_standard_input_has_no_positions_and_its_end_ends_the_last_line(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    try:
        task = started(None)
        monkeypatch.setattr(source, "_STDIN", reading)
        assert task.poll() == []
        os.write(writing, b"a\nb")
        [batch] = task.poll()
        assert (list(batch.values), batch.offset_at(0)) == (["a"], {"position": None})
        assert batch.source_partition == {"filename": None}
        os.close(writing)
        assert lines(task) == [("b", None)]
    finally:
        os.close(reading)


def connector(**settings: Any) -> FileStreamSource:
    return FileStreamSource(FileSourceConfig(topic="lines", **settings), None)  # type: ignore[arg-type]


def test_there_is_one_task_and_exactly_once_only_with_a_file() -> None:
    assert [dict(config) for config in connector(file="a").task_configs(9)] == [{}]
    assert connector(file="a").exactly_once() is Support.SUPPORTED
    assert connector().exactly_once() is Support.UNSUPPORTED
    assert connector(file="").exactly_once() is Support.UNSUPPORTED


def test_a_folder_is_told_when_the_settings_are_validated(tmp_path: Path) -> None:
    assert list(connector(file=str(tmp_path / "missing")).probe()) == []
    [problem] = connector(file=str(tmp_path)).probe()
    assert problem == ("file", f"{str(tmp_path)!r} is a directory; the source reads one text file")


@pytest.mark.parametrize(
    ("partition", "offset", "sentence"),
    [
        ({"filename": "a"}, {}, "Offset objects should either be null or contain the key 'position'"),
        ({"filename": "a"}, {"position": "5"}, "is expected to be a Long value"),
        ({"filename": "a"}, {"position": None}, "is expected to be a Long value"),
        ({"filename": "a"}, {"position": 1.0}, "is expected to be a Long value"),
        ({"filename": "a"}, {"position": 1 << 63}, "is expected to be a Long value"),
        ({"filename": "a"}, {"position": -1}, "should be a non-negative value"),
        (None, {"position": 1}, "Partition objects cannot be null"),
        ({"file": "a"}, {"position": 1}, "Partition objects should contain the key 'filename'"),
    ],
)
def test_offsets_that_make_no_sense_are_refused(partition: Any, offset: Any, sentence: str) -> None:
    with pytest.raises(FileError) as caught:
        connector(file="a").alter_offsets([(partition, offset)])
    assert sentence in str(caught.value)


def test_offsets_that_make_sense_and_forgetting_any_partition_are_accepted() -> None:
    offsets: Any = [({"filename": "other"}, {"position": 5}), ({"x": 1}, None), (None, None)]
    assert connector(file="a").alter_offsets(offsets) is True
    with pytest.raises(FileError, match="Offsets cannot be modified if the 'file' configuration is unspecified"):
        connector().alter_offsets([])


MEBIBYTE = 1024 * 1024


def test_a_line_without_an_end_is_read_a_bounded_part_a_poll_and_then_refused_where_it_begins(
    tmp_path: Path, started: Started, context: Any
) -> None:
    file = tmp_path / "in.txt"
    file.write_bytes(b"one\ntwo\n")
    with file.open("ab") as endless:
        endless.truncate(1 << 40)  # of zeros, which take no room
    task = started(file)
    [batch] = task.poll()
    assert list(batch.values) == ["one", "two"]
    before = peak_bytes()
    for _ in range(5):
        assert task.poll() == [], "the worker has to see now and then whether it is time to stop"
    with pytest.raises(FileError) as caught:
        task.poll()
    assert context.waited == [], "there is more to read, so nothing is waited for"
    assert peak_bytes() - before < 100 * MEBIBYTE
    assert str(caught.value) == (
        f"'{file}' has a line of more than {64 * MEBIBYTE} bytes at byte 8, and nothing is read from there on; mend "
        "the file, or raise line.max.bytes, and with it max.message.bytes of the topic"
    )


def peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero on this system")
def test_a_device_without_an_end_is_refused(started: Started) -> None:
    task = started(Path("/dev/zero"), line_max_bytes=MEBIBYTE)
    with pytest.raises(FileError, match=r"'/dev/zero' has a line of more than 1048576 bytes at byte 0"):
        task.poll()


@pytest.mark.parametrize("end", [b"\n", b"\n" + b"after\n" * 1000])
def test_a_line_is_as_long_as_it_may_be_or_refused_wherever_the_blocks_end(
    tmp_path: Path, started: Started, end: bytes
) -> None:
    file = tmp_path / "in.txt"
    longest = b"x" * (MEBIBYTE - 1)
    file.write_bytes(b"before\n" * 40_000 + longest + end + b"before\n")
    assert longest.decode() in {text for text, _ in lines(started(file, line_max_bytes=MEBIBYTE), 40)}
    file.write_bytes(b"before\n" * 40_000 + b"x" + longest + end + b"before\n")
    task = started(file, line_max_bytes=MEBIBYTE)
    found = lines(task, 21)
    assert (len(found), found[-1]) == (40_000, ("before", 280_000))
    with pytest.raises(FileError, match=rf"more than {MEBIBYTE} bytes at byte 280000, and"):
        lines(task, 20)


def test_standard_input_without_a_line_end_is_bounded_too(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/zero", "rb") as endless:
        monkeypatch.setattr(source, "_STDIN", endless.fileno())
        task = started(None, line_max_bytes=MEBIBYTE)
        with pytest.raises(FileError, match=r"'standard input' has a line of more than 1048576 bytes at byte 0"):
            lines(task, 10)
