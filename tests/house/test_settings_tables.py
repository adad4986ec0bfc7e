"""The settings tables in READMEs are those of the `Config` classes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_table", HERE / "settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


settings_table = load()
READMES = list(settings_table.readmes())


def test_there_are_tables() -> None:
    assert {"plugins/file", "converters/json"} <= {
        str(path.parent.relative_to(settings_table.ROOT)) for path in READMES
    }


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.parent.relative_to(settings_table.ROOT)))
def test_a_table_has_what_its_config_has(path: Path) -> None:
    text = path.read_text()
    assert settings_table.renewed(text) == text, "python tests/house/settings_table.py writes it anew"


def test_a_changed_table_is_noticed() -> None:
    text = READMES[0].read_text()
    head, table = text.split("<!-- settings ", 1)
    changed = f"{head}<!-- settings {table.replace('| `', '| `x', 1)}"
    assert changed != text
    assert settings_table.renewed(changed) == text
