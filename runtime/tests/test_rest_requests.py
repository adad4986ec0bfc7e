"""What REST takes and refuses before anybody is asked."""

import errno
import socket
from collections.abc import Mapping

import pytest
from starlette.requests import Request

from millstream.errors import ConfigError, ConflictError, NotFoundError, PluginError, WorkerError
from millstream.identity import TargetState
from millstream.rest import bodies
from millstream.rest.errors import RestError, answer_error
from millstream.rest.gate import check_media_types
from millstream.rest.json import UnreadableError, native, read
from millstream.rest.listeners import Advertised, Listener, advertised_url, bind, parse_listener
from millstream.rest.security import header_rules
from millstream.settings.rest import RestConfig


def request(headers: Mapping[str, str], method: str = "POST") -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "path": "/connectors", "headers": raw, "query_string": b""})


BODY = {"Content-Length": "2"}
FORM = {**BODY, "Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "*/*"},
        {"Accept": "text/html, application/*;q=0.5"},
        {**BODY, "Content-Type": "application/json"},
        {**BODY, "Content-Type": "APPLICATION/JSON; charset=utf-8"},
        FORM,
    ],
)
def test_json_is_taken_and_from_curl_under_its_default_type_too(headers: Mapping[str, str]) -> None:
    check_media_types(request(headers))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (BODY, 415),
        ({"Transfer-Encoding": "chunked"}, 415),
        ({**BODY, "Content-Type": "text/plain"}, 415),
        ({**BODY, "Content-Type": "application/vnd.x+json"}, 415),
        ({**BODY, "Content-Type": ""}, 400),
        ({**FORM, "Origin": "http://evil.example"}, 415),
        ({**FORM, "Sec-Fetch-Site": "cross-site"}, 415),
        ({"Accept": "text/plain"}, 406),
        ({"Accept": "application/json;q=0"}, 406),
    ],
)
def test_other_types_and_a_browsers_form_are_refused(headers: Mapping[str, str], status: int) -> None:
    with pytest.raises(RestError) as refused:
        check_media_types(request(headers))
    assert refused.value.status == status


def test_scalars_in_settings_become_text_as_they_were_written() -> None:
    body = read(b'{"a": 1, "b": 1.50, "c": true, "d": null, "e": "x", "f": 1e3}')
    assert bodies.settings(body) == {"a": "1", "b": "1.50", "c": "true", "d": None, "e": "x", "f": "1e3"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b"\xff", "UTF-8"),
        (b"[1] x", "not JSON"),
        (b"[" * 100_000, "JSON"),
        (b'"\\uD83D"', "surrogate"),
    ],
)
def test_a_body_that_is_no_json_is_said_to_be_none(text: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        read(text)


def test_numbers_are_native_again_where_they_are_data() -> None:
    assert native(read(b'{"p": [1, 1.5, -2]}')) == {"p": [1, 1.5, -2]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "Cannot deserialize value: The body is an array"),
        (b'{"name": "x"}', 'no "config"'),
        (b'{"name": "x", "config": {"a": [1]}}', '"a" is an array; expected a text'),
        (b'{"name": {}, "config": {}}', '"name" is an object'),
        (b'{"name": "x", "config": {}, "bogus": 1}', 'Unrecognized field "bogus"'),
        (b'{"name": "x", "topic": "t", "connector.class": "C"}', '"name"; settings stand in "config"'),
        (b'{"name": "x", "config": {}, "initial_state": "SLEEPING"}', "expected one of RUNNING, PAUSED, STOPPED"),
    ],
)
def test_a_wrong_creation_is_the_clients_fault_and_is_told_what_would_be_right(body: bytes, said: str) -> None:
    with pytest.raises(RestError) as refused:
        bodies.create_request(read(body))
    assert refused.value.status == 400
    assert said in refused.value.message


def test_settings_in_the_form_of_a_creation_are_told_to_be_unwrapped() -> None:
    with pytest.raises(RestError) as refused:
        bodies.settings(read(b'{"name": "x", "config": {"a": "b"}}'))
    assert refused.value.status == 400
    assert refused.value.message.endswith('the settings stand in the body itself, without "config" around them')
    with pytest.raises(RestError) as refused:
        bodies.create_request(read(b'{"name": "x", "config": {"config": {"a": "b"}}}'))
    assert refused.value.message.endswith('the settings stand in "config" itself, without "config" around them')


def test_an_initial_state_may_be_written_in_any_case() -> None:
    made = bodies.create_request(read(b'{"name": "x", "config": {"a": "b"}, "initial_state": "stopped"}'))
    assert made.initial_state is TargetState.STOPPED


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "Partitions / offsets need to be provided"),
        (b'{"offsets": []}', "Partitions / offsets need to be provided"),
        (b'{"offsets": {}}', "Cannot deserialize value"),
        (b'{"offsets": [123]}', "Cannot construct instance"),
        (b'{"offsets": [{"partition": []}]}', "Cannot deserialize value"),
        (b'{"offsets": [{"partition": {}, "x": 1}]}', "Unrecognized field"),
    ],
)
def test_offsets_that_cannot_be_meant_are_refused(body: bytes, said: str) -> None:
    with pytest.raises((RestError, WorkerError)) as refused:
        bodies.offsets(read(body))
    assert said in str(refused.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("no"), 404),
        (ConflictError("there"), 409),
        (ConfigError({"a": "wrong"}), 400),
        (PluginError("unknown"), 400),
        (WorkerError("could not"), 500),
        (ZeroDivisionError("bug"), 500),
        (RestError(503, "later"), 503),
    ],
)
async def test_every_error_is_answered_as_json(error: Exception, status: int) -> None:
    answer = await answer_error(request({}), error)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert b'"error_code":%d' % status in bytes(answer.body)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_listeners_are_read_as_java_reads_them() -> None:
    assert parse_listener("HTTP://:8083") == Listener("http", "", 8083)
    assert parse_listener("https://[::1]:0") == Listener("https", "::1", 0)
    with pytest.raises(ConfigError, match="right format"):
        parse_listener("localhost:8083")
    with pytest.raises(ConfigError, match='either "http" or "https"'):
        parse_listener("ftp://x:1")


def test_a_taken_port_names_the_setting_and_what_to_do() -> None:
    taken = bind(Listener("http", "127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(WorkerError, match=rf"listeners\).*another worker use port {port}.*or 0 for any"):
        bind(Listener("http", "127.0.0.1", port))


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_the_body_of_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers(host: str) -> None:
    with (
        bind(Listener("http", host, 0)) as listening,
        socket.create_connection(("127.0.0.1", listening.getsockname()[1])),
        listening.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_advertised_url_is_the_first_http_listener_unless_told_otherwise() -> None:
    listeners = [Listener("https", "a", 1), Listener("http", "b", 2)]
    assert advertised_url(listeners, Advertised()) == "http://b:2/"
    assert advertised_url(listeners, Advertised(scheme="https")) == "https://a:1/"
    assert advertised_url(listeners, Advertised("h", 9, "HTTP")) == "http://h:9/"
    assert advertised_url([Listener("http", "::1", 2)], Advertised()) == "http://[::1]:2/"


def test_header_rules_are_read_and_a_wrong_one_is_named() -> None:
    rules = header_rules('set X-Frame-Options: DENY, "add Cache-Control: no-cache, no-store"')
    assert [(rule.name, rule.value, rule.add) for rule in rules] == [
        ("X-Frame-Options", "DENY", False),
        ("Cache-Control", "no-cache, no-store", True),
    ]
    spelled = "SET a: 1, ADD b: 2, setdate c: 3, adddate d: 4, SETDate e: 5"
    assert RestConfig.parse({"response.http.headers.config": spelled}).response_http_headers_config == spelled
    assert [(rule.name, rule.add, rule.dated) for rule in header_rules(spelled)] == [
        *(("a", False, False), ("b", False, False), ("c", False, False), ("d", True, False), ("e", False, True))
    ]
    with pytest.raises(ConfigError, match="not of the form"):
        header_rules("remove X: y")


def test_a_header_with_a_date_is_so_many_milliseconds_from_the_answer() -> None:
    [rule, more] = header_rules("setDate Expires: 3600000, addDate Expires: -1000")
    assert (rule.add, more.add, more.at(1_700_000_000_000)) == (False, True, "Tue, 14 Nov 2023 22:13:19 GMT")
    assert rule.at(1_700_000_000_000) == "Tue, 14 Nov 2023 23:13:20 GMT"
    with pytest.raises(ConfigError, match="needs a length in milliseconds"):
        header_rules("setDate Expires: tomorrow")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            errno.EADDRNOTAVAIL,
            "Is 'h' an address of this machine? Name one that is, or listen on all: listeners=http://0.",
        ),
        (
            socket.EAI_NONAME,
            "Is 'h' an address of this machine? Name one that is, or listen on all: listeners=http://0.",
        ),
        (errno.EACCES, "Ports below 1024 are the system's: choose another"),
        (errno.EADDRINUSE, "Does another worker use port 443? Choose another with listeners=http://h:<port>, or 0 for"),
    ],
)
def test_what_to_do_about_a_socket_depends_on_why_it_could_not_be_had(
    number: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> socket.socket:
        raise OSError(number, "as the system says it")

    monkeypatch.setattr(socket, "create_server", refused)
    with pytest.raises(WorkerError) as caught:
        bind(Listener("http", "h", 443))
    assert f"could not listen on 'http://h:443' (listeners): as the system says it. {said}" in str(caught.value)
