"""The child ahead of the next request: when there is one, what becomes of a request that it does not take."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from millstream.host.spare import (
    ATTEMPTS,
    KEPT_SECONDS,
    NAME,
    QUIET_SECONDS,
    READY,
    TAKE,
    TAKE_SECONDS,
    TAKEN,
    Spares,
    _request,
)
from millstream.lifecycle import ManualClock
from millstream.worker.worker import Worker, WorkerSetup

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))

from watching import GONE, Ears, children_of, connector, is_running, kill, wait_until  # noqa: E402

STRINGS = "org.apache.kafka.connect.storage.StringConverter"


class Keeper:
    """A template's place: spares are sockets here, and what becomes of requests is written down."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.forked: list[socket.socket] = []
        self.taken: list[tuple[int, int]] = []
        self.lost: list[int] = []
        self.spares = Spares(self.fork, lambda number, pid: self.taken.append((number, pid)), self.lose, self.clock)

    def fork(self, far: socket.socket) -> int:
        self.forked.append(far.dup())
        return 100 + len(self.forked)

    def lose(self, number: int, descriptors: list[int]) -> None:
        self.lost.append(number)
        for descriptor in descriptors:
            os.close(descriptor)

    def quiet(self, seconds: float = QUIET_SECONDS) -> None:
        self.clock.advance(seconds)
        self.spares.change()

    def ready(self) -> socket.socket:
        """One that is ready; its own end."""
        self.quiet()
        self.forked[-1].send(READY)
        self.spares.hear()
        return self.forked[-1]


@pytest.fixture
def keeper():
    made = Keeper()
    yield made
    made.spares.forget()
    for end in made.forked:
        end.close()


def descriptors() -> list[int]:
    return list(os.pipe())


def test_one_is_forked_when_nobody_has_asked_for_a_while(keeper):
    assert keeper.spares.patience() == pytest.approx(QUIET_SECONDS)
    keeper.spares.change()
    assert not keeper.forked
    keeper.quiet()
    assert len(keeper.forked) == 1
    assert keeper.spares.patience() is None


def test_a_request_puts_the_next_one_off(keeper):
    keeper.clock.advance(QUIET_SECONDS / 2)
    given = descriptors()
    assert not keeper.spares.give(1, given)
    keeper.clock.advance(QUIET_SECONDS * 0.75)
    keeper.spares.change()
    assert not keeper.forked
    keeper.lose(1, given)


def test_one_that_is_not_ready_is_given_nothing(keeper):
    keeper.quiet()
    given = descriptors()
    assert not keeper.spares.give(1, given)
    keeper.lose(1, given)


def test_a_request_is_the_spares_once_it_has_taken_it(keeper):
    spare = keeper.ready()
    given = descriptors()
    assert keeper.spares.give(7, given)
    said, received, _, _ = socket.recv_fds(spare, 64, 2)
    assert (said, len(received)) == (TAKE, 2)
    assert not keeper.taken
    spare.send(TAKEN)
    keeper.spares.hear()
    assert keeper.taken == [(7, 101)]
    assert keeper.spares.processes() == ()
    for descriptor in given:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    for descriptor in received:
        os.close(descriptor)
    keeper.quiet()
    assert len(keeper.forked) == 2


def test_a_second_request_is_not_given_to_one_that_has_the_first(keeper):
    keeper.ready()
    assert keeper.spares.give(1, descriptors())
    given = descriptors()
    assert not keeper.spares.give(2, given)
    keeper.lose(2, given)


def test_one_without_room_for_its_descriptors_says_how_many_came():
    ours, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given = descriptors()
    socket.send_fds(ours, [TAKE], given[:1])
    with pytest.raises(OSError, match="the next child received 1 of the 2 descriptors of its request") as caught:
        _request(line)
    assert caught.value.errno == errno.EMFILE
    for each in (ours, line):
        each.close()
    for descriptor in given:
        os.close(descriptor)


def test_a_request_outlives_a_spare_that_dies_before_it_took_it(keeper):
    spare = keeper.ready()
    assert keeper.spares.give(1, descriptors())
    spare.close()
    keeper.spares.ended(101)
    assert (keeper.lost, keeper.taken) == ([1], [])
    keeper.quiet()
    assert len(keeper.forked) == 2


def test_one_that_does_not_take_its_request_is_ended_and_the_request_is_anothers(keeper, monkeypatch, caplog):
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: ended.append((pid, number)))
    spare = keeper.ready()
    assert keeper.spares.give(1, descriptors())
    assert keeper.spares.patience() == pytest.approx(TAKE_SECONDS)
    keeper.quiet(TAKE_SECONDS - 0.1)
    assert ended == []
    keeper.quiet(0.1)
    assert ended == [(101, signal.SIGKILL)]
    assert "the process 101, kept ahead for the next start, has not taken it for 5 s and is ended" in caplog.text
    spare.close()
    keeper.spares.ended(101)
    assert keeper.lost == [1]


def test_one_that_took_its_request_and_ended_at_once_is_told_of_as_that_child(keeper):
    spare = keeper.ready()
    assert keeper.spares.give(1, descriptors())
    for descriptor in socket.recv_fds(spare, 64, 2)[1]:
        os.close(descriptor)
    spare.send(TAKEN)
    spare.close()
    keeper.spares.ended(101)
    assert (keeper.lost, keeper.taken) == ([], [(1, 101)])


def test_one_that_is_dead_is_given_nothing_and_replaced(keeper):
    keeper.ready().close()
    given = descriptors()
    assert not keeper.spares.give(1, given)
    keeper.lose(1, given)
    keeper.spares.hear()
    keeper.quiet()
    assert len(keeper.forked) == 2


def test_after_three_that_never_got_ready_there_are_no_more(keeper):
    for number in range(ATTEMPTS):
        keeper.quiet()
        keeper.forked[number].close()
        keeper.spares.ended(101 + number)
    given = descriptors()
    assert not keeper.spares.give(1, given)
    keeper.lose(1, given)
    keeper.quiet()
    assert len(keeper.forked) == ATTEMPTS


def test_one_that_nobody_needs_for_a_minute_is_let_go_and_comes_back_with_the_next_request(keeper):
    spare = keeper.ready()
    keeper.quiet(KEPT_SECONDS)
    assert spare.recv(1) == b""
    assert keeper.spares.patience() is None
    given = descriptors()
    assert not keeper.spares.give(1, given)
    keeper.lose(1, given)
    keeper.quiet()
    assert len(keeper.forked) == 2


# -- in processes


@pytest.fixture
def worker(tmp_path):
    settings = {"bootstrap.servers": f"sqlite:{tmp_path}/log.db", "key.converter": STRINGS, "value.converter": STRINGS}
    running = Worker(WorkerSetup(settings))
    running.start()
    yield running
    running.close()


def template_of(worker: Worker) -> int:
    return next(view.pid for view in worker.describe() if view.kind == "template" and view.name == "hosted")


def spare_of(template: int) -> int:
    """The number of the spare, 0 when there is none."""
    for child in children_of(template):
        with contextlib.suppress(*GONE):
            if Path(f"/proc/{child}/comm").read_bytes().strip() == NAME and is_running(child):
                return child
    return 0


def pid_of(worker: Worker, name: str) -> int:
    return next(view.pid for view in worker.describe() if view.name == name)


def running(worker: Worker, name: str) -> Ears:
    ears = Ears()
    worker.start_connector(connector(name, "Staying"), ears)
    ears.until("RUNNING")
    return ears


def awaited(template: int, but: int = 0) -> int:
    found: list[int] = []

    def there() -> bool:
        found[:] = [spare_of(template)]
        return found[0] not in (0, but)

    wait_until(there)
    return found[0]


def test_the_next_child_is_the_spare_which_until_then_is_nobodys(worker):
    running(worker, "first")
    template, spare = template_of(worker), 0
    for number in range(20):  # it may be seen before it is ready, and is then passed over
        spare = awaited(template)
        assert spare not in [view.pid for view in worker.describe()]
        ears = running(worker, f"next-{number}")
        assert ears.states() == ["RUNNING"]
        if pid_of(worker, f"next-{number}") == spare:
            break
    else:
        pytest.fail("no spare was ever taken")
    assert Path(f"/proc/{spare}/comm").read_bytes().strip() != NAME
    assert awaited(template, spare)


def test_a_dead_spare_is_replaced_and_no_request_fails(worker):
    running(worker, "first")
    spare = awaited(template_of(worker))
    for number in range(ATTEMPTS - 1):  # they may be seen, and killed, before they are ready
        kill(spare)
        running(worker, f"after-{number}")
        spare = awaited(template_of(worker), spare)
    assert {view.state for view in worker.describe() if view.kind == "connector"} == {"RUNNING"}


def begun_with_a_stopped_spare(worker):
    """The spare, and two connectors that are started: one of them is given to it, or, as it was not ready, none."""
    running(worker, "first")
    spare = awaited(template_of(worker))
    kill(spare, signal.SIGSTOP)
    waits = [Ears(), Ears()]
    for number, ears in enumerate(waits):
        worker.start_connector(connector(f"waits-{number}", "Staying"), ears)
    return spare, waits


def run_without(worker, spare, waits):
    for number, ears in enumerate(waits):
        ears.until("RUNNING")
        assert pid_of(worker, f"waits-{number}") not in (0, spare)


def test_a_request_is_forked_anew_when_its_spare_dies_with_it_in_its_hands(worker):
    spare, waits = begun_with_a_stopped_spare(worker)
    running(worker, "goes on")
    kill(spare)
    run_without(worker, spare, waits)


def test_requests_that_meet_a_stopped_spare_are_forked_without_it(worker):
    spare, waits = begun_with_a_stopped_spare(worker)
    run_without(worker, spare, waits)


def test_a_spare_dies_with_its_template(worker):
    ears = running(worker, "first")
    template = template_of(worker)
    spare = awaited(template)
    kill(template)
    ears.until("FAILED")
    wait_until(lambda: not is_running(spare))


def test_a_spare_goes_when_the_worker_ends_in_order(worker):
    running(worker, "first")
    spare = awaited(template_of(worker))
    worker.close()
    wait_until(lambda: not is_running(spare))


def test_a_spare_dies_with_a_killed_worker(tmp_path):
    program = textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = [{str(PLUGINS)!r}, {str(Path(__file__).parent)!r}]
        from watching import Ears, connector
        from test_host_spare import awaited, running, template_of
        from millstream.worker.worker import Worker, WorkerSetup
        worker = Worker(WorkerSetup({{"bootstrap.servers": "sqlite:{tmp_path}/log.db"}}))
        worker.start()
        running(worker, "first")
        print(template_of(worker), awaited(template_of(worker)), flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pids = [int(pid) for pid in worker.stdout.readline().split()]
        assert len(pids) == 2
        worker.kill()
    wait_until(lambda: not any(map(is_running, pids)))


def test_children_start_where_the_operator_disabled_what_spares_are_rehearsed_with(tmp_path):
    worker = Worker(WorkerSetup({"bootstrap.servers": f"sqlite:{tmp_path}/log.db"}, disabled=("millstream",)))
    worker.start()
    try:
        running(worker, "first")
        assert awaited(template_of(worker))
    finally:
        worker.close()
