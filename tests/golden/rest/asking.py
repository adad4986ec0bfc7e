"""A running worker asked exactly as the recorder asked Java's: no header but those that were recorded."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from golden.rest.recording import Answer, Here, Request
from running import ANSWER_S, BIN, PATIENCE_S, WorkerProcess, until


@dataclass
class Asked:
    """A worker with the folder of its data; `here` names both as the recordings do."""

    worker: WorkerProcess

    @property
    def here(self) -> Here:
        return Here(str(self.worker.folder / "data"), self.worker.url.removeprefix("http://"))

    def send(self, request: Request) -> Answer:
        """Send a request whose `$DATA` and `$WORKER1` stand yet; gives the answer as it came."""
        filled = self.here.fill_request(request)
        connection = http.client.HTTPConnection(self.here.worker, timeout=ANSWER_S)
        try:
            connection.putrequest(filled.method, filled.target, skip_accept_encoding=True)
            for name, value in filled.headers:
                connection.putheader(name, value)
            if filled.body is not None:
                connection.putheader("Content-Length", str(len(filled.body)))
            connection.endheaders(filled.body)
            response = connection.getresponse()
            headers = sorted((name.lower(), value) for name, value in response.getheaders())
            return Answer(response.status, tuple(headers), response.read().decode())
        finally:
            connection.close()

    def answer(self, request: Request) -> Answer:
        """The answer with what differs from run to run as in the recordings."""
        return self.here.as_recorded(self.send(request))

    def answer_in_time(self, request: Request, alike: Callable[[Answer], bool], patience: float) -> Answer:
        """Ask until the answer is the one awaited; the last one when `patience` seconds have passed."""
        deadline = time.monotonic() + patience
        while not alike(answer := self.answer(request)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return answer

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """A request that was not recorded."""
        data = None if body is None else json.dumps(body).encode()
        return self.send(Request(method, path, (("Content-Type", "application/json"),), data))

    def json(self, path: str) -> Any:
        answer = self.call("GET", path)
        return json.loads(answer.body) if answer.status == 200 else None

    def settle(self, name: str, connector: str, tasks: str, count: int) -> None:
        """Wait until a connector and its `count` tasks are in these states.

        What was asked before is done first: a request for a task that is not there takes its turn after a restart.
        """
        path = f"/connectors/{quote(name, safe='')}/status"
        self.call("POST", f"/connectors/{quote(name, safe='')}/tasks/999/restart")

        def settled() -> bool:
            found = self.json(path)
            states = found and [found["connector"]["state"], *(task["state"] for task in found["tasks"])]
            return bool(states == [connector] + [tasks] * count)

        until(settled, f"{name} to be {connector} with {count} tasks {tasks}: {self.call('GET', path).body}")

    def produce(self, topic: str, lines: Sequence[str], *options: str) -> None:
        """Write records by the command line."""
        subprocess.run(
            [BIN / "millstream", "produce", topic, "--config", "worker.properties", *options],
            cwd=self.worker.folder,
            input="".join(f"{line}\n" for line in lines).encode(),
            env={**os.environ, **self.worker.environment},
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
