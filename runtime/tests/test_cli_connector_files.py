"""Connector files in the form of a creation: what of it is taken, and what is refused."""

import json
from pathlib import Path

import pytest

from millstream.cli.connector_files import read_connector
from millstream.errors import ConfigError
from millstream.herder.requests import CreateConnector
from millstream.identity import TargetState

CONFIG = {"connector.class": "FileStreamSource", "tasks.max": 1, "file": "in", "topic": "t"}
OFFSETS = [{"partition": {"filename": "in"}, "offset": {"position": 3}}]


def written(folder: Path, **more: object) -> Path:
    path = folder / "copy.json"
    path.write_text(json.dumps({"name": "copy", "config": CONFIG, **more}))
    return path


@pytest.mark.parametrize(
    ("given", "target"),
    [(None, None), ("RUNNING", TargetState.STARTED), ("paused", TargetState.PAUSED), ("Stopped", TargetState.STOPPED)],
)
def test_an_initial_state_is_taken_in_any_letter_case(tmp_path: Path, given: str | None, target: TargetState | None):
    made = read_connector(written(tmp_path, initial_state=given, unknown="is ignored, as in Java"))
    config = {"connector.class": "FileStreamSource", "tasks.max": "1", "file": "in", "topic": "t", "name": "copy"}
    assert made == CreateConnector("copy", config, target)


@pytest.mark.parametrize("given", ["", "STARTED", "3", ["PAUSED"], True])
def test_an_initial_state_that_is_none_is_refused_with_the_file_and_what_there_is(tmp_path: Path, given: object):
    with pytest.raises(ConfigError) as refused:
        read_connector(written(tmp_path, initial_state=given))
    said = f"copy.json: {given!r} is no initial_state; expected RUNNING, PAUSED, STOPPED"
    assert said in str(refused.value)


def test_initial_offsets_are_refused_with_what_to_do_instead(tmp_path: Path):
    with pytest.raises(ConfigError) as refused:
        read_connector(written(tmp_path, initial_offsets=OFFSETS))
    assert "copy.json: initial_offsets cannot stand in a connector file, which is read at each start" in str(
        refused.value
    )
    assert "PATCH /connectors/copy/offsets while it is stopped" in str(refused.value)
    assert read_connector(written(tmp_path, initial_offsets=None)).name == "copy"


def test_two_names_are_refused_with_both(tmp_path: Path):
    with pytest.raises(ConfigError) as refused:
        read_connector(written(tmp_path, config={**CONFIG, "name": "other"}))
    said = "copy.json: the connector is called 'copy', and its config says 'other'; leave the name out of the config"
    assert said in str(refused.value)


@pytest.mark.parametrize("form", ['{"name": "c", %s}', '{"name": "c", "config": {%s}}'])
def test_scalars_become_texts_and_numbers_as_they_are_written(tmp_path: Path, form: str):
    path = tmp_path / "c.json"
    path.write_text(
        form % '"a": 1.10, "b": 1e5, "c": 12345678901234567890.50, "d": 1E400, "e": -0, "f": true, "g": null'
    )
    texts = {"a": "1.10", "b": "1e5", "c": "12345678901234567890.50", "d": "1E400", "e": "-0", "f": "true", "g": None}
    assert read_connector(path).config == {"name": "c", **texts}


def test_what_is_no_number_of_json_is_refused(tmp_path: Path):
    (tmp_path / "c.json").write_text('{"name": "c", "a": NaN}')
    with pytest.raises(ConfigError, match="no valid JSON: NaN is no number of JSON"):
        read_connector(tmp_path / "c.json")


def test_what_begins_as_json_and_has_no_name_as_properties_is_told_as_wrong_json(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text('{"name": "c", "config": {')
    with pytest.raises(ConfigError, match="c: the connector file is no valid JSON: Expecting property name"):
        read_connector(file)
    file.write_text("{braced}=1\nname=c\n")
    assert read_connector(file).config == {"{braced}": "1", "name": "c"}
