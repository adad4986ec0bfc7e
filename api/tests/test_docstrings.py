"""What the docstrings of the contract say: what is raised and what becomes of it, and which part of Java it stands for.

Where a name is to say neither, it stands in a list of this module, with the reason; a list that names too much fails.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import millstream_api

SOURCE = re.compile(r"\bSource: (?:KIP-\d+|[A-Z]\w+(?:\.\w+)+|The Java Language Specification, [\d.]+)")
RAISES = re.compile(r"\b[Rr]aise[sd]?\b")

#: classes that name their source once for all methods and properties, which bear Java's names
SAID_ONCE = {"Schema", "Definition"}

#: what Java has no counterpart of
OURS: Mapping[str, frozenset[str]] = {
    "columns: Java's plugins see one record at a time": frozenset(
        {"RecordBatch", "RecordBatch.replace", "RecordBatch.take", "SinkBatch", "records_of", "Subject", "Decoded"}
        | {"Transformation.apply_batch", "Predicate.test_batch"}
    ),
    "waiting and being interrupted: Java's plugins have threads to interrupt": frozenset(
        {"Context", "Context.wait", "Context.progress", "Connector.monitor", "Task.cancel"}
    ),
    "registration: Java's plugins are found by ServiceLoader and reflection": frozenset(
        {"PluginRef", "PluginError", "Plugin"}
    ),
    "forms of what Java has within its methods": frozenset({"Problem", "Codec", "codec", "Validator.reason"}),
}

#: classes whose methods a plugin overrides, or calls on what the runtime gives it: no code of this package raises there
AGREED = frozenset(
    {"Cluster", "Context", "SourceOffsets", "ConnectorContext", "Transaction", "SourceContext", "SinkContext"}
    | {"Connector", "SourceConnector", "SinkConnector", "Task", "SourceTask", "SinkTask", "Plugin", "Validator"}
    | {"Converter", "HeaderConverter", "Transformation", "Predicate", "ConfigProvider", "ClientConfigPolicy"}
    | {"RestExtension"}
)

#: what says nothing of raising though it is agreed on, or reaches a `raise` in the code
SILENT: Mapping[str, frozenset[str]] = {
    "the runtime's, who raises nothing there": frozenset(
        {"Cluster.kafka_cluster_id", "Cluster.connectors", "Context.wait", "Context.fail", "Context.progress"}
        | {"ConnectorContext.request_reconfiguration", "Transaction.commit", "Transaction.abort"}
        | {"SourceContext.transaction", "SinkContext.assignment", "SinkContext.seek", "SinkContext.request_commit"}
    ),
    "it catches what is raised within: any text is a STRING": frozenset({"parse_string"}),
}

Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Public:
    """A public class, function, method or property. name: `Class.method`; owner: its class, "" at the top."""

    name: str
    owner: str
    node: Definition

    @property
    def text(self) -> str:
        return " ".join((ast.get_docstring(self.node) or "").split())


@cache
def modules() -> list[ast.Module]:
    folder = Path(millstream_api.__file__).parent
    return [ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))]


@cache
def everything() -> Mapping[str, Public]:
    found: dict[str, Public] = {}
    for tree in modules():
        for node in tree.body:
            if isinstance(node, Definition) and node.name in millstream_api.__all__ and not is_overload(node):
                found[node.name] = Public(node.name, "", node)
                found.update({one.name: one for one in parts(node)})
    return found


def parts(node: Definition) -> Iterator[Public]:
    for part in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
            yield Public(f"{node.name}.{part.name}", node.name, part)


def is_overload(node: Definition) -> bool:
    return any(ast.unparse(one) == "overload" for one in node.decorator_list)


def listed(lists: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*lists.values())


@cache
def raising() -> frozenset[str]:
    """Functions and classes of the package whose code reaches a `raise`, by the names it calls."""
    direct: set[str] = set()
    calls: dict[str, set[str]] = {}
    for tree in modules():
        for name, node in named(tree):
            calls.setdefault(name, set()).update(called(node))
            if any(isinstance(one, ast.Raise) and "NotImplementedError" not in ast.unparse(one) for one in walk(node)):
                direct.add(name)
    found = set(direct)
    while more := {name for name, some in calls.items() if name not in found and some & found}:
        found |= more
    return frozenset(found)


def named(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Functions by name, methods by `Class.name`, and what making an object runs by the name of its class."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    made = part.name in ("__init__", "__new__", "__post_init__")
                    yield (node.name if made else f"{node.name}.{part.name}"), part


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, save functions within it: those are called later, by others."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield from walk(child)


def called(node: ast.AST) -> Iterator[str]:
    for one in walk(node):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name):
            yield one.func.id


def is_to_say_what_is_raised(one: Public) -> bool:
    if isinstance(one.node, ast.ClassDef):
        return one.name in raising()
    return one.owner in AGREED or one.name in raising()


@pytest.mark.parametrize("name", sorted(everything()))
def test_a_docstring_names_the_part_of_java_it_stands_for(name: str) -> None:
    one = everything()[name]
    if one.owner in SAID_ONCE:
        assert SOURCE.search(everything()[one.owner].text), f"{one.owner} names no source for its parts"
        return
    if name in listed(OURS):
        assert "Source:" not in one.text, f"{name} names a source, and OURS says that there is none"
    else:
        assert SOURCE.search(one.text), f"{name} names no source, such as `Source: SinkTask.put.`, and OURS has it not"


@pytest.mark.parametrize("name", sorted(name for name, one in everything().items() if is_to_say_what_is_raised(one)))
def test_a_docstring_says_what_is_raised_or_what_becomes_of_it(name: str) -> None:
    one = everything()[name]
    if name in listed(SILENT):
        assert not RAISES.search(one.text), f"{name} says what is raised, and SILENT says that nothing is"
    else:
        assert RAISES.search(one.text), f"{name} does not say what it raises, or what happens when it does"


def test_the_lists_name_what_there_is() -> None:
    known = everything()
    assert sorted((SAID_ONCE | AGREED | listed(OURS) | listed(SILENT)) - known.keys()) == []
    assert sorted(name for name in listed(SILENT) if not is_to_say_what_is_raised(known[name])) == []


def test_a_raise_is_found_where_a_function_only_calls_who_raises() -> None:
    """Of `decimal` the code has no `raise`, of `codec` another function has it; `text_of` is three calls away."""
    assert {"decimal", "codec", "text_of", "Config.parse", "Definition"} <= raising()
    assert not {"java_text", "groups_of", "float32", "Cluster.health"} & raising()


@pytest.mark.parametrize(
    "name", sorted(name for name, one in everything().items() if isinstance(one.node, ast.ClassDef))
)
def test_the_fields_of_a_class_are_explained_in_its_docstring(name: str) -> None:
    node = everything()[name].node
    bases = {ast.unparse(base) for base in node.bases} if isinstance(node, ast.ClassDef) else set()
    decorators = {ast.unparse(one).partition("(")[0] for one in node.decorator_list}
    if "NamedTuple" not in bases and "TypedDict" not in bases and "dataclass" not in decorators:
        return
    fields = [
        part.target.id for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]
    text = everything()[name].text
    assert [each for each in fields if not re.search(rf"\b{each}\b(?=[,:`])", text)] == []
