"""What a call has of time is the time of its process, not that of a machine that stands still."""

import threading

from millstream_conformance.calling import LOOK_S, in_time


def test_while_the_machine_stands_still_no_more_than_one_look_passes() -> None:
    looks: list[float] = []

    def wait(seconds: float) -> bool:
        looks.append(seconds)
        threading.Event().wait(20 * LOOK_S if len(looks) == 1 else 0)
        return len(looks) == 3

    assert in_time(wait, 5 * LOOK_S)
    assert looks == [LOOK_S] * 3


def test_what_does_not_come_is_given_up_after_all_its_looks() -> None:
    looks: list[float] = []
    assert not in_time(lambda seconds: bool(looks.append(seconds)), 5 * LOOK_S)
    assert looks == [LOOK_S] * 5
