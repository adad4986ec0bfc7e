"""Batches survive their encoding, and what is no batch is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.broker.embedded.batches import Rows, decode, encode
from millstream.errors import BrokerError

CELL = st.none() | st.binary(max_size=40)
HEADERS = st.lists(st.tuples(st.text(max_size=5), CELL), max_size=3).map(tuple)


@st.composite
def batches(draw: st.DrawFn) -> Rows:
    count = draw(st.integers(1, 12))

    def column(cells: st.SearchStrategy) -> list | None:  # type: ignore[type-arg]
        return draw(st.none() | st.lists(cells, min_size=count, max_size=count))

    values = draw(st.lists(CELL, min_size=count, max_size=count))
    return Rows(values, column(CELL), column(st.integers(-(2**63), 2**63 - 1)), column(HEADERS))


@pytest.mark.timeout(180)
@given(batches())
def test_what_is_encoded_is_decoded(rows: Rows) -> None:
    found = decode(encode(rows), len(rows.values))
    assert list(found.values) == list(rows.values)
    assert found.keys == rows.keys
    assert (found.timestamps is None) == (rows.timestamps is None)
    assert list(found.timestamps or ()) == list(rows.timestamps or ())
    assert found.headers == rows.headers


@pytest.mark.timeout(180)
@given(batches(), st.data())
def test_a_batch_that_was_cut_is_refused(rows: Rows, data: st.DataObject) -> None:
    blob = encode(rows)
    with pytest.raises(BrokerError, match="is not readable"):
        decode(blob[: data.draw(st.integers(0, len(blob) - 1))], len(rows.values))


@pytest.mark.parametrize(("length", "end"), [(4, 6), (8, 9)])
def test_a_cut_batch_is_refused_with_what_it_lacks(length: int, end: int) -> None:
    blob = encode(Rows([b"abc"], None, None, None))
    with pytest.raises(BrokerError, match=f"a column would end at byte {end}, and it has {length}"):
        decode(blob[:length], 1)


def test_a_batch_of_a_later_format_is_refused_by_number() -> None:
    with pytest.raises(BrokerError, match="a batch of 1 rows is not readable: its format is"):
        decode(b"\x09\x00\x00\x00\x00\x00", 1)
