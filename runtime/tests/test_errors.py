import pytest

from millstream.errors import (
    BrokerError,
    ConfigError,
    ConflictError,
    DataError,
    FencedError,
    IllegalStateError,
    MillstreamError,
    NotFoundError,
    NotLeaderError,
    PluginError,
    RebalanceError,
    RecordTooLargeError,
    RemoteError,
    RetriableError,
    UnknownTopicError,
    WorkerError,
    java_name,
    message_of,
    trace_of,
)


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (MillstreamError("x"), "org.apache.kafka.connect.errors.ConnectException"),
        (ConfigError({"a": "x"}), "org.apache.kafka.common.config.ConfigException"),
        (DataError("x"), "org.apache.kafka.connect.errors.DataException"),
        (RetriableError("x"), "org.apache.kafka.connect.errors.RetriableException"),
        (PluginError("x"), "org.apache.kafka.connect.errors.ConnectException"),
        (WorkerError("x"), "org.apache.kafka.connect.errors.ConnectException"),
        (NotFoundError("x"), "org.apache.kafka.connect.errors.NotFoundException"),
        (ConflictError("x"), "org.apache.kafka.connect.errors.AlreadyExistsException"),
        (NotLeaderError("x"), "org.apache.kafka.connect.runtime.distributed.NotLeaderException"),
        (RebalanceError("x"), "org.apache.kafka.connect.runtime.distributed.RebalanceNeededException"),
        (IllegalStateError("x"), "org.apache.kafka.connect.errors.IllegalWorkerStateException"),
        (BrokerError("x"), "org.apache.kafka.common.KafkaException"),
        (BrokerError("x", retriable=True), "org.apache.kafka.common.errors.RetriableException"),
        (RecordTooLargeError("x"), "org.apache.kafka.common.errors.RecordTooLargeException"),
        (UnknownTopicError("x", retriable=True), "org.apache.kafka.common.errors.UnknownTopicOrPartitionException"),
        (FencedError("x"), "org.apache.kafka.common.errors.ProducerFencedException"),
        (ValueError("x"), "ValueError"),
    ],
)
def test_an_error_has_the_name_that_clients_of_connect_know(error, name):
    assert java_name(error) == name


def test_an_error_of_a_plugin_has_the_name_of_its_nearest_ancestor_of_ours_or_its_own():
    class Away(RetriableError):
        pass

    class Foreign(Exception):
        pass

    assert java_name(Away("x")) == "org.apache.kafka.connect.errors.RetriableException"
    assert java_name(Foreign("x")).endswith(
        "test_errors.test_an_error_of_a_plugin_has_the_name_of_its_nearest_ancestor_of_ours_or_its_own.<locals>.Foreign"
    )


def test_a_trace_names_error_and_frames_innermost_first_and_then_the_cause():
    def inner():
        raise ValueError("no such table")

    def outer():
        try:
            inner()
        except ValueError as error:
            raise MillstreamError("cannot read 'orders'") from error

    with pytest.raises(MillstreamError) as caught:
        outer()
    lines = trace_of(caught.value).split("\n")
    assert lines[0] == "org.apache.kafka.connect.errors.ConnectException: cannot read 'orders'"
    assert lines[1].startswith("\tat ")
    assert lines[1].endswith(" in outer")
    at = lines.index("Caused by: ValueError: no such table")
    assert lines[at + 1].endswith(" in inner")
    assert lines[at + 2].endswith(" in outer")


def test_a_trace_tells_of_the_error_that_was_being_handled_unless_it_was_put_aside():
    def handled(aside):
        try:
            raise KeyError("first")
        except KeyError:
            if aside:
                raise ValueError("second") from None
            raise ValueError("second")  # noqa: B904

    with pytest.raises(ValueError) as shown:
        handled(False)
    with pytest.raises(ValueError) as hidden:
        handled(True)
    assert "Caused by: KeyError: 'first'" in trace_of(shown.value)
    assert "Caused by" not in trace_of(hidden.value)


def test_a_trace_ends_although_causes_go_round_in_a_circle():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert trace_of(first) == "ValueError: first\nCaused by: ValueError: second"


def test_an_error_whose_text_cannot_be_had_is_told_all_the_same():
    class Hostile(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert message_of(Hostile()) == "<the text of this error cannot be had: its __str__ raised RuntimeError>"
    assert "Hostile: <the text of this error cannot be had" in trace_of(raised(Hostile()))


def test_a_very_long_message_is_cut_with_its_length():
    assert message_of(ValueError("x" * 20_000)) == "x" * 16_000 + "… (20000 characters)"


def test_a_deep_recursion_is_cut_with_the_number_of_frames_left_out():
    def deeper(n):
        if n == 0:
            raise ValueError("deep")
        deeper(n - 1)

    with pytest.raises(ValueError) as caught:
        deeper(100)
    lines = trace_of(caught.value).split("\n")
    assert len(lines) == 62
    assert lines[-1] == "\t... 42 more"


def test_the_members_of_a_group_and_notes_are_in_the_trace():
    group = ExceptionGroup("two failed", [ValueError("a"), raised(KeyError("b"))])
    group.add_note("while closing")
    lines = trace_of(group).split("\n")
    assert lines[:3] == [
        "ExceptionGroup: two failed (2 sub-exceptions)",
        "\twhile closing",
        "\tSuppressed: ValueError: a",
    ]
    assert "\tSuppressed: KeyError: 'b'" in lines


def test_an_error_told_by_a_child_keeps_its_name_and_its_trace():
    told = "org.apache.kafka.connect.errors.DataException: bad\n\tat plugin.py:3 in poll"
    error = RemoteError("org.apache.kafka.connect.errors.DataException", "bad", told)
    assert java_name(error) == "org.apache.kafka.connect.errors.DataException"
    assert trace_of(raised(error)) == told
    wrapped = MillstreamError("task failed")
    wrapped.__cause__ = error
    assert trace_of(wrapped).endswith("task failed\nCaused by: " + told)
