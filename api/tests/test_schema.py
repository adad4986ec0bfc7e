import copy
import gc
import pickle
import threading
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream_api.errors import DataError
from millstream_api.logical import TIMESTAMP, decimal
from millstream_api.schema import (
    BYTES,
    FLOAT64,
    INT8,
    INT32,
    INT64,
    OPTIONAL_STRING,
    STRING,
    Field,
    Schema,
    Type,
)

texts = st.text(max_size=4)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "optional": st.booleans(),
        "name": st.none() | texts,
        "version": st.none() | st.integers(0, 9),
        "doc": st.none() | texts,
        "parameters": st.none() | st.dictionaries(texts, texts, max_size=2),
    },
)
plain = st.builds(
    lambda kind, given: Schema(kind, **given),
    st.sampled_from([kind for kind in Type if kind not in (Type.ARRAY, Type.MAP, Type.STRUCT)]),
    attributes,
)
names = st.text(min_size=1, max_size=3)
schemas = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.builds(lambda values, given: Schema.array(values, **given), inner, attributes),
        st.builds(lambda keys, values, given: Schema.map(keys, values, **given), inner, inner, attributes),
        st.builds(
            lambda fields, given: Schema.struct(fields, **given),
            st.dictionaries(names, inner, max_size=3),
            attributes,
        ),
    ),
    max_leaves=6,
)


def rebuilt(schema: Schema) -> Schema:
    keys, values = (part and rebuilt(part) for part in schema.element_schemas)
    fields = [(field.name, rebuilt(field.schema)) for field in schema.fields] if schema.type is Type.STRUCT else ()
    return Schema(
        schema.type,
        key_schema=keys,
        value_schema=values,
        fields=fields,
        optional=schema.optional,
        name=schema.name,
        version=schema.version,
        doc=schema.doc,
        parameters=schema.parameters,
        default=schema.default,
    )


@given(schemas)
def test_equal_schemas_are_one_object_also_after_pickling_and_copying(schema: Schema) -> None:
    assert rebuilt(schema) is schema
    assert pickle.loads(pickle.dumps(schema)) is schema  # noqa: S301 - our own bytes
    assert copy.deepcopy(schema) is schema
    assert copy.copy(schema) is schema
    assert schema.replace() is schema


@given(schemas, schemas)
def test_schemas_that_differ_in_anything_are_different_objects(one: Schema, other: Schema) -> None:
    assert (one is other) == (told(one) == told(other))


def told(schema: Schema) -> Any:
    parts = tuple(part and told(part) for part in schema.element_schemas)
    fields = [(field.name, told(field.schema)) for field in schema.fields] if schema.type is Type.STRUCT else ()
    return (
        *(schema.type, schema.optional, schema.name, schema.version, schema.doc),
        *(dict(schema.parameters or {}), parts, fields),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"optional": True},
        {"name": "n"},
        {"version": 2},
        {"doc": "d"},
        {"parameters": {"a": "b"}},
        {"default": 5},
        {"default": 0},
    ],
)
def test_each_attribute_makes_another_schema(changes: Any) -> None:
    changed = INT32.replace(**changes)
    assert changed is not INT32
    assert changed != INT32
    assert changed is Schema(Type.INT32, **changes)
    assert pickle.loads(pickle.dumps(changed)) is changed  # noqa: S301 - our own bytes


def test_defaults_are_equal_as_java_holds_them_equal() -> None:
    zero = Schema(Type.FLOAT64, default=0.0)
    assert Schema(Type.FLOAT64, default=-0.0) is not zero
    nan = float("nan")
    assert Schema(Type.FLOAT64, default=nan) is Schema(Type.FLOAT64, default=float("nan"))
    assert decimal(1, default=Decimal("1.0")) is not decimal(1, default=Decimal("1.00"))
    struct = {"a": 1, "b": [1, 2]}
    of = {"a": INT32, "b": Schema.array(INT8)}
    assert Schema.struct(of, default=struct) is Schema.struct(of, default={"b": [1, 2], "a": 1})


def test_a_default_is_kept_as_it_was_given() -> None:
    given = [1]
    schema = Schema.array(INT8, default=given)
    given.append(2)
    assert schema.default == [1]


def test_no_parameters_are_none_and_their_order_does_not_count() -> None:
    assert Schema(Type.STRING, parameters={}) is STRING
    assert STRING.parameters is None
    assert Schema(Type.STRING, parameters={"a": "1", "b": "2"}) is Schema(Type.STRING, parameters={"b": "2", "a": "1"})


def test_a_schema_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match=r"schema\.replace\(optional="):
        INT32.optional = True  # type: ignore[misc]
    with pytest.raises(AttributeError, match="stays"):
        del INT32.name
    with pytest.raises(TypeError):
        decimal(2).parameters["scale"] = "3"  # type: ignore[index]


def test_a_schema_nobody_needs_is_let_go() -> None:
    from millstream_api.schema import _interned

    schema = Schema(Type.INT8, doc="for nobody")
    assert schema in list(_interned.values())
    del schema
    gc.collect()
    assert not [known for known in list(_interned.values()) if known.doc == "for nobody"]


def test_threads_that_make_equal_schemas_get_one_object() -> None:
    barrier = threading.Barrier(8)
    made: list[list[Schema]] = []

    def make() -> None:
        barrier.wait()
        made.append([Schema(Type.INT16, doc=f"of all {number}") for number in range(200)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len({id(schema) for schema in column}) == 1 for column in zip(*made, strict=True))


def test_a_struct_has_its_fields_in_order_and_by_name() -> None:
    schema = Schema.struct([("b", STRING), ("a", INT64)], name="com.acme.Order")
    assert schema.fields == (Field("b", 0, STRING), Field("a", 1, INT64))
    assert schema.field("a") == Field("a", 1, INT64)
    assert schema.field("c") is None
    assert schema is Schema(Type.STRUCT, fields={"b": STRING, "a": INT64}, name="com.acme.Order")
    assert schema is Schema.struct(schema.fields, name="com.acme.Order")
    assert schema is not Schema.struct([("a", INT64), ("b", STRING)], name="com.acme.Order")
    assert schema.replace(fields=schema.fields[:1]) is Schema.struct({"b": STRING}, name="com.acme.Order")
    assert repr(schema) == "Schema{com.acme.Order:STRUCT}"
    assert repr(INT8) == "Schema{INT8}"
    assert f"{Type.INT8}" == "INT8"
    assert Type.INT8.value == "int8"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Schema("int32"), "Invalid schema: type is 'int32', where a member of Type would be right"),
        (lambda: Schema(Type.INT32, optional=1), "Invalid INT32 schema: optional is 1, where bool would be right"),
        (lambda: Schema(Type.INT32, version=True), "version is True, where int would be right"),
        (lambda: Schema(Type.INT32, name=5), "name is 5, where str would be right"),
        (lambda: Schema(Type.INT32, parameters={"a": 1}), "Schema parameters must have string values."),
        (lambda: Schema(Type.INT32, optionl=True), "there is no attribute 'optionl'; there are default, doc, name"),
        (lambda: Schema(Type.INT32, default="x"), "Invalid default value for Schema{INT32}: Invalid object for"),
        (lambda: Schema(Type.INT8, default=128), "an int from -128 to 127 would be right"),
        (lambda: Schema(Type.INT32, fields={"a": INT8}), "Cannot create fields on type INT32"),
        (lambda: Schema.struct([("a", INT8), ("a", INT8)]), "Cannot create field because of field name duplication a"),
        (lambda: Schema.struct([("", INT8)]), "fieldName cannot be null."),
        (lambda: Schema.struct([(None, INT8)]), "fieldName cannot be null."),
        (lambda: Schema.struct({"a": None}), "fieldSchema for field a cannot be null."),
        (lambda: Schema.array(None), "Invalid ARRAY schema: its element schema cannot be null"),
        (lambda: Schema.map(None, INT8), "Invalid MAP schema: its key schema cannot be null"),
        (lambda: Schema.map(INT8, None), "Invalid MAP schema: its value schema cannot be null"),
        (lambda: Schema(Type.ARRAY, value_schema=5), "value_schema is 5, where a Schema would be right"),
        (lambda: Schema(Type.ARRAY, key_schema=INT8), "only MAP has a key_schema"),
        (lambda: Schema(Type.INT8, value_schema=INT8), "only MAP or ARRAY has a value_schema"),
        (lambda: INT8.fields, "Cannot list fields on non-struct type"),
        (lambda: INT8.field("a"), "Cannot look up fields on non-struct type"),
        (lambda: Schema.array(INT8).key_schema, "Cannot look up key schema on non-map type"),
        (lambda: STRING.value_schema, "Cannot look up value schema on non-array and non-map type"),
        (lambda: Schema(Type.ARRAY).value_schema, "says nothing of its elements"),
    ],
)
def test_what_is_no_schema_is_refused_with_a_sentence(build: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        build()
    assert message.rstrip(".") in str(caught.value)


def test_a_wrong_default_says_where_it_is_wrong() -> None:
    with pytest.raises(DataError) as caught:
        Schema.struct({"a": Schema.array(INT8)}, default={"a": [1, 500]})
    assert caught.value.path == "a[1]"


def test_parts_of_arrays_and_maps_are_found() -> None:
    of = Schema.map(STRING, Schema.array(TIMESTAMP))
    assert of.key_schema is STRING
    assert of.value_schema.value_schema is TIMESTAMP
    assert of.element_schemas == (STRING, Schema.array(TIMESTAMP))
    assert BYTES.element_schemas == (None, None)
    assert OPTIONAL_STRING.optional is True
    assert FLOAT64.default is None
