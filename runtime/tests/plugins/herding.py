"""A herder of its own for a test: a log in memory, children as threads, REST in the same process."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import hosted
import httpx
from watching import PATIENCE_S, Timed

from millstream.broker.connect import open_broker
from millstream.herder.herder import WorkerIdentity
from millstream.herder.requests import Ping
from millstream.herder.standalone import StandaloneHerder, StandaloneParts
from millstream.host.installed import inventory
from millstream.inventory.inventory import Inventory, Plugin
from millstream.rest.app import RestSettings, create_app
from millstream.settings.plugins import Kind
from millstream.worker.worker import WorkerSetup

T = TypeVar("T")
STRINGS = "org.apache.kafka.connect.storage.StringConverter"
HOSTED = [Plugin(Kind.SOURCE, f"hosted:{name}", (), "hosted", "1") for name in ("Resting", "Staying", "Watching")]
#: a start has two minutes to return in, a call of a plugin one before it is told of, all together half a one to stop
START_S, LASTING_S = 120.0, 60.0
PATIENCE = {"connector_start_ms": int(START_S * 1000), "poll_warn_ms": int(LASTING_S * 1000), "graceful_ms": 30_000}
_numbers = itertools.count()


class Rest:
    """The API of a herder, without a socket; any thread may ask."""

    def __init__(self, herder: StandaloneHerder) -> None:
        self._app = create_app(herder, RestSettings())

    def request(self, method: str, path: str, json: Any = None) -> httpx.Response:
        return asyncio.run(self._ask(method, path, json=json))

    def send(self, method: str, path: str, body: bytes) -> httpx.Response:
        """Ask with a body that httpx would not write."""
        return asyncio.run(self._ask(method, path, content=body, headers={"Content-Type": "application/json"}))

    async def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://worker:8083") as client:
            return await client.request(method, path, **given)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, json: Any = None) -> httpx.Response:
        return self.request("POST", path, json)

    def delete(self, path: str) -> httpx.Response:
        return self.request("DELETE", path)


class Herding:
    """herder: the real one, over the real worker.   rest: its API, without a socket.   clock: of both."""

    def __init__(self, herder: StandaloneHerder, worker: Timed) -> None:
        self.herder = herder
        self.rest = Rest(herder)
        self.clock = worker.clock
        self._worker = worker

    def pass_time(self, seconds: float) -> None:
        """What the worker and the herder have to do by then has at least begun when this returns."""
        self._worker.pass_time(seconds)
        for _ in range(3):  # the agenda looks at its clock; does what is due; and begins what that has put on it
            self.herder.submit(Ping()).result(PATIENCE_S)

    def come_round(self, name: str) -> None:
        """Returns when nobody has the connector in his hands any more who had it, or waited for it, before."""
        self.rest.delete(f"/connectors/{name}/offsets")  # refused when it has its turn, as it is not stopped

    def create(self, name: str, plugin: str = "hosted:Staying", /, **more: Any) -> Any:
        """POST it; settings by keyword, `initial_state` and `initial_offsets` beside them."""
        beside = {key: more.pop(key) for key in ("initial_state", "initial_offsets") if key in more}
        config = {"connector.class": plugin, **{key.replace("_", "."): value for key, value in more.items()}}
        return self.rest.post("/connectors", json={"name": name, "config": config, **beside})

    def states(self, name: str) -> list[str]:
        answer = self.rest.get(f"/connectors/{name}/status")
        if answer.status_code != 200:
            return []
        status = answer.json()
        return [status["connector"]["state"], *(task["state"] for task in status["tasks"])]

    def offsets(self, name: str) -> Any:
        return self.rest.get(f"/connectors/{name}/offsets").json()["offsets"]


@contextmanager
def herding(log: Path | None = None, more: Mapping[str, str] | None = None) -> Iterator[Herding]:
    """A herder until the end of the block.

    log: a file for its log, to start again upon; without it, in memory.   more: of the worker's settings.
    """
    bootstrap = f"sqlite:{log or f':memory:herding-{next(_numbers)}'}"
    settings = {"bootstrap.servers": bootstrap, "key.converter": STRINGS, "value.converter": STRINGS, **(more or {})}
    broker = open_broker(bootstrap, settings)
    ownership = broker.own()
    worker = Timed(WorkerSetup(settings, ownership.epoch, "thread", **PATIENCE))
    worker.start()
    known = Inventory((*HOSTED, *inventory().plugins))
    identity = WorkerIdentity("4.3.1", "millstream-test", broker.cluster_id, "worker:8083")
    deaths: list[BaseException | None] = []
    herder = StandaloneHerder(
        StandaloneParts(broker, ownership.epoch, worker, known, identity, worker.clock, deaths.append)
    )
    herder.start()
    try:
        yield Herding(herder, worker)
    finally:
        herder.stop()
        ownership.release()
        broker.close()
    assert [death for death in deaths if death is not None] == []


def come(gate: str, count: int = 1) -> None:
    """As many have come to the gate, and wait there."""
    until(lambda: len(hosted.GATES[gate].come) >= count, f"{count} to come to the gate")


def until(condition: Callable[[], T], what: str) -> T:
    """The first true value of `condition`; fails with `what` when none comes."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s for {what}; last: {value!r}"
        time.sleep(0.01)
    return value
