"""What config providers gave is not told: the variable is."""

from typing import Any

from millstream.host.masking import Veil, masked_problems, masked_report
from millstream_api import Problem

RAW = {"url": "db://${vault:v:user}@host", "size": "${vault:v:size}", "name": "x", "left": "${none:v:k}"}
RESOLVED = {**RAW, "url": "db://hush@host", "size": "7"}


def report(name: str, value: str | None, *errors: str) -> dict[str, Any]:
    told = {"name": name, "value": value, "errors": list(errors), "recommended_values": [], "visible": True}
    return {"configs": [{"definition": None, "value": told}, {"definition": None, "value": None}]}


def told(report: dict[str, Any]) -> tuple[Any, list[str]]:
    value = report["configs"][0]["value"]
    return value["value"], value["errors"]


def test_a_value_is_told_as_it_is_written() -> None:
    assert told(masked_report(report("url", "db://hush@host"), RAW, RESOLVED, Veil())) == (RAW["url"], [])
    assert told(masked_report(report("name", "x"), RAW, RESOLVED, Veil())) == ("x", [])
    assert told(masked_report(report("url", "[hidden]"), RAW, RESOLVED, Veil())) == ("[hidden]", [])


def test_sentences_quote_the_variable_also_those_about_another_setting() -> None:
    wrong = "cannot reach db://hush@host"
    assert told(masked_report(report("name", "x", wrong), RAW, RESOLVED, Veil()))[1] == [f"cannot reach {RAW['url']}"]


def test_a_short_text_is_masked_where_its_own_setting_is_spoken_of() -> None:
    problems = [Problem("size", "7 is too few"), Problem("name", "at least 7 letters"), Problem("left", "nothing")]
    assert masked_problems(problems, RAW, RESOLVED) == [
        Problem("size", "${vault:v:size} is too few"),
        Problem("name", "at least 7 letters"),
        Problem("left", "nothing"),
    ]


def test_settings_without_variables_are_told_as_they_are() -> None:
    assert told(masked_report(report("name", "x", "x is taken"), {"name": "x"}, {"name": "x"}, Veil())) == (
        "x",
        ["x is taken"],
    )


def test_a_veil_hides_what_was_given_in_all_its_spellings_and_the_longest_first() -> None:
    veil = Veil()
    veil.hide({"${v:user}": "ada lovelace", "${v:short}": "ada", "${v:flag}": "true"})
    veil.hide({"${v:password}": "ada lovelace/1\n"})
    assert veil("ada lovelace/1, ada%20lovelace%2F1, ada+lovelace%2F1") == ", ".join(["${v:password}"] * 3)
    veil.hide({"${v:four}": "cafe", "${v:three}": "tea"})
    assert veil("cafe or tea") == "${v:four} or tea"
    assert veil("'ada lovelace' said ada, true") == "'${v:user}' said ada, true"
