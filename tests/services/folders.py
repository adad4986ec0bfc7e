"""The folder of each running service, with who started it; what a killed run left behind is swept."""

import json
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from services.cache import locked, root
from services.errors import Unavailable

#: when a process began is told by the wall clock, which may be set anew; no pid comes again so soon
DRIFT_S = 60
GONE_S = 60
OWNER, PROCESS = "owner.json", "process.json"


def me() -> dict[str, Any]:
    """This process, so that a later one can tell whether it still lives."""
    return {"host": platform.node(), **identity(os.getpid())}


def identity(pid: int) -> dict[str, Any]:
    """A pid and when it began: pids are given again."""
    return {"pid": pid, "began": psutil.Process(pid).create_time()}


def lives(found: dict[str, Any]) -> bool:
    """Whether an identity is that of a process that runs now. Another host's are left alone."""
    if found.get("host", platform.node()) != platform.node():
        return True
    try:
        return abs(psutil.Process(found["pid"]).create_time() - float(found["began"])) < DRIFT_S
    except psutil.NoSuchProcess:
        return False


def running() -> Path:
    """Where the folders of all running services are."""
    folder = root() / "running"
    folder.mkdir(exist_ok=True)
    return folder


def made(name: str) -> Path:
    """A new folder for a service of this process."""
    with locked(root() / "running.lock"):
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=running()))
        (folder / OWNER).write_text(json.dumps(me()))
    return folder


def limited(folder: Path, megabytes: int) -> None:
    """Make a folder that has room for so much and no more: a file system in memory, until `removed`."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "millstream", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"a disk that fills up can be made by root alone: {done.stderr.strip()}")


def sweep() -> list[str]:
    """End the processes and remove the folders of runs that ended without doing so; their names."""
    swept = []
    with locked(root() / "running.lock"):
        for folder in sorted(running().iterdir()):
            with suppress(FileNotFoundError):  # a run that lives removes its own at the same time
                if (folder / OWNER).exists() and lives(json.loads((folder / OWNER).read_text())):
                    continue
                if (folder / PROCESS).exists():
                    end(json.loads((folder / PROCESS).read_text()))
                removed(folder)
                swept.append(folder.name)
    return swept


def end(found: dict[str, Any]) -> None:
    if lives(found):
        process = psutil.Process(found["pid"])
        process.kill()
        process.wait(GONE_S)


def removed(folder: Path) -> None:
    for inside in folder.iterdir():
        if inside.is_mount():
            subprocess.run(["umount", str(inside)], check=True)
    shutil.rmtree(folder, ignore_errors=True)
