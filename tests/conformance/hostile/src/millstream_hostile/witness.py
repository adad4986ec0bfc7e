"""A sink that says who wrote what, and may be told to be slow."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from millstream_api import Config, Settings, SinkBatch, SinkConnector, SinkTask, key

STEP_S = 0.05


class WitnessConfig(Config):
    """Where to write, and who sleeps."""

    file: str = key(doc="The file to append to: partition, offset, process and value, one record a line.")
    slow: str = key("", doc="While a file of this name holds a task's pid, the put of that task does not return.")


class WitnessSinkTask(SinkTask[WitnessConfig]):
    """Each put is one write, so that lines of several tasks stay whole."""

    def start(self) -> None:
        self._file = os.open(self.config.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def put(self, batch: SinkBatch) -> None:
        me = os.getpid()
        while self.config.slow and _holds(self.config.slow, me):
            time.sleep(STEP_S)
        rows = zip(batch.origins, batch, strict=True)
        text = "".join(f"{at.partition} {at.offset} {me} {record.value}\n" for at, record in rows)
        os.write(self._file, text.encode())

    def stop(self) -> None:
        os.close(self._file)


class WitnessSink(SinkConnector[WitnessConfig]):
    """Any number of tasks, all into one file."""

    config_class = WitnessConfig
    task_class = WitnessSinkTask

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        return [{}] * max_tasks


def _holds(file: str, pid: int) -> bool:
    try:
        return Path(file).read_text() == str(pid)
    except FileNotFoundError:
        return False
