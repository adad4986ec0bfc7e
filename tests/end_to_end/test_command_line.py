"""The command line as people use it: exit codes, tables, JSON, and sentences instead of tracebacks."""

import json
import subprocess
from pathlib import Path

import pytest
from running import BIN, PATIENCE_S, WorkerProcess, until


def run(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "millstream", *arguments], cwd=folder, input=given, capture_output=True, text=True, timeout=PATIENCE_S
    )


def test_produce_and_consume_give_back_what_was_written(tmp_path: Path) -> None:
    log = ("--bootstrap", "sqlite:log.db")
    written = run(tmp_path, "produce", "t", "--key-separator", "=", *log, given="a=1\nb=2\nc=3\n")
    assert (written.returncode, written.stderr) == (0, "")
    assert run(tmp_path, "consume", "t", "--from-beginning", *log).stdout == "1\n2\n3\n"
    first = json.loads(run(tmp_path, "consume", "t", "--from-beginning", "--max", "1", "--json", *log).stdout)
    assert {name: first[name] for name in ("topic", "partition", "offset", "key", "value", "headers")} == {
        "topic": "t",
        "partition": 0,
        "offset": 0,
        "key": "a",
        "value": "1",
        "headers": [],
    }
    assert run(tmp_path, "consume", "t", "--from-beginning", "--follow", "--max", "3", *log).stdout == "1\n2\n3\n"
    every = run(tmp_path, "consume", "t", "--from-beginning", "--json", *log).stdout
    assert run(tmp_path, "produce", "copy", "--json", *log, given=every).returncode == 0
    assert run(tmp_path, "consume", "copy", "--from-beginning", *log).stdout == "1\n2\n3\n"
    topics = json.loads(run(tmp_path, "topics", "--json", *log).stdout)
    assert {row["topic"]: row["offsets"] for row in topics} == {"t": 3, "copy": 3}


@pytest.mark.parametrize("stamp", ["9223372036854775808", "-1", "1.5", '"now"', "true"])
def test_a_timestamp_that_is_none_is_refused_with_what_would_be_right(tmp_path: Path, stamp: str) -> None:
    given = f'{{"value": "a", "timestamp": {stamp}}}\n'
    done = run(tmp_path, "produce", "t", "--json", "--bootstrap", "sqlite:log.db", given=given)
    assert done.returncode == 1
    assert "millstream: line 1: a timestamp is milliseconds since 1970, a whole number from 0 to" in done.stderr
    assert "; of 0 records handed over 0 are in 't', 0 were refused\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_topic_names_those_there_are(tmp_path: Path) -> None:
    run(tmp_path, "produce", "t", "--bootstrap", "sqlite:log.db", given="x\n")
    done = run(tmp_path, "consume", "nope", "--bootstrap", "sqlite:log.db")
    assert done.returncode == 1
    assert "there is no topic 'nope'" in done.stderr
    assert "topics: t" in done.stderr


@pytest.mark.parametrize("command", [("topics",), ("consume", "t")])
def test_a_log_that_is_not_there_is_not_made_by_who_wants_to_read_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(tmp_path, *command, "--bootstrap", "sqlite:misspelt.db")
    assert done.returncode == 1
    assert (
        f"there is no log at sqlite:{tmp_path}/misspelt.db; a worker makes one, and `millstream produce`" in done.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_a_worker_whose_converter_is_not_installed_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "worker.properties").write_text(
        "listeners=http://127.0.0.1:0\n"
        "key.converter=org.apache.kafka.connect.json.JsonConvertr\n"
        "value.converter=org.apache.kafka.connect.json.JsonConverter\n"
    )
    done = run(tmp_path, "run", "worker.properties")
    assert done.returncode == 2
    name = "org.apache.kafka.connect.json.JsonConvertr"
    assert f"Invalid value {name} for configuration key.converter: Failed to find any class" in done.stderr
    assert "org.apache.kafka.connect.json.JsonConverter (converter, 4.3.1)" in done.stderr
    assert not (tmp_path / "millstream-data").exists()


def test_brokers_that_have_no_address_are_refused_with_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, "topics", "--bootstrap", "nowhere.invalid:9092")
    assert done.returncode == 1
    assert "No resolvable bootstrap urls given in bootstrap.servers: nowhere.invalid:9092" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_workers_file_may_have_variables_wherever_it_is_read(worker: WorkerProcess) -> None:
    folder, kept = worker.folder, worker.folder / "kept.properties"
    kept.write_text("log=sqlite:kept.db\nname=t\n")
    worker.properties |= {
        "bootstrap.servers": f"${{file:{kept}:log}}",
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
    }
    (folder / "lines.txt").write_text("a\n")
    source = folder / "source.properties"
    source.write_text(f"name=s\nconnector.class=FileStreamSource\nfile=lines.txt\ntopic=${{file:{kept}:name}}\n")
    worker.arguments = ["source.properties"]
    worker.start()
    try:
        known = ("--config", "worker.properties")
        until(lambda: worker.consume("t"), "the line", every_s=0.2)
        assert [json.loads(line)["payload"] for line in worker.consume("t")] == ["a"]
        assert run(folder, "validate", "source.properties", *known).returncode == 0
    finally:
        worker.stop()
    assert run(folder, "produce", "t", *known, given="b\n").returncode == 0
    topics = json.loads(run(folder, "topics", "--json", "--bootstrap", "sqlite:kept.db").stdout)
    assert {row["topic"]: row["offsets"] for row in topics}["t"] == 2
    done = run(folder, "log", "compact", *known)
    assert "kept.db" in done.stdout + done.stderr
    assert done.returncode == 0


def test_plugins_are_listed_with_their_java_names(tmp_path: Path) -> None:
    listed = json.loads(run(tmp_path, "plugins", "list", "--json").stdout)
    classes = {row["class"]: row["type"] for row in listed["plugins"]}
    assert classes["org.apache.kafka.connect.file.FileStreamSourceConnector"] == "source"
    assert "org.apache.kafka.connect.json.JsonConverter" in classes
    assert "FileStreamSinkConnector" in run(tmp_path, "plugins", "list").stdout


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"connector.class": "FileStreamSource", "topic": "t"}, 0, "no problem"),
        ({"connector.class": "FileStreamSource", "batch.size": "x"}, 1, "Not a number of type INT"),
        ({"connector.class": "NoSuch"}, 1, "Failed to find any class"),
        ({"topic": "t"}, 1, "connector.class is missing"),
    ],
)
def test_a_connector_file_is_validated_without_a_worker(
    tmp_path: Path, settings: dict[str, str], code: int, said: str
) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"name": "c", "config": settings}))
    done = run(tmp_path, "validate", "c.json")
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "millstream-data").exists()


def test_a_setting_that_looks_like_a_slip_is_told_and_is_no_problem(tmp_path: Path) -> None:
    settings = {"connector.class": "FileStreamSource", "topic": "t", "batch.sise": "7", "_comment": "ours"}
    (tmp_path / "c.json").write_text(json.dumps({"name": "c", "config": settings}))
    told = (
        "millstream: nothing declares the setting 'batch.sise', and it may change nothing; did you mean 'batch.size'?\n"
    )
    for more in ((), ("--json",)):
        done = run(tmp_path, "validate", "c.json", *more)
        assert (done.returncode, done.stderr) == (0, told)
    assert set(json.loads(done.stdout)) == {"name", "error_count", "groups", "configs"}


@pytest.mark.parametrize(
    ("worker", "code", "said"),
    [
        ("plugins.disabled=millstream-file", 1, "Failed to find any class that implements Connector"),
        ("listeners=foo", 1, "listeners"),
        ("value.converter=", 1, "value.converter"),
        ("offset.flush.interval.ms=500", 0, "no problem"),
    ],
)
def test_a_connector_is_validated_as_the_worker_of_that_file_would(
    tmp_path: Path, worker: str, code: int, said: str
) -> None:
    json_converter = "org.apache.kafka.connect.json.JsonConverter"
    converters = f"key.converter={json_converter}\nvalue.converter={json_converter}\n"
    (tmp_path / "worker.properties").write_text(f"{converters}{worker}\n")
    (tmp_path / "c.json").write_text(
        json.dumps({"name": "c", "config": {"connector.class": "FileStreamSource", "topic": "t"}})
    )
    done = run(tmp_path, "validate", "c.json", "--config", "worker.properties")
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_connectors_are_managed_over_rest(worker: WorkerProcess) -> None:
    worker.start()
    folder, url = worker.folder, ("--url", worker.url)
    (folder / "in.txt").write_text("one\n")
    source = {"name": "s", "connector.class": "FileStreamSource", "file": "in.txt", "topic": "t"}
    (folder / "s.json").write_text(json.dumps(source))
    assert run(folder, "connectors", *url, "create", "s.json").stdout == "created source s\n"
    until(lambda: worker.offsets("s"), "the offset")
    assert "RUNNING" in run(folder, "connectors", *url, "list").stdout
    assert "task 0" in run(folder, "connectors", *url, "status", "s").stdout
    assert '{"position": 4}' in run(folder, "connectors", *url, "offsets", "s").stdout
    assert run(folder, "connectors", *url, "stop", "s").returncode == 0
    reset = run(folder, "connectors", *url, "offsets", "s", "--reset")
    assert "have been reset successfully" in reset.stdout
    assert run(folder, "connectors", *url, "delete", "s").returncode == 0
    gone = run(folder, "connectors", *url, "status", "s")
    assert gone.returncode == 1
    assert "404: No status found for connector s" in gone.stderr


def test_a_worker_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    done = run(tmp_path, "connectors", "--url", "http://127.0.0.1:1", "list")
    assert done.returncode == 1
    assert "no worker answered at 'http://127.0.0.1:1'" in done.stderr


NO_BROKER = {
    "bootstrap.servers": "127.0.0.1:1",
    "offset.storage.file.filename": "offsets.bin",
    "default.api.timeout.ms": "300",
}


@pytest.mark.parametrize(
    ("properties", "code", "said"),
    [
        ({"group.id": "g"}, 2, "group.id asks for distributed mode, which is not built yet"),
        ({"value.converter": None}, 2, 'Missing required configuration "value.converter"'),
        ({"bootstrap.servers": "127.0.0.1:1"}, 2, 'Missing required configuration "offset.storage.file.filename"'),
        ({**NO_BROKER, "bootstrap.servers": "nowhere.invalid:1"}, 2, "No resolvable bootstrap urls given in bootstrap"),
        ({**NO_BROKER, "bootstrap.servers": "kafka"}, 2, "bootstrap.servers has 'kafka'; expected host:port"),
        (NO_BROKER, 2, "127.0.0.1:1 could not be reached within 0.3 s (default.api.timeout.ms)"),
        ({**NO_BROKER, "default.api.timeout.ms": "5000"}, 2, "Connection refused"),  # which has to come within it
        ({"listeners": "localhost:1"}, 2, "listeners"),
    ],
)
def test_a_worker_that_cannot_run_says_why_in_a_sentence(
    worker: WorkerProcess, properties: dict[str, str | None], code: int, said: str
) -> None:
    for name, value in properties.items():
        worker.properties.pop(name, None)
        if value is not None:
            worker.properties[name] = value
    assert worker.launch().wait(PATIENCE_S) == code
    assert said in worker.log
    assert "Traceback" not in worker.log


def test_a_log_in_use_names_the_worker_that_has_it(worker: WorkerProcess) -> None:
    first = worker.start().process
    assert first is not None
    other = WorkerProcess(worker.folder, dict(worker.properties))
    other.properties["bootstrap.servers"] = "sqlite:log.db"
    process = subprocess.run(
        [BIN / "millstream", "run", "worker.properties"],
        cwd=worker.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert process.returncode == 2
    assert f"in use by pid {first.pid}" in process.stderr
    assert "Traceback" not in process.stderr


def test_an_unknown_connector_class_at_the_start_is_exit_code_3(worker: WorkerProcess) -> None:
    worker.folder.joinpath("c.json").write_text(json.dumps({"name": "c", "connector.class": "NoSuch"}))
    worker.arguments = ["c.json"]
    assert worker.launch().wait(PATIENCE_S) == 3
    assert "Failed to find any class that implements Connector and which name matches NoSuch" in worker.log
    assert "Traceback" not in worker.log
