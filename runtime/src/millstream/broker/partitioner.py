"""Which partition a row goes to: Java's default (BuiltInPartitioner.java, Utils.murmur2)."""

import struct
from functools import lru_cache

SEED = 0x9747B28C
M = 0x5BD1E995
MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned; Java shows the same bits as a signed number (spec §15.6)."""
    length = len(data)
    whole = length & ~3
    h = SEED ^ length
    for k in struct.unpack(f"<{whole // 4}I", data[:whole]):
        k = k * M & MASK
        k ^= k >> 24
        h = (h * M & MASK) ^ (k * M & MASK)
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * M & MASK
    h ^= h >> 13
    h = h * M & MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key among `partitions` of a topic."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
