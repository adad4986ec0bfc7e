"""What a value must be beyond its type: Java's validators, with their messages and their text in REST."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from millstream_api.config.text import Secret, invalid, java_text

__all__ = [
    *("Validator", "all_of", "at_least", "at_most_items", "between", "list_of", "no_control_characters"),
    *("non_empty", "non_empty_list", "non_null", "one_of", "one_of_ignoring_case", "satisfies", "valid_regex"),
]


class Validator:
    """Judges the parsed value of one setting; `str` of it says what is valid. Override `reason`, or `sentence`.

    Called whenever settings are parsed or validated; pure. What it raises, such as TypeError for a value of
    another type than it is made for, leaves `Config.parse` as it is. Source: ConfigDef.Validator.
    """

    def reason(self, value: Any) -> str | None:
        """Say why the value will not do; None: it will. The value is None where none was given or it cannot be parsed.

        The reason names no secret: it is shown. See the class for what it raises.
        """
        raise NotImplementedError(f"{type(self).__name__} must override reason or sentence")

    def sentence(self, name: str, value: Any) -> str | None:
        """Give the whole message: `Invalid value … for configuration …: ` and the reason; None: the value will do.

        Raises what `reason` raises. Source: ConfigDef.Validator.ensureValid, ConfigException.java.
        """
        reason = self.reason(value)
        return None if reason is None else invalid(name, value, reason)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return type(self).__name__


class _Check(Validator):
    def __init__(self, check: Callable[[Any], str | None], text: str) -> None:
        self.check = check
        self.text = text

    def reason(self, value: Any) -> str | None:
        return self.check(value.value if isinstance(value, Secret) else value)

    def __str__(self) -> str:
        return self.text


def satisfies(check: Callable[[Any], str | None], text: str, *, null: bool = False) -> Validator:
    """Make a validator of a function that gives the reason why a value will not do, or None.

    check:  gets the parsed value; of a Secret the text, which it should not quote.
    text:   says what is valid, such as `an even number`.
    null:   whether it is asked about None, which is also what a value that cannot be parsed is; else None will do.

    Source: ConfigDef.LambdaValidator.
    """
    return _Check(check if null else lambda value: None if value is None else check(value), text)


def at_least(low: float) -> Validator:
    """Take numbers from `low` on; null is refused. Source: ConfigDef.Range.atLeast."""
    return _range(low, None)


def between(low: float, high: float) -> Validator:
    """Take numbers from `low` to `high`, both included; null is refused. Source: ConfigDef.Range.between."""
    return _range(low, high)


def _range(low: float, high: float | None) -> Validator:
    def check(value: Any) -> str | None:
        if value is None:
            return "Value must be non-null"
        if value < low:
            return f"Value must be at least {java_text(low)}"
        if high is not None and value > high:
            return f"Value must be no more than {java_text(high)}"
        return None

    return _Check(check, f"[{java_text(low)},...{'' if high is None else ',' + java_text(high)}]")


def one_of(*allowed: str) -> Validator:
    """Take one of these texts, in this case; null is refused. Source: ConfigDef.ValidString."""
    reason = f"String must be one of: {', '.join(allowed)}"
    return _Check(lambda value: None if value in allowed else reason, f"[{', '.join(allowed)}]")


def one_of_ignoring_case(*allowed: str) -> Validator:
    """Take one of these texts, in any case; null is refused. Source: ConfigDef.CaseInsensitiveValidString."""
    upper = [text.upper() for text in allowed]
    reason = f"String must be one of (case insensitive): {', '.join(upper)}"
    return _Check(
        lambda value: None if value is not None and value.upper() in upper else reason,
        f"(case insensitive) [{', '.join(upper)}]",
    )


def non_null() -> Validator:
    """Take anything but null. Source: ConfigDef.NonNullValidator."""
    return _Check(lambda value: "entry must be non null" if value is None else None, "non-null string")


def non_empty() -> Validator:
    """Take text that is not empty; null will do. Source: ConfigDef.NonEmptyString."""
    return _Check(lambda value: "String must be non-empty" if value == "" else None, "non-empty string")


def no_control_characters() -> Validator:
    """Take text that is not empty and has no ISO control characters, 0 to 31 and 127 to 159; null will do.

    Source: ConfigDef.NonEmptyStringWithoutControlChars.
    """

    def check(value: Any) -> str | None:
        if value is None:
            return None
        if value == "":
            return "String may not be empty"
        found = [str(code) for code in map(ord, value) if code < 0x20 or 0x7F <= code < 0xA0]
        if found:
            return f"String may not contain control sequences but had the following ASCII chars: {', '.join(found)}"
        return None

    return _Check(check, "non-empty string without ISO control characters")


def non_empty_list() -> Validator:
    """Take lists with at least one item; null is refused. Source: NonEmptyListValidator.java."""
    return _Check(lambda value: None if value else "Empty list", "non-empty list")


def at_most_items(count: int) -> Validator:
    """Take lists of at most this many items; null will do. Source: ConfigDef.ListSize.atMostOfSize."""

    def check(value: Any) -> str | None:
        return f"exceeds maximum list size of [{count}]." if value is not None and len(value) > count else None

    return _Check(check, f"List containing maximum of {count} elements")


def valid_regex() -> Validator:
    """Take text that is a regular expression of Python's `re`; null will do. Source: RegexValidator.java."""

    def check(value: Any) -> str | None:
        try:
            re.compile(value or "")
        except (re.error, OverflowError, RecursionError) as error:
            return f"Invalid regex: {error}"
        return None

    return _Check(check, "valid regex")


def list_of(*allowed: str, empty: bool = True, null: bool = False) -> Validator:
    """Take lists without duplicates and empty items, of these texts if any are named.

    empty, null:  whether an empty list, or none, will do.

    Source: ConfigDef.ValidList.
    """
    return _ListOf(allowed, empty, null)


class _ListOf(Validator):
    """Source: ConfigDef.ValidList of Kafka 4.3."""

    def __init__(self, allowed: Sequence[str], empty: bool, null: bool) -> None:
        self.item = one_of(*allowed) if allowed else None
        self.empty = empty
        self.null = null

    def sentence(self, name: str, value: Any) -> str | None:
        if value is None:
            return None if self.null else f"Configuration '{name}' values must not be null."
        if not value and not self.empty:
            return (
                f"Configuration '{name}' must not be empty. Valid values include: {self.item or 'any non-empty value'}"
            )
        if len(set(value)) != len(value):
            return f"Configuration '{name}' values must not be duplicated."
        if "" in value:
            return f"Configuration '{name}' values must not be empty."
        item = self.item
        return None if item is None else next(filter(None, (item.sentence(name, text) for text in value)), None)

    def __str__(self) -> str:
        return "" if self.item is None else str(self.item)


def all_of(*validators: Validator) -> Validator:
    """Take what all of these take; the first that refuses says why. Source: ConfigDef.CompositeValidator."""
    return _AllOf(validators)


class _AllOf(Validator):
    def __init__(self, validators: Sequence[Validator]) -> None:
        self.validators = validators

    def sentence(self, name: str, value: Any) -> str | None:
        return next(filter(None, (validator.sentence(name, value) for validator in self.validators)), None)

    def __str__(self) -> str:
        return ", ".join(map(str, self.validators))
