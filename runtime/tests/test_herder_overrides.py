"""What a connector says to its clients is judged before it is made, in the words in which its task would refuse it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from herding import Herding, herding

from millstream.errors import ConfigError
from millstream.host.report import refused
from millstream.settings.embedded import check_client

SINK = {"connector.class": "FileStreamSink", "name": "drain", "topics": "t", "file": "/dev/null"}
SOURCE = {"connector.class": "FileStreamSource", "name": "fill", "topic": "t", "file": "/dev/null"}


def judged(herd: Herding, config: dict[str, str]) -> dict[str, list[str]]:
    path = f"/connector-plugins/{config['connector.class']}/config/validate"
    told: Any = herd.rest.request("PUT", path, config).json()
    values = [each["value"] for each in told["configs"]]
    assert told["error_count"] == len([value for value in values if value["errors"]])
    return {value["name"]: value["errors"] for value in values if value["errors"]}


@pytest.mark.parametrize(
    ("config", "setting", "text", "said"),
    [
        (SINK, "consumer.override.max.poll.records", "0", "is 0; expected at least 1"),
        (SINK, "consumer.override.isolation.level", "some", "is 'some'; expected read_committed or read_uncommitted"),
        (SINK, "consumer.override.auto.offset.reset", "first", "is 'first'; expected earliest, latest or none"),
        (SINK, "consumer.override.max.poll.records", "5", None),
        (SOURCE, "producer.override.linger.ms", "-1", "is -1; expected at least 0"),
        (SOURCE, "producer.override.of.nobody", "x", None),
    ],
)
def test_what_no_client_can_be_made_of_stands_at_its_setting_and_refuses_the_creation(
    herd: Herding, config: dict[str, str], setting: str, text: str, said: str | None
) -> None:
    given = {**config, setting: text}
    assert judged(herd, given) == ({} if said is None else {setting: [f"{setting} {said}"]})
    made = herd.rest.post("/connectors", {"name": config["name"], "config": given})
    assert made.status_code == (201 if said is None else 400)
    if said is not None:
        assert f"{setting} {said}" in made.json()["message"]


def test_settings_of_the_worker_and_the_connector_are_judged_together() -> None:
    config = {**SOURCE, "producer.override.enable.idempotence": "true"}
    with herding(more={"producer.acks": "1"}) as herd:
        (said,) = judged(herd, config)["producer.override.acks"]
        assert said.startswith("Must set producer.acks to all")
        assert judged(herd, {**config, "producer.override.acks": "all"}) == {}


def test_it_is_the_sentence_of_the_task() -> None:
    own, name = {"max.poll.records": "0"}, "consumer.override.max.poll.records"
    with pytest.raises(ConfigError) as of_task:
        check_client("consumer", own, {"max.poll.records": name})
    assert [tuple(each) for each in refused("consumer", own, {})] == [
        ("max.poll.records", of_task.value.problems[name])
    ]


def test_a_connector_without_overrides_pays_nothing_for_that() -> None:
    loaded = "import sys; import millstream.host.report; print('millstream.settings.librdkafka' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout.strip() == "False"
