"""What every suite of the kit has: tests that may be waived by name and reason, and never replaced."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar

KIT = "millstream_conformance"


class Capability(Enum):
    """What a plugin, or the outside it talks to, can do. Tests ask for a capability, never for a product's name."""

    IDEMPOTENT = "a batch put twice is there once"
    ENDLESS = "the source makes records for ever, without being fed"
    TOMBSTONES = "a record without value and schema means something to the sink, or is passed over"


class Conformance:
    """The base of all suites.

    waived:        names of kit tests that are known to fail, each with its reason; they are strict expected
                   failures, so that a mended bug forces the waiver out.
    capabilities:  what the plugin claims; the tests of the others are skipped, and the certificate says so.
    """

    waived: ClassVar[Mapping[str, str]] = {}
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.partition(".")[0] == KIT:
            return
        kit_tests = {name for base in cls.__mro__[1:] if _is_of_the_kit(base) for name in vars(base)}
        for name in vars(cls):
            if name.startswith("test_") and name in kit_tests:
                raise TypeError(f"{cls.__name__} replaces {name}; waive a test by name and reason in `waived` instead")
        for name in cls.waived:
            if name not in kit_tests:
                raise TypeError(f"{cls.__name__} waives {name!r}, which is no test of the kit")


def _is_of_the_kit(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == KIT
