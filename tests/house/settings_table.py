"""The settings tables in READMEs, made from the `Config` classes that read the settings.

A README names the class in a comment; what stands between it and the closing comment is ours:

    <!-- settings millstream_file.config:FileSinkConfig -->
    <!-- /settings -->

`python tests/house/settings_table.py` writes all tables anew and lists the files it changed.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from millstream_api import Config, Definition

ROOT = Path(__file__).resolve().parents[2]
TABLE = re.compile(r"(<!-- settings (?P<target>[\w.]+:\w+) -->\n).*?(<!-- /settings -->)", re.DOTALL)
HEAD = "| setting | type | default | importance | meaning |\n|---|---|---|---|---|\n"


def readmes() -> Iterator[Path]:
    """Every README of the house that asks for a table."""
    for path in sorted(ROOT.glob("**/README.md")):
        hidden = any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
        if not hidden and TABLE.search(path.read_text()):
            yield path


def renewed(text: str) -> str:
    """The text with its tables as they should be."""
    return TABLE.sub(lambda match: match[1] + table(_config(match["target"])) + match[3], text)


def table(config: type[Config]) -> str:
    """One row a setting, those for documentation, in the order declared."""
    return HEAD + "".join(map(_row, (one for one in config.definitions() if not one.internal)))


def _row(definition: Definition) -> str:
    default = "*required*" if definition.required else _code(definition.default_text)
    meaning = definition.documentation
    if definition.validator:
        meaning = f"{meaning} Valid: {definition.validator}."
    cells = (
        f"`{definition.name}`",
        definition.type.value.lower(),
        default,
        definition.importance.value.lower(),
        meaning,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _code(text: str | None) -> str:
    return "null" if text is None else f"`{text}`" if text else "empty"


def _config(target: str) -> type[Config]:
    module, name = target.split(":")
    found: type[Config] = getattr(importlib.import_module(module), name)
    return found


def main() -> int:
    for path in readmes():
        text = path.read_text()
        if (new := renewed(text)) != text:
            path.write_text(new)
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
