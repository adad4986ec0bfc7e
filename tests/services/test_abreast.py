"""Cases side by side: all at once, and none that failed is silent."""

import threading

import pytest

from services.abreast import abreast


def test_all_cases_go_on_at_the_same_time() -> None:
    all_there = threading.Barrier(3)
    abreast(lambda _: all_there.wait(60), "one", "two", "three")


def test_it_fails_as_the_first_that_failed_and_names_all_that_did_once_the_others_are_over() -> None:
    over: list[str] = []

    def case(name: str) -> None:
        if name == "one":
            pytest.fail("this way")
        if name == "two":
            raise ValueError("that way")
        over.append(name)

    with pytest.raises(pytest.fail.Exception, match="this way") as caught:
        abreast(case, "one", "two", "three")
    assert caught.value.__notes__ == ["case 'one': Failed: this way", "case 'two': ValueError: that way"]
    assert over == ["three"]
