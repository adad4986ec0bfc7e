"""A service as a process of this machine."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from services.errors import EndedError
from services.folders import PROCESS, identity
from services.instance import PATIENCE_S, Program, tail
from services.usage import Usage, usage

STOP_S = 60.0


class Process:
    """An `Instance` without a container."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.program.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.command,
                cwd=self.program.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.program.environment},
                start_new_session=True,  # Ctrl-C is for the tests, which then stop their services
            )
        (self.program.folder / PROCESS).write_text(json.dumps(identity(self._process.pid)))

    def stop(self) -> None:
        if self.alive():
            self.resume()
            self._running.terminate()
            try:
                self._running.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        self._running.kill()
        self._running.wait(STOP_S)

    def pause(self) -> None:
        """Until it stands: a thread on another processor goes on for a moment, and may answer."""
        self._running.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_S
        while not _stands(self._running.pid):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.program.name} goes on {STOP_S:g} s after SIGSTOP")
            time.sleep(0.005)

    def resume(self) -> None:
        self._running.send_signal(signal.SIGCONT)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        code = self._running.wait(PATIENCE_S)
        if code != 0:
            raise EndedError(f"{self.program.name} ended with {code}:\n{tail(self.program.log)}")

    def usage(self) -> Usage:
        return usage([self._running.pid])

    def remove(self) -> None:
        self.stop()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EndedError(f"{self.program.name} was never started")
        return self._process


def _stands(pid: int) -> bool:
    """Whether each of its threads is stopped; where there is no /proc, that it was asked for has to do."""
    threads = Path(f"/proc/{pid}/task")
    try:
        stats = [(thread / "stat").read_text() for thread in threads.iterdir()]
    except (FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile, before or behind its open
        return not threads.is_dir()
    return all(stat.rpartition(")")[2].split()[0] in "TtZX" for stat in stats)
