"""The contract as a file: every change to it is a visible diff.

`MILLSTREAM_WRITE_PUBLIC_API=1 pytest api/tests/test_public_api.py` writes `api/public-api.txt` anew.
"""

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import millstream_api

SNAPSHOT = Path(__file__).resolve().parents[1] / "public-api.txt"
MODULES = (
    *("errors", "config", "schema", "logical", "values", "projection", "headers", "records", "context", "connector"),
    *("converter", "transformation", "predicate", "provider", "source", "sink", "cluster", "policy", "extension"),
    "hookspecs",
)
Node = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


def public_names(module: str) -> list[str]:
    return list(importlib.import_module(f"millstream_api.{module}").__all__)


@cache
def sources() -> list[ast.Module]:
    package = Path(millstream_api.__file__).parent
    return [ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))]


def definitions() -> dict[str, list[ast.stmt]]:
    """Every top-level statement of the package that gives a name its meaning; overloads have several."""
    found: dict[str, list[ast.stmt]] = {}
    for tree in sources():
        for node in tree.body:
            for name in given_names(node):
                found.setdefault(name, []).append(node)
    return found


def given_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        targets = [one for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)]
        return [one.id for one in targets]
    return []


def described(name: str, node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        yield signature(node)
    elif isinstance(node, ast.ClassDef):
        bases = [ast.unparse(base) for base in node.bases]
        yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
        for part in node.body:
            for line in described_part(part):
                yield f"    {line}"
    elif isinstance(node, ast.AnnAssign):
        yield f"{name}: {ast.unparse(node.annotation)}"
    elif isinstance(node, ast.Assign):
        yield f"{name} = {ast.unparse(node.value)}"


def described_part(part: ast.stmt) -> Iterator[str]:
    if isinstance(part, ast.FunctionDef) and (not part.name.startswith("_") or part.name == "__init__"):
        decorators = [ast.unparse(one) for one in part.decorator_list if ast.unparse(one) != "property"]
        if any(ast.unparse(one) == "property" for one in part.decorator_list):
            yield f"{part.name}: {ast.unparse(part.returns) if part.returns else '?'}  (property)"
        else:
            yield " ".join([*(f"@{one}" for one in decorators), signature(part)])
    elif isinstance(part, ast.AnnAssign) and not ast.unparse(part.target).startswith("_"):
        value = f" = {ast.unparse(part.value)}" if part.value else ""
        yield f"{ast.unparse(part.target)}: {ast.unparse(part.annotation)}{value}"
    elif isinstance(part, ast.Assign) and not ast.unparse(part.targets[0]).startswith("_"):
        yield ast.unparse(part)


def signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}"


def snapshot() -> str:
    found = definitions()
    lines = ["# The public names of millstream_api and their signatures. Written by tests/test_public_api.py."]
    for name in sorted(millstream_api.__all__):
        lines.append("")
        for node in found[name]:
            lines.extend(described(name, node))
    return "\n".join(lines) + "\n"


def test_the_public_api_is_the_one_written_down() -> None:
    if os.environ.get("MILLSTREAM_WRITE_PUBLIC_API"):
        SNAPSHOT.write_text(snapshot())
    assert SNAPSHOT.read_text() == snapshot(), f"the contract changed: {__doc__}"


def test_everything_public_can_be_imported_from_the_package() -> None:
    everything = [name for module in MODULES for name in public_names(module)]
    assert sorted(everything) == sorted(set(everything)), "a name is public in two modules"
    assert sorted(millstream_api.__all__) == sorted(everything)
    assert all(getattr(millstream_api, name) is not None for name in everything)


@pytest.mark.parametrize("name", sorted(millstream_api.__all__))
def test_every_public_name_is_documented(name: str) -> None:
    for tree in sources():
        for number, node in enumerate(tree.body):
            if name in given_names(node) and isinstance(node, ast.ClassDef | ast.FunctionDef):
                decorators = [ast.unparse(one) for one in node.decorator_list]
                assert "overload" in decorators or ast.get_docstring(node), f"{name} has no docstring"
            elif name in given_names(node) and not name.isupper() and len(name) > 1:
                after = tree.body[number + 1] if number + 1 < len(tree.body) else None
                text = after.value if isinstance(after, ast.Expr) else None
                assert isinstance(text, ast.Constant), f"{name} has no docstring below it"


@pytest.mark.parametrize("name", sorted(millstream_api.__all__))
def test_every_method_and_property_of_a_public_class_is_documented(name: str) -> None:
    for node in definitions().get(name, ()):
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                assert ast.get_docstring(part), f"{name}.{part.name} has no docstring"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (millstream_api.Transaction.abort, "Their offsets are committed all the same"),
        (millstream_api.SourceRecord, "No offset is kept when both are None"),
        (millstream_api.SinkContext.seek, "they count as committed from then on"),
        (millstream_api.SinkTask.pre_commit, "rows since the last commit are read again"),
    ],
)
def test_the_contract_says_what_the_runtime_does(where: object, said: str) -> None:
    assert said in " ".join((where.__doc__ or "").split())


def test_a_name_that_is_not_there_is_refused_as_always() -> None:
    with pytest.raises(AttributeError, match="module 'millstream_api' has no attribute 'SourceConector'"):
        _ = millstream_api.SourceConector  # type: ignore[attr-defined]


def test_the_three_lists_of_the_package_are_one() -> None:
    tree = ast.parse(Path(millstream_api.__file__).read_text())
    imported = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("millstream_api.")
        for alias in node.names
    }
    homes = {(f"millstream_api.{module}", name) for module in MODULES for name in public_names(module)}
    assert imported == homes
    assert set(dir(millstream_api)) >= set(millstream_api.__all__)


def loaded_by(statement: str, compiled: Path) -> list[str]:
    """Name what a statement loads beyond the standard library, in a fresh process; print the milliseconds it takes."""
    code = (
        "import sys, time\nbefore = set(sys.modules)\nstart = time.perf_counter()\n"
        f"{statement}\nms = (time.perf_counter() - start) * 1000\n"
        "print(f'{ms:.1f}', *sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):  # the second time from compiled modules, as everybody has them
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**kept, "PYTHONPYCACHEPREFIX": str(compiled)},
        )
    ms, *modules = done.stdout.split()
    print(f"{statement}: {ms} ms")
    return [name for name in modules if name not in sys.stdlib_module_names]


def test_importing_it_loads_the_standard_library_only(tmp_path: Path) -> None:
    assert loaded_by("import millstream_api", tmp_path) == ["millstream_api"]


def test_all_of_it_but_the_hooks_needs_the_standard_library_only(tmp_path: Path) -> None:
    modules = ", ".join(f"millstream_api.{name}" for name in MODULES if name != "hookspecs")
    assert loaded_by(f"import {modules}", tmp_path) == ["millstream_api"]


def test_declaring_hooks_loads_pluggy_and_nothing_else(tmp_path: Path) -> None:
    assert loaded_by("from millstream_api import PluginRef, hookimpl", tmp_path) == ["millstream_api", "pluggy"]


@pytest.mark.parametrize(
    ("statement", "most"),
    [("import millstream_api", 40), ("from millstream_api import PluginRef, hookimpl", 80)],
)
def test_importing_it_stays_cheap(statement: str, most: int) -> None:
    """The budget is 40 ms; modules are counted, as milliseconds depend on what else the machine does (13 and 37 ms)."""
    code = f"import sys; before = set(sys.modules); {statement}; print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= most
