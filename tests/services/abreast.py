"""Cases of one test that wait most of their time: all at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def abreast(case: Callable[[T], object], *each: T) -> None:
    """Do a case for each at the same time, on threads of their own. Fails as the first that failed, and names all."""
    with ThreadPoolExecutor(len(each)) as threads:
        done = [threads.submit(case, one) for one in each]
    failed = [(one, error) for one, future in zip(each, done, strict=True) if (error := future.exception()) is not None]
    if failed:
        for one, error in failed:
            failed[0][1].add_note(f"case {one!r}: {type(error).__name__}: {error}")
        raise failed[0][1]
