import pickle

from millstream_api import ConfigError, DataError, MillstreamError, PluginError, Problem, RetriableError


def test_a_config_error_maps_each_setting_to_its_sentences() -> None:
    error = ConfigError([Problem("a", "is odd."), ("b", "must be even."), Problem("a", "is small.")])
    assert error.problems == {"a": "is odd. is small.", "b": "must be even."}
    assert error.found == (("a", "is odd."), ("b", "must be even."), ("a", "is small."))


def test_a_config_error_is_printed_a_problem_a_line_with_the_setting_named_once() -> None:
    error = ConfigError(
        {
            "file": "no such file or directory",
            "tasks.max": "Invalid value x for configuration tasks.max: Not a number of type INT",
            "topics": "Configuration 'topics' values must not be duplicated.",
            "": "worker.properties, line 3: malformed escape",
        }
    )
    assert str(error) == (
        "file: no such file or directory\n"
        "Invalid value x for configuration tasks.max: Not a number of type INT\n"
        "Configuration 'topics' values must not be duplicated.\n"
        "worker.properties, line 3: malformed escape"
    )


def test_a_data_error_says_where() -> None:
    assert str(DataError("expected int32, got str", "items[3].price")) == "items[3].price: expected int32, got str"
    assert str(DataError("expected int32, got str")) == "expected int32, got str"


def test_errors_survive_a_pipe() -> None:
    for error in (ConfigError({"a": "b"}), DataError("x", "y"), RetriableError("away"), PluginError("broken")):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (type(again), str(again), again.args) == (type(error), str(error), error.args)
        assert isinstance(error, MillstreamError)


def test_a_sentence_that_begins_with_its_setting_is_not_given_it_once_more():
    assert str(ConfigError({"sasl.jaas.config": "sasl.jaas.config is missing"})) == "sasl.jaas.config is missing"
    assert str(ConfigError({"a": "a file is missing"})) == "a: a file is missing"
    assert str(ConfigError({"sasl.jaas": "sasl.jaas.config is missing"})) == "sasl.jaas: sasl.jaas.config is missing"
