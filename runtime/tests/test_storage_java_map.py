import base64
import json
import struct
from pathlib import Path

import pytest

from millstream.storage.java_map import HEAD, NoJavaMapError, dump, load

GOLDEN = base64.b64decode(json.loads(Path(__file__).with_name("golden").joinpath("offsets-file.json").read_text()))


def test_a_file_of_the_java_worker_is_read():
    partition = '{"filename":"/var/lib/connect/dat/in.txt"}'
    assert load(GOLDEN) == {
        f'["from-properties",{partition}]'.encode(): b'{"position":35}',
        f'["from-map",{partition}]'.encode(): b'{"position":35}',
        f'["new",{partition}]'.encode(): None,
        f'["new2",{partition}]'.encode(): b'{"position":35}',
    }


def test_what_is_written_is_what_java_writes():
    assert dump(load(GOLDEN)) == GOLDEN


@pytest.mark.parametrize(("count", "capacity"), [(0, 16), (12, 16), (13, 32), (24, 32), (25, 64), (1000, 2048)])
def test_capacity_and_threshold_are_those_of_a_hash_map_that_has_grown(count, capacity):
    entries = {b"%d" % number: b"" for number in range(count)}
    data = dump(entries)
    assert struct.unpack_from(">fi", data, len(HEAD)) == (0.75, capacity * 3 // 4)
    assert struct.unpack_from(">ii", data, len(HEAD) + 10) == (capacity, count)
    assert load(data) == entries


def test_an_array_that_is_referred_to_again_is_read():
    one = dump({b"a": b"shared", b"b": b"x"})
    at = one.rindex(b"uq\x00~\x00\x02")
    assert load(one[:at] + b"q\x00~\x00\x04x") == {b"a": b"shared", b"b": b"shared"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"{}", "byte 0 does not begin the head of a serialised java.util.HashMap"),
        (GOLDEN[:-3], "it ends at byte"),
        (GOLDEN[:90], "it ends at byte 90, within"),
        (GOLDEN[:-1] + b"y", "does not begin the end of the map"),
        (GOLDEN.replace(b"\x04ur\x00\x02[B", b"\x04ur\x00\x02[C"), "does not begin the class of byte arrays"),
        (GOLDEN.replace(b"\x04ur", b"\x04sr"), "does not begin a byte array"),
        (GOLDEN.replace(b"uq\x00~\x00\x02", b"uq\x00~\x00\x01", 1), "not the class of byte arrays"),
        (dump({})[: len(HEAD) + 14] + b"\0\0\0\1pp", f"the key that ends before byte {len(HEAD) + 20} is null"),
    ],
)
def test_anything_else_is_refused_with_the_place(data, sentence):
    with pytest.raises(NoJavaMapError, match=sentence):
        load(data)


def test_an_array_of_negative_length_is_refused():
    whole = dump({b"k": b"v"})
    with pytest.raises(NoJavaMapError, match="within a byte array"):
        load(whole.replace(b"\x00\x00\x00\x01k", b"\xff\xff\xff\xffk"))
