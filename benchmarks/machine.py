"""What a figure depends on beside the program: said on the screen and kept with every result."""

import json
import os
import platform
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """Versions, machine, and its load at this moment."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "orjson": version("orjson"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
    }


def cache_bytecode() -> None:
    """Let the processes that are measured keep their bytecode, as an installation does: to compile all of it anew is
    half of a start. The first process of a run writes it, and is not to be counted."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def said(around: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in around.items())


def keep(name: str, around: dict[str, Any], **results: Any) -> None:
    """Write benchmarks/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({**around, **results}, indent=1, default=str)
    (RESULTS / f"{name}.json").write_text(text + "\n")
