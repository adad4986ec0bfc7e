"""Source offsets in their topic: Java's bytes, and what is no offset."""

import logging
from collections.abc import Iterator

import pytest
from storage_bench import Log, commit

from millstream.errors import DataError
from millstream.storage.offsets import normalised


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.close()


def test_offsets_are_stored_in_javas_bytes_and_read_back(log: Log) -> None:
    store = log.offsets()
    partition = {"filename": "/tmp/in.txt"}
    commit(log, store.rows("local-file-source", [(partition, {"position": 42})]))
    assert log.stored("offsets") == {'["local-file-source",{"filename":"/tmp/in.txt"}]': '{"position":42}'}
    assert store.read("local-file-source", [partition, {"filename": "other"}]) == [{"position": 42}, None]
    assert store.read("someone-else", [partition]) == [None]
    ends = log.admin.end_offsets([])
    assert ends == {}


def test_a_partition_that_java_wrote_in_another_order_keeps_its_key_bytes(log: Log) -> None:
    javas = '["go",{"a":null,"b":1,"task":"0","t":true,"f":1.5}]'
    log.write("offsets", (javas, '{"n":5}'))
    store = log.offsets()
    ours = {"f": 1.5, "t": True, "task": "0", "b": 1, "a": None}
    assert store.read("go", [ours]) == [{"n": 5}]
    assert store.rows("go", [(ours, None)]).keys == [javas.encode()]
    commit(log, store.rows("go", [(ours, None)]))
    assert store.read("go", [ours]) == [None]
    assert store.all("go") == []
    assert store.rows("go", [(ours, {"n": 6})]).keys == [javas.encode()]  # a tombstone keeps the spelling


def test_numbers_and_booleans_of_equal_value_are_different_partitions(log: Log) -> None:
    store = log.offsets()
    commit(log, store.rows("c", [({"p": 1}, {"o": 1}), ({"p": 1.0}, {"o": 2}), ({"p": True}, {"o": 3})]))
    assert store.read("c", [{"p": True}, {"p": 1.0}, {"p": 1}]) == [{"o": 3}, {"o": 2}, {"o": 1}]


def test_all_offsets_of_a_connector_are_listed(log: Log) -> None:
    log.write("offsets", ('["a-b",{"p":1}]', '{"o":1}'), ('["a",{"p":2}]', '{"o":2.5}'), ('["a",null]', '{"o":3}'))
    assert log.offsets().all("a") == [({"p": 2}, {"o": 2.5})]


def test_bytes_are_base64_and_a_null_partition_is_legal(log: Log) -> None:
    store = log.offsets()
    commit(log, store.rows("c", [(None, {"b": b"\x00\xff"})]))
    assert store.read("c", [None]) == [{"b": "AP8="}]


def test_keys_that_are_no_offsets_are_passed_over_with_a_warning(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.write(
        "offsets", ("{", "1"), ('["c"]', "1"), ('["c",5]', "1"), ('["c",{"p":[1]}]', "{}"), ('["c",{}]', '{"o":1}')
    )
    assert log.offsets().all("c") == [({}, {"o": 1})]
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sorted(text.removeprefix("Ignoring a key ") for text in texts) == [
        "in the stored offsets of 'offsets' that is not [connector, partition]",
        "in the stored offsets of 'offsets' whose partition is no object",
        "in the stored offsets of 'offsets': Offsets may only contain primitive types as values, but field p contains "
        "ARRAY; they are None, bool, int, float, str and bytes",
        "that is not JSON in the stored offsets of 'offsets'",
    ]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({1: 2}, "Offsets may only use String keys"),
        ({"f": [1]}, "Offsets may only contain primitive types as values, but field f contains ARRAY"),
        ({"f": {}}, "^Offsets may only contain primitive types as values, but field f contains MAP"),
        ([], "Offsets must be specified as a Map"),
        ({"f": 2**63}, "integers of 64 bits, but field f"),
    ],
)
def test_an_offset_that_is_not_json_clean_is_refused(log: Log, place: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        log.offsets().rows("c", [({"p": 1}, place)])  # type: ignore[list-item]


def test_a_stored_offset_that_is_not_json_says_what_to_do(log: Log) -> None:
    log.write("offsets", ('["c",{}]', "x"), ('["c",{"p":1}]', "5"))
    store = log.offsets()
    with pytest.raises(DataError, match=r"is not JSON: .*; reset the connector's offsets"):
        store.read("c", [{}])
    with pytest.raises(DataError, match="is not a JSON object"):
        store.read("c", [{"p": 1}])


def test_a_patched_offset_is_normalised_as_javas_hash_map() -> None:
    assert list(normalised({"topic": 1, "file": b"\x00", "name": 2.0}) or {}) == ["file", "name", "topic"]
    assert normalised(None) is None
