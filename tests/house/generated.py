"""What pages of the documentation say that the code knows better: settings, commands, metrics.

A page marks the place; what stands between the two comments is ours:

    <!-- settings millstream_file.config:FileSinkConfig -->      all settings of a class
    <!-- settings millstream.settings.worker:StandaloneConfig of Millstream -->    those of one group; `but`: the rest
    <!-- commands -->      every command of `millstream`
    <!-- metrics -->       every metric of `GET /metrics`
    <!-- /settings -->     the end, of the same word

`python tests/house/generated.py` writes all pages anew and lists those it changed.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from millstream_api import Config, Definition

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(
    r"(<!-- (?P<kind>settings|commands|metrics)(?P<of>[^>\n]*) -->\n).*?(<!-- /(?P=kind) -->)", re.DOTALL
)
SETTINGS_HEAD = "| setting | type | default | importance | meaning |\n|---|---|---|---|---|\n"
METRICS_HEAD = "| name | kind | meaning |\n|---|---|---|\n"


def pages() -> Iterator[Path]:
    """Every page of the house that has such a place."""
    for path in sorted([*ROOT.glob("**/README.md"), *ROOT.glob("docs/**/*.md")]):
        hidden = any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
        if not hidden and PLACE.search(path.read_text()):
            yield path


def renewed(text: str) -> str:
    """The text with its places as they should be."""
    return PLACE.sub(lambda match: match[1] + _made(match["kind"], match["of"].split()) + match[4], text)


def _made(kind: str, of: list[str]) -> str:
    if kind == "commands":
        return commands()
    if kind == "metrics":
        return metrics()
    target, *condition = of
    return settings(_config(target), *condition)


def settings(config: type[Config], which: str = "", group: str = "") -> str:
    """One row a setting, those for documentation, in the order declared."""
    shown = [one for one in config.definitions() if not one.internal]
    if which:
        shown = [one for one in shown if (one.group == group) is (which == "of")]
    return SETTINGS_HEAD + "".join(map(_row, shown))


def _row(definition: Definition) -> str:
    default = "*required*" if definition.required else _code(definition.default_text)
    meaning = definition.documentation
    if definition.validator and "org.apache." not in definition.validator:  # a class of Java's tells a reader nothing
        meaning = f"{meaning} Valid: {definition.validator}."
    cells = (
        f"`{definition.name}`",
        definition.type.value.lower(),
        default,
        definition.importance.value.lower(),
        meaning,
    )
    return _cells(*cells)


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def _code(text: str | None) -> str:
    return "null" if text is None else f"`{text}`" if text else "empty"


def _config(target: str) -> type[Config]:
    module, name = target.split(":")
    found: type[Config] = getattr(importlib.import_module(module), name)
    return found


def commands() -> str:
    """Every command with its usage, its text and its options."""
    from millstream.cli.main import main

    return "".join(_commands(main, "millstream", None)) + "\n"


def _commands(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, parent, info_name=name.rpartition(" ")[2])
    if parent is not None:
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        text = " ".join((command.help or "").split())
        yield f"\n### `{usage}`\n\n{text}\n"
    rows = [
        option.get_help_record(context) for option in command.get_params(context) if isinstance(option, click.Option)
    ]
    shown = [
        _cells(f"`{row[0]}`", row[1]) for row in rows if row and "--help" not in row[0] and "--version" not in row[0]
    ]
    if shown:
        yield "\n| option | meaning |\n|---|---|\n" + "".join(shown)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            child = command.get_command(context, each)
            assert child is not None
            yield from _commands(child, f"{name} {each}", context)


def metrics() -> str:
    """One table a group."""
    from millstream.metrics.names import METRICS
    from millstream.metrics.prometheus import metric_name

    text = ""
    for group in dict.fromkeys(group for group, _ in METRICS):
        rows = [metric for metric in METRICS.values() if metric.group == group]
        text += f"\n### {group}\n\n{METRICS_HEAD}"
        for metric in rows:
            kind = "counter" if metric.is_total else "gauge"
            text += _cells(f"`{metric_name(metric.group, metric.name)}`", kind, metric.about)
    return text + "\n"


def main() -> int:
    for path in pages():
        text = path.read_text()
        if (new := renewed(text)) != text:
            path.write_text(new)
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
