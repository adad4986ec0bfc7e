"""The thread that all children hang on: who is called, and who no longer."""

import os
import threading

import pytest

from millstream.worker.loop import Loop


def test_who_is_forgotten_in_a_turn_is_not_called_in_it_although_ready() -> None:
    """Two descriptors are ready at once; the one called first closes the other, as a template's end does."""
    loop = Loop()
    pipes = [os.pipe(), os.pipe()]
    called: list[int] = []
    over = threading.Event()

    def ready(number: int) -> None:
        called.append(number)
        for reading, _ in pipes:
            loop.forget(reading)
        over.set()

    for number, (reading, writing) in enumerate(pipes):
        os.write(writing, b"x")
        loop.watch(reading, lambda _, number=number: ready(number))
    loop.start("loop under test")
    assert over.wait(60)
    loop.close()
    assert len(called) == 1
    for reading, writing in pipes:
        os.close(reading)
        os.close(writing)


def test_what_is_raised_in_a_turn_is_said_and_the_next_is_done(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    over = threading.Event()

    def fails() -> None:
        raise ValueError("the moon is full")

    loop.post(fails)
    loop.after(0.0, fails)
    loop.after(0.01, over.set)
    loop.start("loop under test")
    assert over.wait(60)
    loop.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the worker could not deal with what a child or a timer brought"
    ] * 2
    assert caplog.text.count("ValueError: the moon is full") == 2
