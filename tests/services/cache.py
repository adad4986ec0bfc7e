"""What is kept between runs, outside the checkout: each thing under the hash of the recipe that made it."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "MILLSTREAM_SERVICES_CACHE"


def root() -> Path:
    """The folder of everything built and of everything running; it is made when it is not there."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(FOLDER) or user / "millstream-services").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def built(name: str, recipe: Iterable[str], build: Callable[[Path], None]) -> Path:
    """The folder that `build` filled, in this run or an earlier one with the same recipe.

    `build` is given an empty folder beside the final place; a build that raises leaves nothing. Two runs at once
    build once.
    """
    digest = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:16]
    folder = root() / f"{name}-{digest}"
    if folder.exists():
        return folder
    with locked(root() / f"{name}.lock"):
        if not folder.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root()))
            try:
                build(aside)
                aside.rename(folder)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the processes of this machine."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
