"""Connectors between files and topics: files that grow while they are read, and what became of their lines."""

import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from crowd import Crowd, Stage, number_of, share, topic_of
from services.accounting import LINE_BYTES, Account, accounted, file_rows, line, topic_rows
from services.standalone import SINK, SOURCE

PIECES_A_SECOND = 2


@dataclass(frozen=True)
class FileCrowd(Crowd):
    """A source reads one file with one task; the other tasks are sinks', and append to one file for each topic."""

    def tasks_of(self, name: str) -> int:
        pairs = self.connectors // 2
        return 1 if name.startswith("source") else share(self.tasks - pairs, pairs, number_of(name))

    def config(self, name: str, folder: Path) -> dict[str, str]:
        return {"connector.class": SOURCE if name.startswith("source") else SINK, "file": str(file_of(name, folder))}

    def topic_settings(self) -> dict[str, str]:
        return {}  # all that was ever written is counted at the end


def file_of(name: str, folder: Path) -> Path:
    return folder / f"{name}.txt"


class GrowingFiles:
    """Numbered lines that come in pieces which end anywhere. lines_a_second: of all files together."""

    def __init__(self, paths: list[Path], lines_a_second: float, chance: random.Random) -> None:
        self._bytes = dict.fromkeys(paths, 0)
        self._piece = lines_a_second * LINE_BYTES / len(paths) / PIECES_A_SECOND
        self._chance = chance
        self._held: set[Path] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        for path in paths:
            path.touch()

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """No more, and every last line whole."""
        self._over.set()
        self._thread.join()
        for path, size in self._bytes.items():
            self._write(path, -size % LINE_BYTES)

    def lines(self, path: Path) -> int:
        return self._bytes[path] // LINE_BYTES

    def given(self) -> int:
        return sum(size // LINE_BYTES for size in self._bytes.values())

    @contextmanager
    def held(self, path: Path) -> Iterator[None]:
        """Nothing is written to it meanwhile."""
        with self._lock:
            self._held.add(path)
        try:
            yield
        finally:
            with self._lock:
                self._held.remove(path)

    def _run(self) -> None:
        while not self._over.wait(1 / PIECES_A_SECOND):
            for path in self._bytes:
                with self._lock:
                    if path not in self._held:
                        self._write(path, int(self._piece * self._chance.uniform(0.0, 2.0)))

    def _write(self, path: Path, size: int) -> None:
        start = self._bytes[path]
        first, end = start // LINE_BYTES, start + size
        text = "".join(map(line, range(first, -(-end // LINE_BYTES)))).encode()
        with path.open("ab") as file:
            file.write(text[start - first * LINE_BYTES : end - first * LINE_BYTES])
        self._bytes[path] = end


def sunk(stage: Stage) -> int:
    """Lines in the sinks' files, repeats among them."""
    copies = (file_of(name, stage.control) for name in stage.crowd.names() if name.startswith("sink"))
    return sum(copy.stat().st_size // LINE_BYTES for copy in copies if copy.exists())


def missing(stage: Stage, files: GrowingFiles) -> dict[str, int]:
    """By sink: how many lines of its source are not in its file yet."""
    found = {}
    for name in (each for each in stage.crowd.names() if each.startswith("sink")):
        lines = files.lines(file_of(f"source-{number_of(name)}", stage.control))
        copy = file_of(name, stage.control)
        if not copy.exists() or copy.stat().st_size < lines * LINE_BYTES:
            found[name] = lines - (copy.stat().st_size // LINE_BYTES if copy.exists() else 0)
        elif left := set(range(lines)) - {row.number for row in file_rows(copy, witness=False)[0]}:
            found[name] = len(left)
    return found


def account(stage: Stage, files: GrowingFiles) -> dict[str, Any]:
    """What of every line is in the topics and in the sinks' files; by connector, where something is not as it was."""
    total: Counter[str] = Counter()
    odd = {}
    for name in (each for each in stage.crowd.names() if each.startswith("sink")):
        found = Account(files.lines(file_of(f"source-{number_of(name)}", stage.control)))
        rows, found.foreign = file_rows(file_of(name, stage.control), witness=False)
        accounted(found, topic_rows(stage.kafka, topic_of(name)), rows)
        total.update({what: number for what, number in asdict(found).items() if isinstance(number, int)})
        if found.lost_topic or found.lost_file or found.foreign:
            odd[name] = asdict(found)
    return {**total, "odd": odd}
