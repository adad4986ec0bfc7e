"""The hard stops of the house: how long a module and a function may be, how much a function and a class may take."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in ROOT.glob("**/src/**/*.py") if ".tox" not in path.parts and ".venv" not in path.parts)
BANNED = {"utils", "helpers", "common", "misc", "base", "core", "types", "constants"}

MODULE_LINES = 500
FUNCTION_LINES = 60
PARAMETERS = 5
METHODS = 12
#: what the plugin API's sketch fixed before the house had limits: records and batches are made of their columns
WIDE_BY_CONTRACT = {"Record", "SourceRecord", "SinkRecord", "RecordBatch", "SourceBatch", "Schema", "key"}


def nodes(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Every class and function with the name of the class around it."""

    def walk(node: ast.AST, owner: str) -> Iterator[tuple[ast.AST, str]]:
        for child in ast.iter_child_nodes(node):
            yield child, owner
            yield from walk(child, child.name if isinstance(child, ast.ClassDef) else owner)

    yield from walk(ast.parse(path.read_text()), "")


def test_there_are_sources() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_keeps_the_size_of_the_house(path: Path) -> None:
    problems = []
    lines = path.read_text().count("\n")
    if lines > MODULE_LINES:
        problems.append(f"{lines} lines, at most {MODULE_LINES}: pull a decision out as a room of its own")
    if path.stem in BANNED:
        problems.append(f"{path.stem!r} names a drawer: name the thing that lives here")
    for node, owner in nodes(path):
        problems.extend(_too_much(node, owner))
    assert not problems, f"{path.relative_to(ROOT)}: " + "; ".join(problems)


def _too_much(node: ast.AST, owner: str) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            yield f"{node.name} (line {node.lineno}) has {length} lines, at most {FUNCTION_LINES}"
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([argument for argument in arguments if argument.arg not in {"self", "cls"}])
        if count > PARAMETERS and owner not in WIDE_BY_CONTRACT and node.name not in WIDE_BY_CONTRACT:
            yield f"{node.name} (line {node.lineno}) takes {count} parameters, at most {PARAMETERS}: a dataclass"
    if isinstance(node, ast.ClassDef) and not any("Protocol" in ast.unparse(parent) for parent in node.bases):
        methods = [child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
        named = [method for method in methods if not (method.name.startswith("__") and method.name.endswith("__"))]
        if len(named) > METHODS:
            yield f"class {node.name} (line {node.lineno}) has {len(named)} methods, at most {METHODS}"
