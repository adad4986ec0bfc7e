"""What tests share: a worker, a herd, the time of templates in all of them, an embedded log and its clock, a bench."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

import hosted
from task_bench import Bench
from watching import setup

from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.lifecycle import ManualClock
from millstream.worker import templates
from millstream.worker.worker import Worker

if TYPE_CHECKING:
    from consumer_bench import Member
    from herding import Herding


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


@pytest.fixture(scope="module")
def herd() -> "Iterator[Herding]":
    from herding import herding  # with all of the REST server

    with herding() as made:
        yield made


@pytest.fixture
def gate() -> Iterator[str]:
    """The name of a gate at which a connector with `deed=gate` waits; open at the end."""
    name = f"gate-{len(hosted.GATES)}"
    hosted.GATES[name] = hosted.Gate()
    yield name
    hosted.GATES[name].set()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log.db")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(path: str, clock: ManualClock) -> Iterator[EmbeddedBroker]:
    with closing(open_embedded(f"sqlite:{path}", {}, clock)) as broker:
        yield broker


@pytest.fixture
def member() -> "Member":
    """Reads from a Kafka that is not there, and has the first partition."""
    from consumer_bench import FIRST, Member

    member = Member()
    member.client.rebalance("assign", FIRST)
    return member


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Where tasks run.   By an indirect parameter: whether commits overlap with polls."""
    bench = Bench(overlapped=getattr(request, "param", False))
    yield bench
    bench.close()
