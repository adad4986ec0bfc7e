"""What depends only on a schema, done once: a schema becomes a Python function over a column of values.

The function passes values that are as they should be and turns them into their other form; at the first one that is
not, it raises Odd and says nothing more. Whoever called it then looks at each value with the patient reader or writer,
which knows every rule and every error. So the rules are written once, and the common case costs one comparison a field.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from millstream_api import Schema, Type
from millstream_json.schemas import keys_of, values_of


class Odd(Exception):
    """A value that the compiled function leaves to the patient one."""


#: what a compiled function may raise for a value it does not pass
REFUSALS = (Odd, KeyError, TypeError, ValueError, OverflowError, ArithmeticError, AttributeError)


@dataclass(frozen=True, slots=True)
class Leaf:
    """How a value without children is passed: Python expressions in which {v} stands for the value.

    condition: true if the value is as it should be.
    convert:   its other form; empty when both forms are the same object.
    """

    condition: str
    convert: str = ""


class Leaves(Protocol):
    """One direction, reading or writing: what it does with values that have no children."""

    pairs_in: bool  #: whether maps with keys other than strings arrive as lists of pairs (reading) or leave as such

    @property
    def names(self) -> Mapping[str, Any]:
        """What the expressions may use; asked for when all leaves are known."""

    def leaf(self, schema: Schema) -> Leaf | None:
        """None for arrays, maps and structs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A compiled schema.

    column: the other form of each value, in order, the same sequence when nothing changes; raises one of REFUSALS.
    blank:  for a struct, what absent fields stand for, in field order.
    """

    column: Callable[[Sequence[Any]], Sequence[Any]]
    blank: Mapping[str, Any] | None

    def one(self, value: Any) -> Any:
        """The other form of one value, absent fields filled in; raises one of REFUSALS."""
        try:
            return self.column((value,))[0]
        except REFUSALS:
            if self.blank is None or type(value) is not dict:
                raise
        return self.column(({**self.blank, **value},))[0]


def compile_shape(schema: Schema, leaves: Leaves, replace_null: bool) -> Shape:
    """Compile one direction of a schema. replace_null: whether a null stands for the default where there is one."""
    source = _Source(leaves, replace_null)
    body, converted = source.value(schema, "v")
    lines = ["def column(rows):", " out = []", " for v in rows:", *(f"  {line}" for line in body)]
    lines += [f"  out.append({converted})", " return out"] if converted else [" return rows"]
    namespace: dict[str, Any] = {"Odd": Odd, **leaves.names}
    code = "\n".join([*source.functions, *lines])
    exec(compile(code, f"<shape of {schema.name or schema.type.value}>", "exec"), namespace)
    blank = None
    if schema.type is Type.STRUCT:
        blank = {field.name: field.schema.default if replace_null else None for field in schema.fields}
    return Shape(namespace["column"], blank)


class _Source:
    """Python source under construction: one function for each array, map and struct inside another value."""

    def __init__(self, leaves: Leaves, replace_null: bool) -> None:
        self.leaves = leaves
        self.replace_null = replace_null
        self.functions: list[str] = []

    def value(self, schema: Schema, v: str) -> tuple[list[str], str]:
        """Statements that raise Odd unless the variable is as it should be, and its other form, empty for the same."""
        leaf = self.leaves.leaf(schema)
        if leaf is None and schema.type is Type.STRUCT and not self._null_passes(schema):
            return self._struct(schema, v)
        condition, converted = self._expressions(schema, v)
        return [f"if not ({condition}): raise Odd"], converted

    def _expressions(self, schema: Schema | None, v: str) -> tuple[str, str]:
        if schema is None:
            return "False", ""  # values of several types: for the patient one
        leaf = self.leaves.leaf(schema)
        if leaf is None:
            function, changes = self._function(schema)
            condition = "True" if changes else f"{function}({v}) is {v}"
            converted = f"{function}({v})" if changes else ""
        else:
            condition, converted = leaf.condition.format(v=v), leaf.convert.format(v=v)
        if self._null_passes(schema):
            condition = f"({v} is None or ({condition}))"
            converted = f"(None if {v} is None else {converted})" if converted else ""
        return condition, converted

    def _null_passes(self, schema: Schema) -> bool:
        return schema.optional and (schema.default is None or not self.replace_null)

    def _function(self, schema: Schema) -> tuple[str, bool]:
        name = f"f{len(self.functions)}"
        at = len(self.functions)
        self.functions.append("")  # the number is taken; children come behind
        parts = {Type.STRUCT: self._struct, Type.ARRAY: self._array, Type.MAP: self._map}[schema.type]
        body, converted = parts(schema, "p")
        lines = [f"def {name}(p):", *(f" {line}" for line in body), f" return {converted or 'p'}"]
        # children are called when the function runs, so their place in the source does not matter
        self.functions[at] = "\n".join(lines)
        return name, bool(converted)

    def _struct(self, schema: Schema, v: str) -> tuple[list[str], str]:
        lines = [f"if type({v}) is not dict or len({v}) != {len(schema.fields)}: raise Odd"]
        conditions, members, changes = [], [], False
        for field in schema.fields:
            local = f"{v}{field.index}"
            lines.append(f"{local} = {v}[{field.name!r}]")
            condition, converted = self._expressions(field.schema, local)
            conditions.append(condition)
            members.append(f"{field.name!r}: {converted or local}")
            changes = changes or bool(converted)
        if conditions:
            lines.append(f"if not ({' and '.join(conditions)}): raise Odd")
        return lines, "{" + ", ".join(members) + "}" if changes else ""

    def _array(self, schema: Schema, v: str) -> tuple[list[str], str]:
        condition, converted = self._expressions(values_of(schema), "x")
        lines = [f"if type({v}) is not list: raise Odd", f"for x in {v}:", f" if not ({condition}): raise Odd"]
        return lines, f"[{converted} for x in {v}]" if converted else ""

    def _map(self, schema: Schema, v: str) -> tuple[list[str], str]:
        keys, values = keys_of(schema), values_of(schema)
        key_condition, key = self._expressions(keys, "k")
        condition, converted = self._expressions(values, "x")
        check = f" if not ({key_condition} and {condition}): raise Odd"
        if keys is not None and keys.type is Type.STRING:
            lines = [f"if type({v}) is not dict: raise Odd", f"for k, x in {v}.items():"]
            lines += [" if type(k) is not str: raise Odd", check]
            return lines, f"{{k: {converted} for k, x in {v}.items()}}" if converted else ""
        if self.leaves.pairs_in:
            pair = [f"for e in {v}:", " if type(e) is not list: raise Odd", " k, x = e"]
            lines = [f"if type({v}) is not list: raise Odd", *pair, check]
            return lines, f"{{{key or 'k'}: {converted or 'x'} for k, x in {v}}}"
        lines = [f"if type({v}) is not dict: raise Odd", f"for k, x in {v}.items():", check]
        return lines, f"[[{key or 'k'}, {converted or 'x'}] for k, x in {v}.items()]"


def bounded(kind: str, low: float, high: float) -> str:
    """The condition for a number of exactly this Python type within these bounds, inclusive; refuses NaN."""
    return f"type({{v}}) is {kind} and {low!r} <= {{v}} <= {high!r}"


WIDTHS: Mapping[Type, int] = {Type.INT8: 8, Type.INT16: 16, Type.INT32: 32, Type.INT64: 64}
LARGEST_FLOAT64 = 1.7976931348623157e308
#: the largest double that rounds to a finite float32
LARGEST_FLOAT32 = 3.4028235677973362e38


def plain_leaf(schema: Schema) -> Leaf | None:
    """Values whose JSON is themselves: integers, doubles, booleans, strings."""
    if schema.type in WIDTHS:
        limit = 1 << (WIDTHS[schema.type] - 1)
        return Leaf(bounded("int", -limit, limit - 1))
    if schema.type is Type.FLOAT64:
        return Leaf(bounded("float", -LARGEST_FLOAT64, LARGEST_FLOAT64))
    if schema.type is Type.BOOLEAN:
        return Leaf("type({v}) is bool")
    return Leaf("type({v}) is str") if schema.type is Type.STRING else None
