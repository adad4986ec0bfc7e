"""A service in a container, by testcontainers.

It has this machine's network and is shown folders under the same paths, so that everything but the start is as with a
process: addresses, files, the log, what the kernel counts.
"""

import os
from typing import Any

from services import engine
from services.errors import EndedError
from services.instance import PATIENCE_S, Program, tail
from services.process import STOP_S
from services.usage import Usage, usage

SHELL = 'exec "$@" >>"$SERVICE_LOG" 2>&1'


class Container:
    """An `Instance` in a container of an image."""

    def __init__(self, program: Program, image: str) -> None:
        assert engine.answering() is not None, "who makes a container has asked for the engine"
        from testcontainers.core.container import DockerContainer

        self.program = program
        made = DockerContainer(
            image,
            entrypoint=["/bin/sh", "-c", SHELL, "service"],
            network_mode="host",
            user=f"{os.getuid()}:{os.getgid()}",
            working_dir=str(program.folder),
            labels={engine.LABEL: engine.label()},
        )
        made.with_command(list(program.command))
        made.with_volume_mapping(str(program.folder), str(program.folder), "rw")
        for folder in program.reads:
            made.with_volume_mapping(str(folder), str(folder), "ro")
        for name, value in {**program.environment, "SERVICE_LOG": str(program.log)}.items():
            made.with_env(name, value)
        self._made = made
        self._started = False

    def start(self) -> None:
        if self._started:
            self._container.start()
        else:
            self._made.start()
            self._started = True

    def stop(self) -> None:
        if self.alive():
            self.resume()
            self._container.stop(timeout=int(STOP_S))

    def kill(self) -> None:
        self._container.kill()
        self._container.wait(timeout=STOP_S)

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        if self._state()["Paused"]:
            self._container.unpause()

    def alive(self) -> bool:
        return self._started and bool(self._state()["Running"])

    def wait(self) -> None:
        code = self._container.wait(timeout=PATIENCE_S)["StatusCode"]
        self.remove()
        if code != 0:
            raise EndedError(f"{self.program.name} ended with {code}:\n{tail(self.program.log)}")

    def usage(self) -> Usage:
        return usage([int(self._state()["Pid"])])

    def remove(self) -> None:
        if self._started:
            self.stop()
            self._container.remove(force=True)
            self._started = False
        self._made.get_docker_client().client.close()

    def _state(self) -> dict[str, Any]:
        container = self._container
        container.reload()
        state: dict[str, Any] = container.attrs["State"]
        return state

    @property
    def _container(self) -> Any:
        return self._made.get_wrapped_container()
