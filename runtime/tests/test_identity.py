import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.identity import State, Status, TaskId


@given(st.text(min_size=1), st.integers(0, 10**6))
def test_the_text_of_a_task_is_read_back_whatever_its_connector_is_called(connector, task):
    assert TaskId.parse(str(TaskId(connector, task))) == TaskId(connector, task)


@pytest.mark.parametrize("text", ["", "orders", "-1", "orders-", "orders-x", "orders-٣", "orders--"])
def test_what_is_no_task_is_refused_with_an_example(text):
    with pytest.raises(ValueError) as caught:
        TaskId.parse(text)
    assert str(caught.value) == f"{text!r} is not the name of a task: expected <connector>-<number>, such as 'orders-0'"


def test_a_status_changes_state_and_keeps_its_place():
    status = Status(State.RUNNING, "10.0.0.1:8083", generation=3, version="1.2")
    assert status.to(State.FAILED, "trace") == Status(State.FAILED, "10.0.0.1:8083", "trace", 3, "1.2")
    assert status.to(State.FAILED, "trace").to(State.RUNNING) == status
