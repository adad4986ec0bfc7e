"""What config providers gave never leaves a child: where it would be told, the `${…}` stands that it came from."""

from collections.abc import Iterable, Mapping
from typing import Any

from millstream.host.channel import Settings
from millstream.settings.substitution import variables
from millstream_api import Problem

#: a shorter text is masked in sentences about its own setting alone: it may be a word of any other
TELLING = 4


def masked_report(report: dict[str, Any], raw: Settings, resolved: Settings) -> dict[str, Any]:
    """Put the `${…}` back into values and sentences of a ConfigInfos."""
    given = _given(raw, resolved)
    if not given:
        return report
    for each in report["configs"]:
        value = each["value"]
        if value is not None:
            value["errors"] = [masked(sentence, value["name"], given) for sentence in value["errors"]]
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
