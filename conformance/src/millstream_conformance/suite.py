"""What every suite of the kit has: tests that may be waived by name and reason, and never replaced."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar, NoReturn

import pytest

from millstream_conformance.calling import CALLS, PATIENCE_S
from millstream_conformance.harness import load
from millstream_conformance.kinds import KINDS
from millstream_conformance.leftovers import as_it_was

KIT = "millstream_conformance"
NOT_APPLICABLE = "does not apply: "
"""How the kit's skips begin: there is nothing to install for them."""


class Capability(Enum):
    """What a plugin, or the outside it talks to, can do. Tests ask for a capability, never for a product's name.

    The value says it in words; the certificate quotes it for tests that are left out.
    """

    IDEMPOTENT = "a batch put twice is there once"
    TOMBSTONES = "a record without value and schema means something to the sink, or is passed over"
    CANCEL = "poll blocks in a call that only `cancel` ends, not `context.wait`"


class Conformance:
    """The base of all suites. A subclass outside the kit names the plugin and what the author claims of it.

    hook:          by which the plugin is registered; the certificate counts the suites of each.
    waived:        names of kit tests that are known to fail, each with its reason; they are strict expected
                   failures, so that a mended bug forces the waiver out.
    capabilities:  what the plugin claims; the tests of the others are skipped, and the certificate says so.
    patience_s:    how long a call of the plugin may take.

    Making a subclass that replaces a test of the kit, or waives one that there is not, raises TypeError. pytest makes
    one object for each test; what a method that the author overrides raises fails that test.
    """

    hook: ClassVar[str] = ""
    waived: ClassVar[Mapping[str, str]] = {}
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    patience_s: ClassVar[float] = PATIENCE_S

    @pytest.fixture(autouse=True)
    def _calls(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Each call of the plugin has its time, and the next test finds the process as it was."""
        CALLS.patience_s, CALLS.suite, CALLS.test = self.patience_s, type(self).__qualname__, request.node.name
        with as_it_was():
            yield
        CALLS.patience_s = PATIENCE_S

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _is_of_the_kit(cls):
            return
        for sentence in replacements(cls):
            raise TypeError(sentence)
        tests = kit_tests(cls)
        for name in cls.waived:
            if name not in tests:
                raise TypeError(f"{cls.__name__} waives {name!r}, which is no test of the kit")

    @classmethod
    def plugin_class(cls) -> type[Any]:
        """The class that is certified, imported when it is first asked for.

        Raises TypeError when the suite does not name one of its kind as `module:Class`, ImportError or AttributeError
        when there is none.
        """
        if cls.hook not in KINDS:
            raise TypeError(f"{cls.__name__} is no suite for a kind of plugin: derive it from {', '.join(_suites())}")
        kind = KINDS[cls.hook]
        target = getattr(cls, kind.attribute, None)
        if not isinstance(target, str) or ":" not in target:
            raise TypeError(
                f"{cls.__name__}.{kind.attribute} is {target!r}; name the class of the {kind.word}: 'module:Class'"
            )
        found = load(target)
        if not issubclass(found, kind.base):
            raise TypeError(f"{cls.__name__}.{kind.attribute}: {target} is no {kind.base.__name__}")
        return found

    def needs(self, capability: Capability) -> None:
        """Skip the test that calls this unless the plugin claims the capability: pytest's Skipped is raised."""
        if capability not in self.capabilities:
            does_not_apply(f"{capability.name} is not claimed ({capability.value})")


def does_not_apply(reason: str) -> NoReturn:
    """Skip the test that calls this: the plugin does not claim it, or has not what it is about."""
    pytest.skip(NOT_APPLICABLE + reason)


def kit_tests(cls: type) -> frozenset[str]:
    """Names of the tests that the kit has for this suite."""
    return frozenset(
        name for base in cls.__mro__ if _is_of_the_kit(base) for name in vars(base) if name.startswith("test_")
    )


def replacements(cls: type) -> Iterator[str]:
    """Say of each test of the kit that is not the kit's own any more, itself or by a base, what to do instead."""
    for name in sorted(kit_tests(cls)):
        owner = next(base for base in cls.__mro__ if name in vars(base))
        found = vars(owner)[name]
        if not _is_of_the_kit(owner) or getattr(found, "__module__", KIT).partition(".")[0] != KIT:
            by = "" if owner is cls else f", by its base {owner.__name__}"
            yield f"{cls.__name__} replaces {name}{by}; waive a test by name and reason in `waived` instead"


def _suites() -> list[str]:
    return [kind.suite for kind in KINDS.values()]


def _is_of_the_kit(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == KIT
