"""A worker that the tests of a module share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import setup

from millstream.worker.worker import Worker


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    running = Worker(setup(tmp_path_factory.mktemp("log")))
    running.start()
    yield running
    running.close()
