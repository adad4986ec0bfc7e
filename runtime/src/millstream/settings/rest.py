"""Settings of the REST server. Source: RestServerConfig.java, Kafka 4.3."""

import re
from collections.abc import Sequence

from millstream.settings.tls import LOW, TlsConfig
from millstream_api.config import key, list_of, one_of, satisfies

LISTENER = re.compile(r"(.*)://\[?([0-9a-zA-Z\-%._:]*)\]?:(-?[0-9]+)", re.IGNORECASE)
HEADER_RULE = re.compile(r"(?i:set|add|setDate|addDate)\s+[^\s:]+\s*:.*", re.DOTALL)
QUOTED_ITEM = re.compile(r'\s*(?:"([^"]*)"|([^,"]*))\s*(?:,|$)')


def wrong_listener(url: str) -> str | None:
    """Say why a URL cannot be listened on; None: it can."""
    match = LISTENER.fullmatch(url)
    if match is None:
        return f"Listener {url!r} doesn't have the right format (protocol://hostname:port)."
    if match[1].lower() not in ("http", "https"):
        return f'Listener protocol must be either "http" or "https", and is {match[1]!r} in {url!r}.'
    if not 0 <= int(match[3]) <= 65535:
        return f"Port {match[3]} in {url!r} is not between 0 and 65535."
    return None


def _wrong_listeners(urls: Sequence[str] | None) -> str | None:
    if not urls:
        return "At least one listener is needed, such as http://:8083"
    return next(filter(None, map(wrong_listener, urls)), None)


def header_rules(text: str) -> list[str]:
    """Split `response.http.headers.config` at commas outside quotes; quotes are taken off, blank rules left out."""
    found = [(quoted or bare).strip() for quoted, bare in QUOTED_ITEM.findall(text)]
    return [rule for rule in found if rule]


def _wrong_header_rules(text: str | None) -> str | None:
    wrong = [rule for rule in header_rules(text or "") if not HEADER_RULE.fullmatch(rule)]
    return f"{wrong[0]!r} is not [set|add|setDate|addDate] [name]:[value]" if wrong else None


LISTENERS = satisfies(
    _wrong_listeners, "List of comma-separated URLs, ex: http://localhost:8080,https://localhost:8443."
)
HEADER_RULES = satisfies(
    _wrong_header_rules,
    "Comma-separated header rules, where each header rule is of the form '[action] [header name]:[header value]'"
    " and optionally surrounded by double quotes if any part of a header rule contains a comma",
)


class RestConfig(TlsConfig):
    """What the REST server needs to know."""

    listeners: list[str] = key(
        ["http://:8083"],
        importance=LOW,
        valid=LISTENERS,
        doc="URLs that REST listens on, comma separated, http or https.",
    )
    rest_advertised_host_name: str | None = key(
        None, importance=LOW, doc="Host that other workers and statuses name for this one."
    )
    rest_advertised_port: int | None = key(
        None, importance=LOW, doc="Port that other workers and statuses name for this one."
    )
    rest_advertised_listener: str | None = key(None, importance=LOW, doc="Which listener others use: http or https.")
    access_control_allow_origin: str = key(
        "", importance=LOW, doc="Origins that browsers may call from (CORS); empty: none, * for all."
    )
    access_control_allow_methods: str = key(
        "", importance=LOW, doc="Methods that browsers may use (CORS); empty: GET, POST, HEAD."
    )
    response_http_headers_config: str = key(
        "",
        importance=LOW,
        valid=HEADER_RULES,
        doc="Rules of headers added to answers: [action] [name]:[value], comma separated.",
    )
    rest_extension_classes: list[str] = key(
        [], importance=LOW, valid=list_of(), doc="REST extensions, in the order in which they are registered."
    )
    admin_listeners: list[str] | None = key(
        None,
        importance=LOW,
        valid=list_of(null=True),
        doc="URLs that /admin listens on; unset: the listeners; empty: not at all.",
    )
    ssl_client_auth: str = key(
        "none",
        importance=LOW,
        valid=one_of("required", "requested", "none"),
        doc="Whether clients of REST must show a certificate.",
    )
