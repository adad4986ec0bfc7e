"""Java's serialised `HashMap<byte[], byte[]>`: the layout of `offset.storage.file.filename` (spec §15.8).

This one shape alone is read; no class is ever looked up. Source: Java Object Serialization Specification, 6.4;
FileOffsetBackingStore.java.
"""

import struct
from collections.abc import Mapping

HEAD = (
    b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16`\xd1\x03\x00\x02"
    b"F\x00\nloadFactorI\x00\tthresholdxp"
)
ARRAY_CLASS = b"r\x00\x02[B\xac\xf3\x17\xf8\x06\x08T\xe0\x02\x00\x00xp"
NULL, REFERENCE, ARRAY, BLOCK, END = b"p", b"q", b"u", b"w\x08", b"x"
FIRST_HANDLE = 0x7E0000
ARRAY_CLASS_HANDLE = FIRST_HANDLE + 2  # after HashMap's class and the map itself
LOAD_FACTOR = 0.75
LEAST_CAPACITY = 16


class NoJavaMapError(ValueError):
    """The bytes are not of this shape; says what was expected where."""


def dump(entries: Mapping[bytes, bytes | None]) -> bytes:
    """Give the bytes that Java writes for a map with these entries in this order."""
    capacity = LEAST_CAPACITY
    while len(entries) > capacity * LOAD_FACTOR:
        capacity *= 2
    parts = [HEAD, struct.pack(">fi", LOAD_FACTOR, int(capacity * LOAD_FACTOR))]
    parts.append(BLOCK + struct.pack(">ii", capacity, len(entries)))
    class_of = ARRAY_CLASS
    for pair in entries.items():
        for data in pair:
            if data is None:
                parts.append(NULL)
            else:
                parts += (ARRAY, class_of, struct.pack(">i", len(data)), data)
                class_of = REFERENCE + struct.pack(">I", ARRAY_CLASS_HANDLE)
    parts.append(END)
    return b"".join(parts)


def load(data: bytes) -> dict[bytes, bytes | None]:
    """Read a map, in its order. Raises NoJavaMapError."""
    reader = _Reader(data)
    reader.expect(HEAD, "the head of a serialised java.util.HashMap")
    reader.take(8, "load factor and threshold")
    reader.expect(BLOCK, "the block of capacity and size")
    _, size = struct.unpack(">ii", reader.take(8, "capacity and size"))
    found: dict[bytes, bytes | None] = {}
    for _ in range(size):
        key, value = reader.array(), reader.array()
        if key is None:
            raise NoJavaMapError(f"the key that ends before byte {reader.at} is null")
        found[key] = value
    reader.expect(END, "the end of the map")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._handles: list[bytes | None] = []  # arrays, None: the class of arrays

    def take(self, count: int, what: str) -> bytes:
        taken = self._data[self.at : self.at + count]
        if count < 0 or len(taken) < count:
            raise NoJavaMapError(f"it ends at byte {len(self._data)}, within {what}")
        self.at += count
        return taken

    def expect(self, wanted: bytes, what: str) -> None:
        found = self._data[self.at : self.at + len(wanted)]
        if found != wanted and wanted.startswith(found):
            raise NoJavaMapError(f"it ends at byte {len(self._data)}, within {what}")
        if found != wanted:
            raise NoJavaMapError(f"byte {self.at} does not begin {what}")
        self.at += len(wanted)

    def array(self) -> bytes | None:
        kind = self.take(1, "a key or value")
        if kind == NULL:
            return None
        if kind == REFERENCE:
            return self._known()
        if kind != ARRAY:
            raise NoJavaMapError(f"byte {self.at - 1} does not begin a byte array")
        if self._data[self.at : self.at + 1] == REFERENCE:
            self.at += 1
            if int.from_bytes(self.take(4, "a reference")) != ARRAY_CLASS_HANDLE:
                raise NoJavaMapError(f"byte {self.at - 4} refers to something that is not the class of byte arrays")
        else:
            self.expect(ARRAY_CLASS, "the class of byte arrays")
            self._handles.append(None)
        length = int.from_bytes(self.take(4, "the length of a byte array"), signed=True)
        data = self.take(length, "a byte array")
        self._handles.append(data)
        return data

    def _known(self) -> bytes:
        """An array that was written before, referred to by its handle."""
        at = int.from_bytes(self.take(4, "a reference")) - ARRAY_CLASS_HANDLE
        known = self._handles[at] if 0 <= at < len(self._handles) else None
        if known is None:
            raise NoJavaMapError(f"byte {self.at - 4} refers to something that is no byte array")
        return known
