"""Files, records and disks that are not as they should be while the worker runs: what its operator reads, and that
nothing is lost. One worker for those that do not hurt each other."""

import json
import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import BIN, GRACEFUL, PATIENCE_S, WorkerProcess, processes, until

CONNECT = "org.apache.kafka.connect.errors"
#: what does not stop in order is ended so late that nobody can think it had
GRACEFUL_S = 60


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(tmp_path_factory.mktemp("bad") / "worker")
    worker.properties[GRACEFUL] = str(GRACEFUL_S * 1000)
    worker.start()
    yield worker
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


class Connectors:
    """A file, a topic, a file, all called after the test."""

    def __init__(self, worker: WorkerProcess, name: str) -> None:
        self.worker = worker
        self.name = name
        self.original, self.copy = worker.folder / f"{name}.in", worker.folder / f"{name}.out"

    def source(self, **settings: str) -> str:
        name = f"{self.name}-source"
        basic = {"connector.class": "FileStreamSource", "file": str(self.original), "topic": self.name}
        self.worker.create(name, **{**basic, **settings})
        return name

    def sink(self, **settings: str) -> str:
        name = f"{self.name}-sink"
        basic = {"connector.class": "FileStreamSink", "file": str(self.copy), "topics": self.name}
        self.worker.create(name, **{**basic, **settings})
        return name

    def produce(self, text: str) -> None:
        command = [BIN / "millstream", "produce", self.name, "--bootstrap", "sqlite:log.db"]
        subprocess.run(command, input=text, text=True, check=True, timeout=PATIENCE_S, cwd=self.worker.folder)

    def values(self) -> list[Any]:
        return [json.loads(line)["payload"] for line in self.worker.consume(self.name)]

    def delivered(self, size: int) -> None:
        """Wait until the source's offset is behind so many bytes."""

        def there() -> bool:
            offsets = self.worker.offsets(f"{self.name}-source")
            return bool(offsets) and offsets[0]["offset"]["position"] == size

        until(there, f"the offset {size} of {self.name} ({self.worker.states(self.name + '-source')})")

    def failed(self, connector: str) -> str:
        """Wait for the failure; the line in the worker's log, which comes before the status is read."""
        until(lambda: self.worker.states(connector)[1:] == ["FAILED"], f"{connector} to be FAILED")
        [line] = self.lines(f"[{connector}|task-0] FAILED: ")
        assert line.endswith(
            f"It stays so until POST /connectors/{connector}/tasks/0/restart (millstream.herder.states)"
        )
        return line

    def lines(self, words: str, level: str = "") -> list[str]:
        return [line for line in self.worker.log.splitlines() if words in line and level in line]

    def said(self, words: str, level: str = "") -> list[str]:
        """Wait for such lines: what a task says reaches the log behind what it does."""
        return until(lambda: self.lines(words, level), f"{words!r} in the log")

    def warnings(self) -> list[str]:
        return self.lines(f"[{self.name}-source|task-0]", " WARNING ")

    def warning(self) -> str:
        """Wait for the source's warning: there is one, and no other."""
        [line] = until(self.warnings, f"the warning of {self.name}-source")
        return line


@pytest.fixture
def these(shared: WorkerProcess, request: pytest.FixtureRequest) -> Iterator[Connectors]:
    made = Connectors(shared, request.node.name.removeprefix("test_")[:40].strip("_"))
    yield made
    for kind in ("source", "sink"):
        shared.call("DELETE", f"/connectors/{made.name}-{kind}")


def test_a_missing_file_is_waited_for_with_one_warning(these: Connectors) -> None:
    source = these.source()
    these.warning()
    until(lambda: these.worker.states(source) == ["RUNNING", "RUNNING"], f"{source} to run")
    these.original.write_text("a\nb\n")
    these.delivered(4)
    assert these.values() == ["a", "b"]
    assert f"Couldn't find file {these.original} for FileStreamSourceTask, sleeping to wait for it" in these.warning()


def test_a_line_without_an_end_fails_the_source_before_it(these: Connectors) -> None:
    these.original.write_bytes(b"a\nb\n")
    with these.original.open("ab") as endless:
        endless.truncate(1 << 40)  # of zeros, which take no room
    line = these.failed(these.source(**{"line.max.bytes": str(8 * 1024 * 1024)}))
    assert f"'{these.original}' has a line of more than 8388608 bytes at byte 4, and nothing is read" in line
    these.delivered(4)
    assert these.values() == ["a", "b"]


def test_bytes_that_are_not_utf8_are_replaced_and_told_once_with_their_place(these: Connectors) -> None:
    these.original.write_bytes(b"ok\nbad \xff.\nend\n\xfe\n")
    these.source()
    these.delivered(16)
    assert these.values() == ["ok", "bad \ufffd.", "end", "\ufffd"]
    assert f"File '{these.original}' is not UTF-8 at byte 7; U+FFFD stands for" in these.warning()


def test_bytes_that_are_not_utf8_are_refused_if_asked_for(these: Connectors) -> None:
    these.original.write_bytes(b"ok\nbad \xff.\nend\n")
    line = these.failed(these.source(**{"encoding.errors": "fail"}))
    assert f"'{these.original}' is not UTF-8 at byte 7, and encoding.errors=fail; mend the file, or set" in line
    these.delivered(3)
    these.original.write_bytes(b"ok\nbad !.\nend\n")
    assert these.worker.call("POST", f"/connectors/{these.name}-source/tasks/0/restart").status == 204
    these.delivered(14)
    assert these.values() == ["ok", "bad !.", "end"]


def test_a_line_beyond_max_message_bytes_fails_the_task_before_it(these: Connectors) -> None:
    these.original.write_text(f"ok\n{'x' * 1_100_000}\nend\n")
    source = these.source()
    line = these.failed(source)
    assert f"the record with source partition {{'filename': '{these.original}'}}" in line
    assert "source offset {'position': 1100004}" in line
    assert f"a record of 1100058 bytes (key, value, headers) was sent to topic '{these.name}'" in line
    assert "which accepts 1048588; raise max.message.bytes" in line
    these.delivered(3)
    assert these.values() == ["ok"]
    assert these.worker.trace(source).startswith(
        f"{CONNECT}.ConnectException: Unrecoverable exception from producer send callback\n"
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1", 'JsonConverter with schemas.enable requires "schema" and "payload" fields'),
        ("{{{", "Converting byte[] to Kafka Connect data failed due to serialization error"),
    ],
)
def test_a_record_of_another_form_fails_the_sink_with_its_place(
    shared: WorkerProcess, value: str, said: str, tmp_path: Path
) -> None:
    these = Connectors(shared, f"form{len(value)}")
    good = json.dumps({"schema": None, "payload": "good"})
    these.produce(f"{good}\n{value}\n{good}\n")
    sink = these.sink()
    line = these.failed(sink)
    assert f"Tolerance exceeded in error handler; the record at {these.name}-0, offset 1, stage VALUE_CONVERTER" in line
    assert said in line
    assert "skip such records with errors.tolerance=all" in line
    assert these.worker.offsets(sink) == []
    assert len(these.worker.consume(these.name)) == 3, "the log is as it was"
    config = {"connector.class": "FileStreamSink", "file": str(these.copy), "topics": these.name}
    answer = shared.call("PUT", f"/connectors/{sink}/config", {**config, "errors.tolerance": "all"})
    assert answer.status == 200
    until(lambda: shared.offsets(sink) and shared.offsets(sink)[0]["offset"]["kafka_offset"] == 3, "all to be read")
    assert these.copy.read_text() == "good\ngood\n"


def test_a_topic_with_an_illegal_name_fails_the_task_with_the_rule(these: Connectors) -> None:
    these.original.write_text("a\n")
    line = these.failed(these.source(topic="a b/c"))
    assert "cannot create the topic 'a b/c': a name has 1 to 249 of the characters a-z A-Z 0-9 . _ - " in line
    assert "change the setting that names it" in line


def test_a_sinks_file_that_cannot_be_opened_fails_the_task_with_the_setting(these: Connectors) -> None:
    these.copy = these.worker.folder / "no" / "such" / "out"
    sink = these.sink()
    line = these.failed(sink)
    assert f"Couldn't find or create file '{these.copy}' for FileStreamSinkTask: No such file or directory" in line
    assert "setting 'file' must name a file, in a folder that exists" in line


def test_a_file_cut_while_it_is_read_is_told_once_with_the_remedy(these: Connectors) -> None:
    these.original.write_text("a\nb\nc\n")
    source = these.source()
    these.delivered(6)
    os.truncate(these.original, 2)  # at one stroke: a file that is written anew is empty for a moment
    warning = these.warning()
    assert "has 2 bytes, and was read up to byte 6: it was cut or replaced" in warning
    assert "to read it from its start, stop the connector and reset its offsets" in warning
    assert these.worker.call("PUT", f"/connectors/{source}/stop").status == 204
    until(lambda: these.worker.states(source) == ["STOPPED"], "the stop")
    assert these.worker.call("DELETE", f"/connectors/{source}/offsets").status == 200
    assert these.worker.call("PUT", f"/connectors/{source}/resume").status == 202
    these.delivered(2)
    assert these.values() == ["a", "b", "c", "a"]


def test_a_file_rotated_while_it_is_read_is_read_to_its_end_and_told(these: Connectors) -> None:
    these.original.write_text("a\n")
    these.source()
    these.delivered(2)
    old = these.original.rename(these.original.with_suffix(".1"))
    with old.open("a") as file:
        file.write("b\n")
    these.original.write_text("new\n")
    these.delivered(4)
    [warning] = these.said(f"Another file is called {these.original} now, and it is not read, the old one is")
    assert "stop the connector, reset its offsets and resume it" in warning
    assert these.values() == ["a", "b"]


def test_line_ends_of_all_kinds_and_a_last_line_without_one(these: Connectors) -> None:
    these.original.write_bytes(b"a\r\nb\rc\n\n\r\nlast")
    these.source()
    these.delivered(10)
    assert these.values() == ["a", "b", "c", "", ""]
    with these.original.open("ab") as file:
        file.write(b"\r\n")
    these.delivered(16)
    assert these.values()[-1] == "last"


def test_an_empty_file_gives_nothing_until_it_has_a_line(these: Connectors) -> None:
    these.original.touch()
    source = these.source()
    until(lambda: these.worker.states(source) == ["RUNNING", "RUNNING"], "the task")
    assert these.worker.offsets(source) == []
    these.original.write_text("a\n")
    these.delivered(2)
    assert these.warnings() == []


def test_a_named_pipe_is_read_while_somebody_writes_and_a_stop_does_not_wait_for_it(these: Connectors) -> None:
    os.mkfifo(these.original)
    source = these.source()
    until(lambda: these.worker.states(source) == ["RUNNING", "RUNNING"], "the task")

    def write() -> None:
        with these.original.open("w") as pipe:
            pipe.write("a\nb\n")

    writer = threading.Thread(target=write)
    writer.start()
    these.delivered(4)
    writer.join(PATIENCE_S)
    assert these.values() == ["a", "b"]
    started = time.monotonic()
    assert these.worker.call("DELETE", f"/connectors/{source}").status == 204
    assert time.monotonic() - started < GRACEFUL_S, "it stopped by itself"


@pytest.mark.timeout(300)
def test_a_line_of_a_hundred_megabytes_passes_within_bounds(worker: WorkerProcess) -> None:
    size = 100_000_000
    worker.properties["max.message.bytes"] = str(3 * size)
    worker.start()
    these = Connectors(worker, "long")
    with these.original.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * (size // 100))
        file.write(b"\nshort\n")
    these.source(**{"line.max.bytes": str(3 * size)})
    these.sink()
    peaks: dict[int, int] = {}

    def through() -> bool:
        for pid in processes(worker):
            peaks[pid] = max(peaks.get(pid, 0), peak_memory(pid))
        offsets = worker.offsets("long-sink")
        return bool(offsets) and offsets[0]["offset"]["kafka_offset"] == 2

    until(through, "the long line", 120)
    assert these.copy.stat().st_size == size + 7
    assert max(peaks.values()) < 8 * size, "a task holds some copies of the line, and no more"
    assert worker.process is not None
    assert peaks[worker.process.pid] < size, "the worker itself has nothing to do with it"


def peak_memory(pid: int) -> int:
    try:
        [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    except (OSError, ValueError):
        return 0
    return int(line.split()[1]) * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk; the limits of a file's size stand in for it below")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.timeout(400)
def test_a_full_disk_of_the_log_is_waited_for_and_nothing_is_lost(worker: WorkerProcess, small_disk: Path) -> None:
    worker.properties["bootstrap.servers"] = f"sqlite:{small_disk}/log.db"
    worker.start()
    these = Connectors(worker, "full")
    text = "".join(f"{number:08d} {'x' * 90}\n" for number in range(100_000))
    these.original.touch()
    source, sink = these.source(), these.sink()
    until(lambda: worker.states(source) == worker.states(sink) == ["RUNNING", "RUNNING"], "both to run")
    these.original.write_text(text)  # not before: a status finds no room on a full disk
    these.said("the disk is full", f"[{source}|task-0]")
    stands_still(worker, source)
    errors = these.lines(" ERROR ", f"[{source}|task-0]")
    assert len(errors) == 1, errors
    assert f"cannot write the log '{small_disk}/log.db': the disk is full; free some space" in errors[0]
    until(lambda: worker.states(source) == worker.states(sink) == ["RUNNING", "RUNNING"], "both to run")
    refused = worker.call("PUT", f"/connectors/{source}/pause")
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    if refused.status != 202:  # the change could not be written, and says so
        assert "the disk is full" in refused.text
    worker.call("PUT", f"/connectors/{source}/resume")
    these.delivered(len(text))
    until(lambda: these.copy.stat().st_size == len(text), "every line")
    assert these.copy.read_text() == text
    these.said("it succeeded now", f"[{source}|task-0]")
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


@pytest.mark.timeout(400)
def test_a_limit_of_the_files_size_is_waited_for_like_a_full_disk(worker: WorkerProcess) -> None:
    worker.start()
    limit(worker, 3_000_000)
    these = Connectors(worker, "limited")
    text = "".join(f"{number:08d} {'x' * 90}\n" for number in range(60_000))
    these.original.write_text(text)
    source = these.source()
    these.said("Writing to the log", f"[{source}|task-0]")
    stands_still(worker, source)
    assert worker.states(source) == ["RUNNING", "RUNNING"]
    limit(worker, resource.RLIM_INFINITY)
    these.delivered(len(text))
    these.sink()
    until(lambda: these.copy.exists() and these.copy.stat().st_size == len(text), "every line")
    assert these.copy.read_text() == text
    assert "Traceback" not in worker.log


def limit(worker: WorkerProcess, size: int) -> None:
    """Of the worker and all its children, those too that are forked while this goes through them."""

    def limited() -> bool:
        before = [limited_process(pid, (size, resource.RLIM_INFINITY)) for pid in processes(worker)]
        return set(before) <= {(size, resource.RLIM_INFINITY), None}

    until(limited, f"every process to have the limit {size}")


def limited_process(pid: int, wanted: tuple[int, int]) -> tuple[int, int] | None:
    """Limit it; gives the limit it had, None when it has ended."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_FSIZE, wanted)
    except ProcessLookupError:
        return None


def stands_still(worker: WorkerProcess, source: str) -> None:
    """The same offset for a second: nothing more can be written."""

    def still() -> bool:
        before = worker.offsets(source)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            if worker.offsets(source) != before:
                return False
        return True

    until(still, "the source to stand still")


@pytest.mark.timeout(400)
def test_a_full_disk_of_the_sinks_file_is_waited_for_and_nothing_is_lost(
    worker: WorkerProcess, small_disk: Path
) -> None:
    worker.start()
    these = Connectors(worker, "outfull")
    these.copy = small_disk / "out.txt"
    text = "".join(f"{number:08d} {'x' * 90}\n" for number in range(90_000))
    these.original.write_text(text)
    these.source()
    sink = these.sink()
    these.said("put failed", f"[{sink}|task-0]")
    these.delivered(len(text))
    assert worker.states(sink) == ["RUNNING", "RUNNING"]
    until(lambda: these.copy.stat().st_size % 100 == 0, "no part of a batch to be left behind the next try")
    [line] = these.lines("put failed", f"[{sink}|task-0]")
    assert f"cannot write to '{these.copy}': No space left on device; free some space" in line
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    until(lambda: these.copy.stat().st_size == len(text), "every line")
    assert these.copy.read_text() == text
    these.said("put succeeded now", f"[{sink}|task-0]")
    assert "Traceback" not in worker.log


def test_a_sinks_file_removed_while_it_writes_is_made_anew_with_what_was_not_committed(
    worker: WorkerProcess,
) -> None:
    worker.start()
    these = Connectors(worker, "removed")
    these.original.write_text("a\n")
    these.source()
    sink = these.sink()
    until(lambda: worker.offsets(sink), "the commit")
    these.copy.unlink()
    with these.original.open("a") as file:
        file.write("b\n")
    until(lambda: these.copy.exists() and these.copy.read_text() == "b\n", "the new file")
    these.said(f"File {these.copy} was removed while this task writes to it; it is made anew")
