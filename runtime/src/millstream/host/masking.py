"""What config providers gave never leaves a child: where it would be told, the `${…}` stands that it came from."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from millstream.host.channel import Settings
from millstream.settings.substitution import variables
from millstream_api import Problem

#: a shorter text is masked in sentences about its own setting alone: it may be a word of any other
TELLING = 4
#: words that are no secret, and that any text may hold
PLAIN = frozenset({"true", "false", "null", "none"})
AS_PRINTED = ("utf-8", "backslashreplace")


class Veil:
    """Hides what config providers gave this child, in whatever it tells: called with a text, gives it hidden.

    A plugin's error may hold it quoted or percent-encoded; those spellings are hidden too. Any thread may call it.
    """

    def __init__(self) -> None:
        self._hidden: Mapping[str, str] = {}
        self._in_bytes: Mapping[bytes, bytes] = {}
        self._printed: re.Pattern[bytes] | None = None

    @property
    def hides(self) -> bool:
        """Whether there is anything that it would hide."""
        return bool(self._hidden)

    def hide(self, given: Mapping[str, str]) -> None:
        """Hide these values from now on.   given: by the variable in whose place each stands."""
        spelled = {spelling: variable for variable, value in given.items() for spelling in _spellings(value)}
        if spelled.keys() - self._hidden.keys():
            known = {**self._hidden, **spelled}  # the longest first: one may be a part of another
            self._hidden = {text: known[text] for text in sorted(known, key=len, reverse=True)}
            self._in_bytes = {text.encode(*AS_PRINTED): put.encode(*AS_PRINTED) for text, put in self._hidden.items()}
            self._printed = re.compile(b"|".join(map(re.escape, self._in_bytes)))

    def __call__(self, text: str) -> str:
        for secret, variable in self._hidden.items():
            if secret in text:
                text = text.replace(secret, variable)
        return text

    def part(self, printed: bytes, is_last: bool = False) -> tuple[bytes, bytes]:
        """Give what may be told of something that is printed, hidden, and its end that may be the beginning of more.

        A secret that is printed in pieces is found once its last piece has come.   is_last: none comes any more.
        """
        if self._printed is None:
            return printed, b""
        told: list[bytes] = []
        at = 0
        while True:
            whole = self._printed.search(printed, at)
            open_at = len(printed) if is_last else min(_open_at(secret, printed, at) for secret in self._in_bytes)
            if whole is None or whole.start() >= open_at:  # it may be the beginning of a longer one
                return b"".join([*told, printed[at:open_at]]), printed[open_at:]
            told += [printed[at : whole.start()], self._in_bytes[whole[0]]]
            at = whole.end()


def _open_at(secret: bytes, printed: bytes, at: int) -> int:
    """Where, from `at` on, the beginning of a secret stands that what is printed ends with; its end: nowhere."""
    found = printed.find(secret[:1], max(len(printed) - len(secret) + 1, at))
    while found >= 0 and not secret.startswith(printed[found:]):
        found = printed.find(secret[:1], found + 1)
    return len(printed) if found < 0 else found


def _spellings(value: str) -> set[str]:
    """How a value may stand in a sentence; none of one that would be found everywhere."""
    whole = value.strip()
    quoted = {repr(whole)[1:-1], json.dumps(whole)[1:-1], quote(whole), quote(whole, safe=""), quote_plus(whole)}
    return {each for each in {whole, *quoted} if len(each) >= TELLING and whole.lower() not in PLAIN}


def masked_report(report: dict[str, Any], raw: Settings, resolved: Settings, veil: Veil) -> dict[str, Any]:
    """Put the `${…}` back into values and sentences of a ConfigInfos."""
    given = _given(raw, resolved)
    if not given:
        return report
    for each in report["configs"]:
        value = each["value"]
        if value is not None:
            value["errors"] = [veil(masked(sentence, value["name"], given)) for sentence in value["errors"]]
            if value["name"] in given and value["value"] != "[hidden]":
                value["value"] = raw[value["name"]]
    return report


def masked_problems(problems: Iterable[Problem], raw: Settings, resolved: Settings) -> list[Problem]:
    """Put the `${…}` back into sentences about settings."""
    given = _given(raw, resolved)
    return [Problem(setting, masked(sentence, setting, given)) for setting, sentence in problems]


def masked(sentence: str, setting: str, given: Mapping[str, tuple[str, str]]) -> str:
    for name, (secret, written) in given.items():
        if secret and (name == setting or len(secret) >= TELLING):
            sentence = sentence.replace(secret, written)
    return sentence


def _given(raw: Settings, resolved: Settings) -> dict[str, tuple[str, str]]:
    """setting -> (what it became, how it is written), of those that a provider had a part in."""
    return {
        name: (value, text)
        for name, text in raw.items()
        if text is not None and variables(text) and (value := resolved.get(name)) is not None and value != text
    }
