"""The times that docstrings of the contract name are those of the runtime."""

import inspect

import pytest

from millstream.herder import fleet, probing
from millstream.host import connector
from millstream.task import source
from millstream.worker.worker import Worker
from millstream_api import ClientConfigPolicy, Connector, RetriableError

NUMBERS = {3.0: "three", 5.0: "five"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Connector.probe, f"killed at a deadline: {probing.ANSWER_S:g} s for a request to REST"),
        (Connector.alter_offsets, f"killed after {probing.ANSWER_S:g} s"),
        (ClientConfigPolicy.validate, f"over REST {probing.ANSWER_S:g} s"),
        (Connector.monitor, f"It has {NUMBERS[connector.MONITOR_SECONDS]} seconds to return"),
        (Connector.task_configs, f"a pause of {fleet.RETRY_S:g} s, which doubles up to {fleet.RETRY_MOST_S:g} s"),
        (
            RetriableError,
            f"a pause of {source.FIRST_PAUSE_SECONDS:g} s that doubles up to {source.LONGEST_PAUSE_SECONDS:g} s",
        ),
    ],
)
def test_a_docstring_names_the_time_that_the_runtime_takes(told: object, said: str) -> None:
    assert said in " ".join((told.__doc__ or "").split())


def test_a_connector_that_is_to_end_has_as_long_as_its_docstring_says() -> None:
    timeout = inspect.signature(Worker.stop_connector).parameters["timeout"].default
    assert f"does not within {NUMBERS[timeout]} seconds is killed" in " ".join((Connector.stop.__doc__ or "").split())
