"""Children without a template (`task.start=spawn`): an interpreter each. Elsewhere than on Linux the only way."""

import os
import signal
import subprocess
import sys

from millstream.worker.children import Child, refuse
from millstream.worker.environment import child_environment
from millstream.worker.loop import Loop

LOOK_SECONDS = 0.05


class SpawnedProcess:
    """A child that the worker itself started and reaps: its number stays its own until then."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        try:
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended, and nothing of its group is left

    def stack(self) -> None:
        return None


class Spawner:
    """Starts an interpreter per child; on Linux it hears of an end at once, elsewhere it looks every 50 ms."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: dict[int, Child] = {}
        self._lives: dict[int, int] = {}  # pipes that nothing is written to: a child's group ends with its pipe

    def warm(self) -> None:
        """Nothing can be made ready."""

    def launch(self, child: Child) -> None:
        channel, writing = child.far_ends()
        try:
            life, own_life = os.pipe()
        except OSError as error:
            refuse(child, "process", error)
            return
        numbers = (str(channel.fileno()), str(writing), str(os.getpid()), str(life))
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "millstream.host.child", *numbers],
                pass_fds=[channel.fileno(), writing, life],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
                env=child_environment(),
            )
        except OSError as error:
            os.close(own_life)
            refuse(child, "process", error)
            return
        finally:
            os.close(life)
        child.close_far_ends()
        self._running[process.pid] = child
        self._lives[process.pid] = own_life
        child.carried_by(SpawnedProcess(process))
        self._watch(process, child)

    def close(self) -> None:
        for child in list(self._running.values()):
            child.kill()

    def _watch(self, process: "subprocess.Popen[bytes]", child: Child) -> None:
        try:
            ended = os.pidfd_open(process.pid) if sys.platform == "linux" else -1
        except OSError:  # the last descriptor went to the process itself
            ended = -1
        if ended < 0:
            self._look(process, child)
            return

        def on_end(_: int) -> None:
            self._loop.forget(ended)
            os.close(ended)
            self._end(process, child)

        self._loop.watch(ended, on_end)

    def _look(self, process: "subprocess.Popen[bytes]", child: Child) -> None:
        if process.poll() is None:
            self._loop.after(LOOK_SECONDS, lambda: self._look(process, child))
        else:
            self._end(process, child)

    def _end(self, process: "subprocess.Popen[bytes]", child: Child) -> None:
        SpawnedProcess(process).signal(signal.SIGKILL)  # what it had started goes with it
        del self._running[process.pid]
        os.close(self._lives.pop(process.pid))
        child.gone(process.wait())
