"""The thread that all children hang on: who is called, and who no longer."""

import os
import threading

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
