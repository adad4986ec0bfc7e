"""The container engine: whether one answers, and which containers of ours are on it."""

import json
import logging
import os
import socket
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from services.folders import lives, me

if TYPE_CHECKING:
    import docker

DEFAULT = "unix:///var/run/docker.sock"
ANSWER_S = 5.0
LABEL = "millstream.services.owner"
#: before testcontainers is imported: its reaper is an image more to pull, and we sweep ourselves
SETTINGS = {"TESTCONTAINERS_RYUK_DISABLED": "true", "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1"}


@cache
def answering() -> "docker.DockerClient | None":
    """The engine, when one answers on a socket of this machine.

    Services and tests share folders and the loopback, so that an engine elsewhere, or in a virtual machine, as on
    macOS and Windows, is of no use.
    """
    # said aloud, or testcontainers on a machine that looks like a container gives each container a network of its own
    socket_path = os.environ.setdefault("DOCKER_HOST", DEFAULT).partition("unix://")[2]
    if sys.platform != "linux" or not _listening(socket_path):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        from testcontainers.core.docker_client import DockerClient

        logging.getLogger("testcontainers").setLevel(logging.WARNING)
        return DockerClient().client


def _listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_S)
        return probe.connect_ex(path) == 0


def label() -> str:
    """Says whose a container is: this process's."""
    return json.dumps(me())


def sweep() -> list[str]:
    """Remove the containers of runs that ended without doing so; their names."""
    client = answering()
    if client is None:
        return []
    import docker.errors

    # another run may end, or sweep, at the same time: what it removes meanwhile is none of ours
    found: list[Any] = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    left = [container for container in found if not lives(json.loads(container.labels[LABEL]))]
    for container in left:
        try:
            container.remove(force=True)
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):
                raise
    return [str(container.name) for container in left]
