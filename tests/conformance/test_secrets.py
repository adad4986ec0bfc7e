"""Settings from config providers in a running worker: nowhere to be seen, and renewed when their time is over."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import PROPERTIES, WorkerProcess, until

pytestmark = pytest.mark.timeout(400)

STRINGS = "org.apache.kafka.connect.storage.StringConverter"
WRONG = "seventeen-and-a-half"


@dataclass
class Vault:
    """A worker that borrows from a file, and the file."""

    worker: WorkerProcess
    file: Path

    def holds(self, **secrets: str) -> None:
        """Replace what it holds, at once."""
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
        new.rename(self.file)

    def key(self, name: str) -> str:
        return f"${{vault:{self.file}:{name}}}"

    def line(self, text: str) -> None:
        with (self.worker.folder / "in.txt").open("a") as file:
            file.write(f"{text}\n")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    properties = {
        **PROPERTIES,
        "key.converter": STRINGS,
        "value.converter": STRINGS,
        "config.providers": "vault",
        "config.providers.vault.class": "millstream_hostile.lending:LendingProvider",
        "config.providers.vault.param.ttl.ms": "1000",
    }
    folder = tmp_path_factory.mktemp("vault")
    made = Vault(WorkerProcess(folder, properties), folder / "secrets.properties")
    made.holds(topic="secret-one", number=WRONG)
    made.line("first")
    try:
        made.worker.start()
        source = {"connector.class": "FileStreamSource", "file": "in.txt", "topic": made.key("topic")}
        made.worker.create("renewed", **source)
        made.worker.create("kept", **source, **{"config.action.reload": "none"})
        for name in ("renewed", "kept"):
            until(lambda name=name: made.worker.offsets(name), f"{name} to have read the first line")  # type: ignore[misc]
        yield made
    finally:
        if made.worker.process is not None and made.worker.process.poll() is None:
            made.worker.kill()


@pytest.mark.parametrize(
    "path",
    ["", "/config", "/status", "/tasks", "/offsets", "?expand=info&expand=status"],
    ids=lambda path: path or "info",
)
def test_no_answer_shows_what_a_provider_gave(vault: Vault, path: str) -> None:
    target = f"/connectors{path}" if path.startswith("?") else f"/connectors/renewed{path}"
    answer = vault.worker.call("GET", target)
    assert answer.status == 200
    assert "secret-one" not in answer.text
    if path in ("/", "/config", "/tasks"):
        assert vault.key("topic") in answer.text


def test_validation_shows_how_a_setting_is_written_and_not_what_it_became(vault: Vault) -> None:
    config = {"name": "asked", "connector.class": "FileStreamSource", "topic": vault.key("topic")}
    answer = vault.worker.call("PUT", "/connector-plugins/FileStreamSource/config/validate", config)
    values = {each["value"]["name"]: each["value"] for each in answer.json["configs"]}
    assert (answer.json["error_count"], values["topic"]["value"]) == (0, vault.key("topic"))
    assert "secret-one" not in answer.text


def test_a_refusal_of_a_wrong_setting_does_not_quote_what_a_provider_gave(vault: Vault) -> None:
    config = {"connector.class": "FileStreamSource", "topic": "t", "tasks.max": vault.key("number")}
    refused = vault.worker.call("POST", "/connectors", {"name": "wrong", "config": config})
    assert refused.status == 400
    assert f"Invalid value {vault.key('number')} for configuration tasks.max: Not a number" in refused.json["message"]
    assert WRONG not in refused.text


def test_the_topic_of_configs_and_the_workers_log_hold_no_secret(vault: Vault) -> None:
    stored = "\n".join(vault.worker.consume("connect-configs"))
    assert vault.key("topic") in stored
    assert "secret-one" not in stored
    assert "secret-one" not in vault.worker.log


def test_a_connector_is_started_again_with_what_a_provider_gives_now_unless_it_is_told_not_to(vault: Vault) -> None:
    vault.holds(topic="secret-two", number=WRONG)

    def arrived() -> list[str]:
        vault.line("again")
        known = vault.worker.call("GET", "/connectors/renewed/topics").json["renewed"]["topics"]
        return vault.worker.consume("secret-two") if "secret-two" in known else []

    assert until(arrived, "the task to write to the new topic")[0] == "again"
    assert "connector renewed starts again" in vault.worker.log
    assert "connector kept starts again" not in vault.worker.log
    assert vault.worker.call("GET", "/connectors/kept/topics").json == {"kept": {"topics": ["secret-one"]}}
    assert vault.worker.states("renewed") == ["RUNNING", "RUNNING"]


def test_a_secret_that_has_become_wrong_is_not_in_the_trace(vault: Vault) -> None:
    config = {"connector.class": "FileStreamSource", "file": "in.txt", "topic": "t", "batch.size": vault.key("number")}
    vault.holds(topic="secret-two", number="20")
    vault.worker.create("spoilt", **config)
    until(lambda: vault.worker.states("spoilt") == ["RUNNING", "RUNNING"], "the connector to run")
    vault.holds(topic="secret-two", number=WRONG)
    until(lambda: vault.worker.states("spoilt")[:1] == ["FAILED"], "the connector to fail, once it starts again")
    trace = vault.worker.call("GET", "/connectors/spoilt/status").json["connector"]["trace"]
    assert vault.key("number") in trace
    assert WRONG not in trace
