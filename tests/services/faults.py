"""What goes wrong around a worker on Kafka: how it is done and undone, what is said, what may be repeated."""

import errno
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import NewPartitions
from running import processes

from services.accounting import deleted_lines
from services.scene import ASK_S, PATIENCE_S, Scene

Step = Callable[[Scene], None]

SHORT_SESSION = {"consumer_session_timeout_ms": "6000", "consumer_heartbeat_interval_ms": "1500"}
SHORT_REQUEST = {f"{client}_request_timeout_ms": "4000" for client in ("producer", "consumer", "admin")}
SHORT_POLL = {**SHORT_SESSION, "consumer_max_poll_interval_ms": "6000"}
FRESH = {f"{client}_metadata_max_age_ms": "2000" for client in ("producer", "consumer")}
MADE_IN_S = 20.0

#: what a broker that does not answer makes a worker say
AWAY = r"bootstrap\.servers \S+ cannot be reached"
DEAD_TEMPLATE = r"its template process \d+ died \(signal 9\)"
BACK = "|".join(
    (
        "was deleted and made anew: it is read from its start",
        r"-\d+ goes on at offset \d+, and had been read up to \d+: the topic was deleted",
        "' does not exist; it is waited for",
        "no longer has: it was deleted and made anew",
    )
)
KILLED = r"the process was ended by signal 9 \(SIGKILL\)"
NONE = "nothing is repeated"
SOURCE_AGAIN = "lines of the source since its last committed offset come into the topic again"
SINK_AGAIN = "rows since the sink's last committed position come into the file again"
EITHER_AGAIN = f"{SOURCE_AGAIN}; {SINK_AGAIN}"


def nothing(scene: Scene) -> None:
    """It is over by itself."""


@dataclass(frozen=True)
class Fault:
    """inject, lift: on a running scene.   lasts: seconds, by chance between.

    says:    what is logged, or in a status, while it lasts;   says_after: at the latest once all is well again.
    settings: the worker's, beside the usual ones: time-outs are shortened here and nowhere else.
    partitions, tasks: None: by chance 1 and 1, or 4 and 2.   proxied: through the proxy.   witness: see its plugin.
    deletes: rows may go with a deleted topic.   refilled: rows that were in a deleted topic are not written again.
    ends:    the worker may end by itself; its supervisor starts it again.
    """

    name: str
    allows: str
    inject: Step
    lift: Step = nothing
    lasts: tuple[float, float] = (0.0, 0.0)
    says: tuple[str, ...] = ()
    says_after: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    layout: tuple[int, int] | None = None
    proxied: bool = False
    witness: bool = False
    deletes: bool = False
    ends: bool = False
    disk_mb: int | None = None

    @property
    def topic_repeats(self) -> bool:
        return SOURCE_AGAIN in self.allows

    @property
    def file_repeats(self) -> bool:
        return SINK_AGAIN in self.allows


# -- processes


def kill_worker(scene: Scene) -> None:
    before = set(processes(scene.worker))
    scene.worker.kill()
    scene.until(lambda: not before & set(processes(scene.worker)), "the children of a killed worker to go", PATIENCE_S)


def start_worker(scene: Scene) -> None:
    """As its supervisor does."""
    scene.restarts += 1
    scene.launch()


def kill(what: str) -> Step:
    def step(scene: Scene) -> None:
        os.kill(scene.pid_of(what), signal.SIGKILL)
        scene.until(lambda: "FAILED" in scene.states(), f"the {what} to be FAILED", PATIENCE_S)

    return step


def come_back(*sides: str) -> Step:
    """The worker starts again what was killed."""

    def step(scene: Scene) -> None:
        names = [getattr(scene, side) for side in sides]
        scene.until(lambda: "FAILED" not in scene.states(), "what was killed to be started again", PATIENCE_S)
        scene.restarts += scene.source in names

    return step


STOPPED: dict[Path, int] = {}


def stop_one(what: str) -> Step:
    def step(scene: Scene) -> None:
        STOPPED[scene.folder] = scene.pid_of(what) if what != "worker" else scene.pid()
        os.kill(STOPPED[scene.folder], signal.SIGSTOP)

    return step


def go_on(scene: Scene) -> None:
    with suppress(ProcessLookupError):
        os.kill(STOPPED.pop(scene.folder), signal.SIGCONT)


def slow_put(scene: Scene) -> None:
    scene.slow.write_text(str(scene.pid_of("sink")))


def quick_put(scene: Scene) -> None:
    scene.slow.unlink()


# -- brokers


def stop_broker(scene: Scene) -> None:
    scene.kafka.instance.stop()


def kill_broker(scene: Scene) -> None:
    scene.kafka.instance.kill()


def start_broker(scene: Scene) -> None:
    scene.kafka.instance.start()
    scene.kafka.ready()


def stop_worker_and_broker(scene: Scene) -> None:
    """The worker is started on a broker that is away."""
    scene.end()
    scene.kafka.instance.kill()
    scene.supervised = True
    start_worker(scene)


def fill_disk(scene: Scene) -> None:
    with (scene.kafka.instance.program.folder / "data" / "filler").open("wb", 0) as filler:
        while True:
            try:
                filler.write(bytes(65_536))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return


def make_room(scene: Scene) -> None:
    """The broker ends for want of a disk, or is ended: it goes on once it is started with room."""
    (scene.kafka.instance.program.folder / "data" / "filler").unlink()
    if scene.kafka.instance.alive():
        scene.kafka.instance.stop()
    start_broker(scene)


# -- topics


def delete_topic(scene: Scene) -> None:
    scene.admin.delete_topics([scene.topic])[scene.topic].result(ASK_S)
    partitions = scene.setting.partitions
    scene.gone = scene.until(lambda: deleted_lines(scene.kafka, scene.topic, partitions), "it to be deleted", ASK_S)


def make_topic_again(scene: Scene) -> None:
    """A broker that makes topics by itself may have done so: the source asks for it."""
    deadline = time.monotonic() + MADE_IN_S
    while scene.topic not in scene.admin.list_topics(timeout=ASK_S).topics and time.monotonic() < deadline:
        scene.rest(0.2)
    if scene.topic not in scene.admin.list_topics(timeout=ASK_S).topics:
        scene.make_topic()
        scene.human.append("the topic was made")


def add_partitions(scene: Scene) -> None:
    more = scene.setting.partitions + 3
    scene.admin.create_partitions([NewPartitions(scene.topic, more)])[scene.topic].result(ASK_S)


def all_partitions_read(scene: Scene) -> None:
    """Until both sides have met them: rows are in each, and the sink has a position in each."""
    more = scene.setting.partitions + 3
    scene.until(lambda: len(scene.ends()) == more, "the partitions", PATIENCE_S)


# -- connections


def cut(scene: Scene) -> None:
    for _ in range(scene.dice.randint(1, 4)):
        scene.kafka.proxy.cut()
        scene.rest(scene.dice.uniform(0.0, 1.0))


def freeze(*ways: str) -> Step:
    return lambda scene: scene.kafka.proxy.freeze(*ways)


def delay(scene: Scene) -> None:
    scene.kafka.proxy.delay(scene.dice.uniform(0.2, 1.5))


def refuse(scene: Scene) -> None:
    scene.kafka.proxy.refuse()


def heal(scene: Scene) -> None:
    scene.kafka.proxy.heal()


def halt(scene: Scene) -> None:
    scene.stop_tree(signal.SIGSTOP)


def unhalt(scene: Scene) -> None:
    scene.stop_tree(signal.SIGCONT)


STANDS = r"does nothing: its process \d+ was stopped by a signal"
LOST = r"Partitions lost: .* within session\.timeout\.ms"
SLOW = r"raise consumer\.override\.max\.poll\.interval\.ms"
FAULTS: tuple[Fault, ...] = (
    Fault("kill -9 worker", EITHER_AGAIN, kill_worker, start_worker, (0.0, 2.0)),
    Fault("kill -9 source", SOURCE_AGAIN, kill("source"), come_back("source"), (0.0, 2.0), (KILLED,)),
    Fault("kill -9 sink", SINK_AGAIN, kill("sink"), come_back("sink"), (0.0, 2.0), (KILLED,)),
    Fault(
        "kill -9 template", EITHER_AGAIN, kill("template"), come_back("source", "sink"), (0.0, 2.0), (DEAD_TEMPLATE,)
    ),
    Fault(
        *("stop source", NONE, stop_one("source"), go_on, (10.0, 14.0), (STANDS,)),
        settings=SHORT_REQUEST,
    ),
    Fault(
        *("stop sink", SINK_AGAIN, stop_one("sink"), go_on, (12.0, 16.0), (STANDS,), (LOST,)),
        settings=SHORT_SESSION,
        layout=(4, 2),
        witness=True,
    ),
    Fault("stop worker", SINK_AGAIN, stop_one("worker"), go_on, (12.0, 16.0), settings=SHORT_SESSION, layout=(4, 2)),
    Fault(
        *("stop all", SINK_AGAIN, halt, unhalt, (12.0, 16.0), (), (LOST,)),
        settings=SHORT_SESSION,
        layout=(4, 2),
        witness=True,
    ),
    Fault("broker restart", SINK_AGAIN, stop_broker, start_broker, (0.0, 3.0)),
    Fault("broker kill -9", SINK_AGAIN, kill_broker, start_broker, (0.0, 3.0)),
    Fault("broker away a minute", SINK_AGAIN, kill_broker, start_broker, (60.0, 65.0), (AWAY,)),
    Fault(
        *("broker away at start", EITHER_AGAIN, stop_worker_and_broker, start_broker, (40.0, 75.0), (AWAY,)), ends=True
    ),
    Fault("broker's disk full", SINK_AGAIN, fill_disk, make_room, (10.0, 20.0), (AWAY,), disk_mb=180),
    Fault("connections cut", SINK_AGAIN, cut, proxied=True),
    Fault(
        *("connections refused", SINK_AGAIN, refuse, heal, (8.0, 12.0), (AWAY,)),
        proxied=True,
        settings=SHORT_REQUEST,
    ),
    Fault(
        *("frozen both ways", SINK_AGAIN, freeze(), heal, (12.0, 20.0), (AWAY,)),
        proxied=True,
        settings=SHORT_REQUEST,
    ),
    Fault(
        *("frozen to the broker", SINK_AGAIN, freeze("there"), heal, (12.0, 20.0), (AWAY,)),
        proxied=True,
        settings=SHORT_REQUEST,
    ),
    Fault(
        *("frozen from the broker", SINK_AGAIN, freeze("back"), heal, (12.0, 20.0), (AWAY,)),
        proxied=True,
        settings=SHORT_REQUEST,
    ),
    Fault("frozen past the defaults", SINK_AGAIN, freeze(), heal, (50.0, 55.0), (AWAY,), proxied=True),
    Fault("delays", NONE, delay, heal, (5.0, 10.0), proxied=True),
    Fault(
        *("topic deleted", EITHER_AGAIN, delete_topic, make_topic_again, (0.0, 3.0)),
        (),
        (BACK,),
        settings=FRESH,
        deletes=True,
    ),
    Fault("partitions added", NONE, add_partitions, all_partitions_read, (4.0, 6.0), settings=FRESH),
    Fault(
        *("slow put", SINK_AGAIN, slow_put, quick_put, (10.0, 14.0), (), (SLOW,)),
        settings=SHORT_POLL,
        layout=(4, 2),
        witness=True,
    ),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
#: pairs that are drawn by chance: one of what is around the worker, one of its own
AROUND = ("broker restart", "broker kill -9", "connections cut", "frozen both ways", "delays", "partitions added")
WITHIN = ("kill -9 worker", "kill -9 source", "kill -9 sink", "kill -9 template", "stop sink", "slow put")
