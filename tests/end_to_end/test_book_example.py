"""The file example of the book, by curl, and what must hold of it across restarts."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from running import ANSWER_S, WorkerProcess, until

LINES = ["broker.id=0", "", "# a comment, after a blank line", "listeners=PLAINTEXT://:9092", "ünï €😀"]
ENVELOPE = '{"schema":{"type":"string","optional":false},"payload":%s}'
CURL = shutil.which("curl")


def curl(worker: WorkerProcess, *arguments: str) -> str:
    if CURL is None:
        pytest.skip("curl is not installed: apt-get install curl")
    done = subprocess.run([CURL, "-s", "-S", *arguments], capture_output=True, text=True, timeout=ANSWER_S, check=True)
    return done.stdout


def prepared(worker: WorkerProcess) -> tuple[Path, Path]:
    config = worker.folder / "config"
    config.mkdir()
    original, copy = config / "server.properties", worker.folder / "copy-of-server.properties"
    original.write_text("".join(f"{line}\n" for line in LINES))
    return original, copy


def test_a_file_becomes_a_topic_becomes_the_same_file(either: WorkerProcess) -> None:
    original, copy = prepared(either)
    either.start()
    made = curl(
        either,
        *("-X", "POST", f"{either.url}/connectors"),
        *("-H", "Content-Type: application/json", "-d"),
        '{"name":"load-kafka-config","config":{"connector.class":"FileStreamSource",'
        '"file":"config/server.properties","topic":"kafka-config-topic"}}',
    )
    assert json.loads(made)["name"] == "load-kafka-config"
    until(lambda: either.offsets("load-kafka-config"), "the source's offset")
    expected = [ENVELOPE % json.dumps(line, ensure_ascii=False) for line in LINES]
    until(lambda: len(either.consume("kafka-config-topic")) == len(LINES), "the lines in the topic")
    assert either.consume("kafka-config-topic") == expected

    curl(  # without the header: curl's own default is a form's
        either,
        *("-X", "POST", f"{either.url}/connectors", "-d"),
        '{"name":"dump-kafka-config","config":{"connector.class":"FileStreamSink",'
        '"file":"copy-of-server.properties","topics":"kafka-config-topic"}}',
    )
    until(lambda: copy.exists() and copy.read_bytes() == original.read_bytes(), "the copy to be identical")

    for name in ("dump-kafka-config", "load-kafka-config"):
        status = curl(
            either, "-o", "/dev/null", "-w", "%{http_code}", "-X", "DELETE", f"{either.url}/connectors/{name}"
        )
        assert status == "204"
    assert either.call("GET", "/connectors").json == []
    assert either.stop() == 0


def test_a_restarted_worker_neither_loses_nor_repeats_a_line(either: WorkerProcess) -> None:
    original, copy = prepared(either)
    either.start()
    either.create("load", **{"connector.class": "FileStreamSource", "file": str(original), "topic": "lines"})
    either.create("dump", **{"connector.class": "FileStreamSink", "file": str(copy), "topics": "lines"})
    until(lambda: copy.exists() and copy.read_bytes() == original.read_bytes(), "the first lines")
    for round_ in range(2):
        assert either.stop() == 0
        with original.open("a") as more:
            more.write(f"written while the worker was away {round_}\n")
        either.start()
        until(lambda: copy.read_bytes() == original.read_bytes(), "the new line, once")
        with original.open("a") as more:
            more.write(f"written while the worker runs {round_}\n")
        until(lambda: copy.read_bytes() == original.read_bytes(), "the next line, once")
    assert either.states("load") == ["RUNNING", "RUNNING"]


def test_what_was_paused_or_stopped_is_so_after_a_restart(worker: WorkerProcess) -> None:
    original, copy = prepared(worker)
    worker.start()
    worker.create("load", **{"connector.class": "FileStreamSource", "file": str(original), "topic": "lines"})
    worker.create("dump", **{"connector.class": "FileStreamSink", "file": str(copy), "topics": "lines"})
    assert worker.call("PUT", "/connectors/load/pause").status == 202
    assert worker.call("PUT", "/connectors/dump/stop").status == 204
    until(lambda: worker.states("load") == ["PAUSED", "PAUSED"], "the pause")
    until(lambda: worker.states("dump") == ["STOPPED"], "the stop")
    worker.stop()
    worker.start()
    until(lambda: worker.states("load") == ["PAUSED", "PAUSED"], "the pause after the restart")
    assert worker.states("dump") == ["STOPPED"]
    assert worker.call("PUT", "/connectors/load/resume").status == 202
    until(lambda: worker.states("load") == ["RUNNING", "RUNNING"], "the source to go on")


def test_a_connector_file_given_at_start_replaces_the_config_and_keeps_the_offset(worker: WorkerProcess) -> None:
    original, _ = prepared(worker)
    settings = {"name": "load", "connector.class": "FileStreamSource", "file": str(original), "topic": "first"}
    (worker.folder / "load.json").write_text(json.dumps(settings))
    worker.arguments = ["load.json"]
    worker.start()
    until(lambda: worker.offsets("load"), "the offset")
    worker.stop()
    with original.open("a") as more:
        more.write("only this\n")
    (worker.folder / "load.json").write_text(json.dumps({**settings, "topic": "second"}))
    worker.start()
    until(lambda: "second" in worker.call("GET", "/connectors/load/topics").json["load"]["topics"], "the new topic")
    until(lambda: worker.consume("second") == [ENVELOPE % '"only this"'], "the line behind the offset, and no other")
