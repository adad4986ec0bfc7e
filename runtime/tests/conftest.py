"""A worker that the tests of a module share, and how long templates may take in all of them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import setup

from millstream.worker import templates
from millstream.worker.worker import Worker


@pytest.fixture(scope="session", autouse=True)
def patient_with_templates():
    """One that is late is given up, and its children start without it: on a busy machine each would be."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(templates, "READY_SECONDS", 600.0)
        yield


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    running = Worker(setup(tmp_path_factory.mktemp("log")))
    running.start()
    yield running
    running.close()
