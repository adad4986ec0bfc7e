"""Java's hash of keys: the values of the specification."""

import pytest

from millstream.broker.partitioner import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("status-task-local-file-source-0", 842236109),
        ('["local-file-source",{"filename":"/tmp/in.txt"}]', -2098980141),
    ],
)
def test_the_hash_is_javas(key: str, signed: int) -> None:
    assert murmur2(key.encode()) == signed & 0xFFFFFFFF


def test_the_partition_is_javas() -> None:
    assert partition_of(b'["local-file-source",{"filename":"/tmp/in.txt"}]', 25) == 7
    assert partition_of(b'["local-file-source",{"filename":"test.txt"}]', 25) == 10
