"""What a source's settings promise and its connector can keep: exactly once, and where transactions end.

The connector's answers come from elsewhere; here they become sentences. Source: DistributedHerder
.validateExactlyOnceConfigs, .validateTransactionBoundaryConfigs, Kafka 4.3; KIP-618.
"""

from collections.abc import Iterable

from millstream.errors import message_of
from millstream.settings.framework import Settings
from millstream_api.connector import Support
from millstream_api.errors import Problem

Answer = Support | Exception | None
"""What the connector said, what it raised instead, or None: it does not say."""

UNEXPECTED = "An unexpected error occurred during validation"


def asks_exactly_once(settings: Settings) -> bool:
    """Whether the settings require exactly-once, so that the connector has to be asked."""
    return _text(settings, "exactly.once.support") == "required"


def asks_boundaries(settings: Settings) -> bool:
    """Whether the connector is to end transactions itself, so that it has to be asked."""
    return _text(settings, "transaction.boundary") == "connector"


def exactly_once_problems(settings: Settings, enabled: bool, answer: Answer) -> Iterable[Problem]:
    """Say why exactly-once cannot be had.

    enabled: whether this worker writes exactly once. answer: of `SourceConnector.exactly_once`.
    """
    if not asks_exactly_once(settings):
        return
    sentence = None
    if not enabled:
        sentence = "This worker does not have exactly-once source support enabled."
    elif answer is None:
        sentence = (
            "The connector does not implement the API required for preflight validation of exactly-once source"
            " support. Please consult the documentation for the connector to determine whether it supports exactly-once"
            ' semantics, and then consider reconfiguring the connector to use the value "requested" for this property'
            " (which will disable this preflight check and allow the connector to be created)."
        )
    elif isinstance(answer, Exception):
        sentence = _unexpected(answer)
    elif answer is not Support.SUPPORTED:
        sentence = "The connector does not support exactly-once semantics with the provided configuration."
    if sentence:
        yield Problem("exactly.once.support", sentence)


def boundary_problems(settings: Settings, answer: Answer) -> Iterable[Problem]:
    """Say why the connector cannot end transactions itself. answer: of `SourceConnector.transaction_boundaries`."""
    if not asks_boundaries(settings):
        return
    if isinstance(answer, Exception):
        yield Problem("transaction.boundary", _unexpected(answer))
    elif answer is not Support.SUPPORTED:
        yield Problem(
            "transaction.boundary",
            "The connector does not support connector-defined transaction boundaries with the given configuration."
            " Please reconfigure it to use a different transaction boundary definition.",
        )


def _unexpected(error: Exception) -> str:
    message = message_of(error).strip()
    return f"{UNEXPECTED}: {message}" if message else f"{UNEXPECTED}; please see the worker logs for more details."


def _text(settings: Settings, name: str) -> str:
    return (settings.get(name) or "").strip().lower()
