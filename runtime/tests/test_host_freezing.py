"""What a template does last, in a process of its own each: it is for good."""

import os
import subprocess
import sys
import textwrap

import pytest

from millstream.worker.environment import child_environment


def said_by(code: str, **environment: str) -> list[str]:
    """Give the words that an interpreter with the environment of a child prints."""
    run = [sys.executable, "-c", textwrap.dedent(code)]
    env = {**child_environment(), **environment}
    return subprocess.run(run, check=True, capture_output=True, text=True, env=env).stdout.split()


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="the heap is not that of GNU's C library")
def test_after_it_pieces_of_the_heap_lie_end_to_end_and_beyond_what_was_there():
    gaps, beyond = said_by("""
        import ctypes
        from itertools import pairwise
        from millstream.host import freezing, task
        malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(("malloc", ctypes.CDLL(None)))
        keep = [malloc(200) for _ in range(1_000)]
        freezing.freeze()
        pieces = [malloc(200) for _ in range(200)]
        print(sum(after - before == 208 for before, after in pairwise(pieces)), sum(p > max(keep) for p in pieces))
    """)
    assert int(gaps) > 150  # a list that grows, and the like, take pieces as well
    assert int(beyond) > 150


def test_another_c_library_s_heap_is_left_alone():
    (filled,) = said_by("""
        import os
        from millstream.host import freezing
        os.confstr = lambda name: None
        print(freezing.fill_holes())
    """)
    assert filled == "0"


def test_a_heap_that_the_operator_has_mapped_in_pieces_is_left_alone():
    code = "from millstream.host import freezing; print(freezing.fill_holes())"
    assert said_by(code, MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TOP_PAD_="0") == ["0"]


def test_what_a_child_logs_at_is_set_before_and_not_again():
    said = said_by("""
        import logging
        from millstream.host import freezing, output
        freezing.freeze()
        calls = []
        logging.Manager._clear_cache = lambda manager: calls.append(manager)
        output.to_descriptor(2, str)
        print(logging.getLogger().level, len(calls))
    """)
    assert said == ["20", "0"]
