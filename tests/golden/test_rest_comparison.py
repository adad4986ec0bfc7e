"""The comparison itself: any one field of a recorded answer changed, and it says so. Pure: no worker runs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from golden.altering import changed, others
from golden.pinning import DIFFERENCES, is_listed, moved, of_rest, pin, pins
from golden.rest.comparing import ABSENT, DOCUMENTATION, differences, leaves
from golden.rest.differing import Listed, read_list
from golden.rest.recording import Answer, Exchange, Here, read


@pytest.fixture(scope="module")
def exchanges(goldens: Path) -> list[Exchange]:
    return read(goldens)


@pytest.fixture
def listed() -> Listed:
    return read_list(DIFFERENCES)


def other_leaves(leaf: Any) -> list[Any]:
    """Of a documentation nothing is compared but that there is one."""
    return ["", None] if leaf == DOCUMENTATION else others(leaf)


def changed_answers(answer: Answer) -> Iterator[Answer]:
    yield replace(answer, status=answer.status + 1)
    for number, (name, value) in enumerate(answer.headers):
        rest = answer.headers[:number] + answer.headers[number + 1 :]
        yield replace(answer, headers=rest)
        yield replace(answer, headers=(*rest, (name, value + "x")))
        yield replace(answer, headers=(*rest, (f"{name}x", value)))
    yield replace(answer, headers=(*answer.headers, ("x-unheard", "of")))
    try:
        body = json.loads(answer.body)
    except ValueError:
        yield from (replace(answer, body=each) for each in other_leaves(answer.body) if isinstance(each, str))
    else:
        yield from (replace(answer, body=json.dumps(each)) for each in changed(body, other_leaves))


def parts(answer: Answer) -> Iterator[Answer]:
    """The answer; a long list of settings, as validation gives, in pieces: most are in a hundred answers alike."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    match body:
        case {"configs": [first, second, *more]}:
            yield replace(answer, body=json.dumps({**body, "configs": [first, second]}))
            yield from (Answer(200, (), json.dumps({"configs": [each]})) for each in more)
        case [{"importance": _}, {"importance": _}, *more]:
            yield replace(answer, body=json.dumps(body[:2]))
            yield from (Answer(200, (), json.dumps([each])) for each in more)
        case _:
            yield answer


def longer_and_shorter(answer: Answer) -> Iterator[Answer]:
    """A long list of settings in full, with one less, one twice, two in another order."""
    body = json.loads(answer.body)
    settings = body["configs"] if isinstance(body, dict) else body
    for other in (settings[:-1], settings[1:], [*settings, settings[0]], [*settings[1:], settings[0]]):
        yield replace(answer, body=json.dumps({**body, "configs": other} if isinstance(body, dict) else other))


def as_ours(answer: Answer) -> Answer:
    """An answer as it would come: with a sentence where the recording leaves it to us."""
    return replace(answer, body=answer.body.replace(DOCUMENTATION, "What it is."))


def test_each_recorded_answer_is_like_itself(exchanges: list[Exchange]) -> None:
    for exchange in exchanges:
        assert differences(leaves(exchange.answer), leaves(as_ours(exchange.answer))) == {}


@pytest.mark.timeout(300)
def test_changing_any_one_field_of_a_recorded_answer_is_noticed(exchanges: list[Exchange]) -> None:
    pieces = {part for exchange in exchanges for part in parts(exchange.answer)}
    assert len(pieces) >= len({exchange.answer for exchange in exchanges})
    tried = 0
    for piece in pieces:
        recorded = leaves(piece)
        for answer in changed_answers(piece):
            tried += 1
            assert differences(recorded, leaves(as_ours(answer))), answer
    assert tried > 10 * len(exchanges)


def test_a_header_or_a_member_that_stands_twice_is_noticed() -> None:
    once = Answer(200, (("vary", "Origin"),), '{"a": 1}')
    assert differences(leaves(once), leaves(replace(once, headers=(("vary", "Accept"), *once.headers))))
    assert differences(leaves(once), leaves(replace(once, body='{"a": 1, "a": 1}')))


def test_a_setting_more_or_less_in_a_long_list_is_noticed(exchanges: list[Exchange]) -> None:
    long = [exchange.answer for exchange in exchanges if len(list(parts(exchange.answer))) > 1]
    for answer in long:
        recorded = leaves(answer)
        assert all(differences(recorded, leaves(as_ours(other))) for other in longer_and_shorter(answer))
    assert len(long) > 80


def test_an_answer_that_is_listed_must_be_as_listed(exchanges: list[Exchange], listed: Listed) -> None:
    """A listed field that is as recorded, or has a third value, is a problem; as listed, it is none."""
    tried = 0
    for exchange in exchanges:
        for path, value in expected(listed, exchange).items():
            recorded = leaves(exchange.answer)
            tried += 1
            assert list(listed.unexpected(exchange.name, recorded, {}))
            third = {path: (recorded.get(path, ABSENT), "" if isinstance(value, dict) else ("third", value))}
            assert any(f" {path}: listed" in problem for problem in listed.unexpected(exchange.name, recorded, third))
    assert tried > 100


@pytest.mark.timeout(300)
def test_changing_any_one_field_of_a_recorded_answer_that_is_listed_is_noticed(
    exchanges: list[Exchange], listed: Listed
) -> None:
    """That any change is one of the leaves is another test."""
    pinned, tried = pins("rest"), 0
    answers = {each.name: leaves(each.answer) for each in exchanges if is_listed(each, listed)}
    assert {name: pin(recorded) for name, recorded in answers.items()} == pinned
    for digest, recorded in {pin(recorded): recorded for recorded in answers.values()}.items():
        for path in list(recorded)[:: 1 + len(recorded) // 300]:  # of a list of a hundred settings some
            tried += 1
            assert pin({**recorded, path: "another"}) != digest
            assert pin({each: value for each, value in recorded.items() if each != path}) != digest
    assert tried > 2_000


def test_a_listed_answer_that_was_recorded_anew_is_a_problem(exchanges: list[Exchange], listed: Listed) -> None:
    place, old = next((place, each) for place, each in enumerate(exchanges) if is_listed(each, listed))
    new = replace(old, answer=replace(old.answer, status=418))
    now = of_rest([*exchanges[:place], new, *exchanges[place + 1 :]], listed)
    assert moved(now, pins("rest")) == [f"{old.name}: was listed for another recorded answer"]
    assert moved({}, {"gone: step": "0"}) == ["gone: step: is not listed, and pinned"]


def expected(listed: Listed, exchange: Exchange) -> dict[str, Any]:
    fields = listed.expected(exchange.name, leaves(exchange.answer))
    return {path: value for path, value in fields.items() if value != ABSENT and "*" not in path}


def test_a_step_to_do_that_is_alike_is_a_problem(exchanges: list[Exchange], listed: Listed) -> None:
    for exchange in exchanges:
        if listed.is_to_do(exchange):
            assert listed.problems(exchange, as_ours(exchange.answer))


def test_what_differs_from_run_to_run_is_as_in_the_recordings() -> None:
    here = Here("/data/here", "127.0.0.1:4711")
    body = {
        "commit": "millstream-0.1.0",
        "kafka_cluster_id": "AAAAAAAAAAAAAAAAAAAAAQ",
        "trace": "a.B: /data/here/x\n\tat c",
        "worker_id": "127.0.0.1:4711",
    }
    headers = (("date", "today"), ("location", "http://127.0.0.1:4711/connectors/x"))
    found = here.as_recorded(Answer(200, headers, json.dumps(body)))
    assert found.headers == (("location", "http://$WORKER1/connectors/x"),)
    assert json.loads(found.body) == {
        "commit": "$COMMIT",
        "kafka_cluster_id": "$CLUSTER",
        "trace": "a.B: $DATA/x\n$TRACE",
        "worker_id": "$WORKER1",
    }


@pytest.mark.parametrize("body", [{"commit": "abc"}, {"kafka_cluster_id": "short"}, {"last_modified": 5}])
def test_a_commit_a_cluster_and_a_moment_have_their_form(body: dict[str, Any]) -> None:
    found = Here("/data", "here:1").as_recorded(Answer(200, (), json.dumps(body)))
    assert json.loads(found.body) == body
