"""What `millstream plugins list` says of names that denote nothing."""

import json

import pytest
from click.testing import CliRunner

from millstream.cli import plugins
from millstream.inventory.inventory import Inventory, Plugin
from millstream.settings.plugins import Kind

JDBC = "io.confluent.connect.jdbc.JdbcSourceConnector"
WHY = (
    "claimed by a:Jdbc of one 0.1.0 and by b:Jdbc of two 0.1.0: it denotes neither; write module:Class, or leave one "
    "out by plugins.disabled"
)


@pytest.fixture(autouse=True)
def _two_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    claimants = [("a:Jdbc", "one"), ("b:Jdbc", "two")]
    found = Inventory(tuple(Plugin(Kind.SOURCE, target, (JDBC,), dist, "0.1.0") for target, dist in claimants))
    monkeypatch.setattr(plugins, "discover", lambda: found)


def test_a_name_that_two_claim_is_listed_by_what_to_write_instead_and_why() -> None:
    done = CliRunner().invoke(plugins.list_, [])
    assert done.exit_code == 0
    table, _, unusable = done.output.partition("\n\n")
    assert [line.split()[1] for line in table.splitlines()[-2:]] == ["a:Jdbc", "b:Jdbc"]
    assert f"{JDBC}  {WHY}" in " ".join(unusable.split("\n"))


def test_json_tells_of_it_too() -> None:
    done = CliRunner().invoke(plugins.list_, ["--json"])
    assert json.loads(done.output)["failures"] == {JDBC: WHY}
