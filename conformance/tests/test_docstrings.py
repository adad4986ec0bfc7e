"""What the suites tell their authors: every name, and what a method does to the test that calls it."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator

import pytest

import millstream_conformance
from millstream_conformance import Conformance

KIT = "millstream_conformance."
SUITES = sorted(name for name in millstream_conformance.__all__ if name != "Capability")


def own_classes(suite: type) -> list[type]:
    return [base for base in suite.__mro__ if base.__module__.startswith(KIT)]


def methods() -> dict[str, tuple[type, str]]:
    """By `Class.method`, what an author may call or override: all but the tests."""
    return {
        f"{cls.__name__}.{name}": (cls, name)
        for suite in SUITES
        for cls in own_classes(getattr(millstream_conformance, suite))
        for name in vars(cls)
        if inspect.isroutine(getattr(cls, name)) and not name.startswith(("_", "test_"))
    }


def attributes(suite: type) -> Iterator[str]:
    for cls in own_classes(suite):
        given = [name for name, part in vars(cls).items() if not inspect.isroutine(getattr(cls, name, part))]
        yield from (name for name in {*given, *vars(cls).get("__annotations__", {})} if not name.startswith("_"))


def body_of(cls: type, name: str) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(getattr(cls, name)))))


def text_of(part: object) -> str:
    return " ".join((inspect.cleandoc(getattr(part, "__doc__", None) or "")).split())


@pytest.mark.parametrize("name", sorted(millstream_conformance.__all__))
def test_every_public_class_is_documented(name: str) -> None:
    assert "__doc__" in vars(getattr(millstream_conformance, name))
    assert text_of(getattr(millstream_conformance, name)), f"{name} has no docstring"


@pytest.mark.parametrize("name", sorted(methods()))
def test_every_method_says_what_it_gives_and_what_it_does_to_the_test(name: str) -> None:
    cls, method = methods()[name]
    text = text_of(vars(cls)[method])
    assert text, f"{name} has no docstring"
    for node in ast.walk(body_of(cls, method)):
        if isinstance(node, ast.Raise):
            assert "aise" in text, f"{name} raises, and does not say so"
        if isinstance(node, ast.Assert):
            assert re.search(r"\b[Ff]ails\b", text), f"{name} may fail the test, and does not say so"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "does_not_apply":
            assert re.search(r"\b[Ss]kips?\b", text), f"{name} may skip the test, and does not say so"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("config_class.parse"):
            assert "Raises ConfigError" in text, f"{name} parses settings, and does not say that it refuses wrong ones"


@pytest.mark.parametrize("suite", SUITES)
def test_every_attribute_of_a_suite_is_explained_in_its_docstring_or_that_of_a_base(suite: str) -> None:
    cls = getattr(millstream_conformance, suite)
    assert issubclass(cls, Conformance)
    told = "\n".join(inspect.cleandoc(vars(base).get("__doc__") or "") for base in own_classes(cls))
    found = sorted(set(attributes(cls)))
    assert "hook" in found
    assert [name for name in found if not re.search(rf"^{name}: ", told, re.MULTILINE)] == []
