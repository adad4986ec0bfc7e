"""The exact parser: what Jackson reads, number by number."""

from decimal import Decimal

import pytest

from millstream_api import DataError
from millstream_json.parsing import MISSING, may_exceed_64_bits, node_type, parse


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"007", 7),
        (b"[-007, 1e007, 0.0070]", [-7, Decimal("1e7"), Decimal("0.0070")]),
        (b'{"a":"007 \\" 008"}', {"a": '007 " 008'}),
        (b'{"a":1} trailing', {"a": 1}),
        (b"1.10", Decimal("1.10")),
        ("\ufeff1".encode(), 1),
        ('"ü"'.encode("utf-16-be"), "ü"),
        ('"ü"'.encode("utf-32-le"), "ü"),
        (b"null", None),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'"\\uD83D\\uDE00"', "😀"),
    ],
)
def test_what_jackson_reads_is_read_exactly(data: bytes, value: object) -> None:
    assert repr(parse(data)) == repr(value)


@pytest.mark.parametrize("data", [b"", b"  ", b"\n\t"])
def test_nothing_is_neither_null_nor_an_error(data: bytes) -> None:
    assert parse(data) is MISSING
    assert node_type(parse(data)) == "MISSING"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{oops", "Expecting property name"),
        (b'"\xff\xfe"', "not UTF-8 at byte 1"),
        (b"NaN", "NaN is not JSON"),
        (b"5x", "'x' follows a number at character 1"),
        (b'["\\ud800"]', "half a surrogate pair"),
        (b'{"\\udc00":1}', "half a surrogate pair"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "4300"),
        (b'"a\nb"', "Invalid control character"),
        (b'{"a":', "Expecting value"),
    ],
)
def test_what_jackson_refuses_is_a_data_error_that_starts_as_javas(data: bytes, why: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(data)
    assert str(caught.value).startswith("Converting byte[] to Kafka Connect data failed due to serialization error: ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"9223372036854775807", True), (b'{"a":922337203685477580}', False), (b"0.1234567890123456789", True)],
)
def test_only_nineteen_digits_in_a_row_need_a_closer_look(text: bytes, expected: bool) -> None:
    assert may_exceed_64_bits(text) is expected


def test_node_types_have_jacksons_names() -> None:
    nodes = [None, True, 1, 1.5, Decimal(1), "", [], {}]
    names = ["NULL", "BOOLEAN", "NUMBER", "NUMBER", "NUMBER", "STRING", "ARRAY", "OBJECT"]
    assert [node_type(node) for node in nodes] == names
    assert repr(MISSING) == "MISSING"
