from typing import Any

import pytest

from millstream_api.errors import DataError
from millstream_api.logical import DATE, decimal
from millstream_api.projection import project
from millstream_api.schema import FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, OPTIONAL_STRING, STRING, Schema, Type

LADDER = [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64]


@pytest.mark.parametrize("low", range(6))
@pytest.mark.parametrize("high", range(6))
def test_numbers_widen_and_never_narrow(low: int, high: int) -> None:
    value: Any = 7 if low < 4 else 7.0
    if low > high:
        with pytest.raises(DataError, match=f"Schema type mismatch. source type: {LADDER[low].type.name}"):
            project(LADDER[low], value, LADDER[high])
    else:
        found = project(LADDER[low], value, LADDER[high])
        assert found == 7
        assert isinstance(found, int if high < 4 else float)


def test_an_int_becomes_the_float_of_the_right_width() -> None:
    assert project(INT32, 16_777_217, FLOAT32) == 16_777_216.0
    assert project(INT32, 16_777_217, FLOAT64) == 16_777_217.0


def test_structs_go_by_field_name() -> None:
    source = Schema.struct({"a": INT32, "gone": STRING, "n": OPTIONAL_STRING})
    target = Schema.struct(
        {
            "new": Schema(Type.INT32, default=5),
            "a": INT64,
            "left": OPTIONAL_STRING,
            "n": Schema(Type.STRING, default="none"),
        }
    )
    assert project(source, {"a": 1, "gone": "x"}, target) == {"new": 5, "a": 1, "left": None, "n": "none"}


def test_the_source_default_stands_for_a_missing_field() -> None:
    source = Schema.struct({"a": Schema(Type.INT32, default=3)})
    assert project(source, {}, Schema.struct({"a": INT64})) == {"a": 3}


def test_lists_and_maps_are_projected_by_element() -> None:
    assert project(Schema.array(INT8), [1, 2], Schema.array(FLOAT64)) == [1.0, 2.0]
    source, target = Schema.map(STRING, INT8), Schema.map(STRING, Schema(Type.INT64))
    assert project(source, {"k": 5}, target) == {"k": 5}
    assert project(OPTIONAL_STRING, None, Schema(Type.STRING, default="d")) == "d"
    assert project(OPTIONAL_STRING, None, OPTIONAL_STRING.replace(doc="x")) is None
    assert project(Schema.array(OPTIONAL_STRING), [None], Schema.array(OPTIONAL_STRING.replace(doc="x"))) == [None]


@pytest.mark.parametrize(
    ("source", "value", "target", "message", "path"),
    [
        (STRING, "x", INT8, "Schema type mismatch. source type: STRING and target type: INT8", ""),
        (DATE, 5, INT32, "Schema name mismatch. source name: org.apache.kafka.connect.data.Date and target", ""),
        (decimal(1), b"", decimal(2), "Schema parameters not equal. source parameters: {'scale': '1'}", ""),
        (OPTIONAL_STRING, "x", STRING, "Writer schema is optional, however, target schema does not provide", ""),
        (
            Schema.struct({}),
            {},
            Schema.struct({"a": INT8}),
            "Required field `a` is missing from source schema: Schema{STRUCT}",
            "a",
        ),
        (
            Schema.struct({"a": Schema.array(STRING)}),
            {"a": ["x"]},
            Schema.struct({"a": Schema.array(INT8)}),
            "Schema type mismatch.",
            "a[0]",
        ),
        (Schema.struct({"a": STRING}), {"a": "x"}, Schema.struct({"a": INT8}), "Error projecting a: ", "a"),
    ],
)
def test_what_cannot_be_projected_says_why_and_where(
    source: Schema, value: Any, target: Schema, message: str, path: str
) -> None:
    with pytest.raises(DataError) as caught:
        project(source, value, target)
    assert message in str(caught.value)
    assert caught.value.path == path


def test_the_value_given_stays_as_it_was() -> None:
    value = {"a": [1]}
    schema = Schema.struct({"a": Schema.array(INT8)})
    project(schema, value, Schema.struct({"a": Schema.array(INT64)}))
    assert value == {"a": [1]}
