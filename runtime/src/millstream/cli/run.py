"""`millstream run`: a worker, from its files until it is told to stop."""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import click

from millstream.cli.output import fail
from millstream.errors import ConfigError, MillstreamError, RefusedConnectorError, message_of
from millstream.settings.properties import read_properties
from millstream.worker.interpreter import Begun, begin_early

EXIT_DIED, EXIT_SETUP, EXIT_START = 1, 2, 3

FORM = "[%(asctime)s] %(levelname)s %(message)s (%(name)s)"

log = logging.getLogger(__name__)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def run(files: tuple[Path, ...]) -> None:
    """Run a worker until it is told to stop.

    FILES: a worker's properties file, then connector files (.properties or .json). Without any: REST on
    127.0.0.1:8083, JSON converters, topics in ./millstream-data/.
    """
    worker_file, connectors = _sorted(files)
    run_worker(worker_file, connectors)


def _sorted(files: Sequence[Path]) -> tuple[Path | None, Sequence[Path]]:
    """The worker's file comes first; a first file that is JSON, or names a connector, is a connector's."""
    if not files:
        return None, ()
    first = files[0]
    if first.suffix == ".json":
        return None, files
    return (None, files) if "connector.class" in read_worker(first) else (first, files[1:])


def read_worker(path: Path) -> Mapping[str, str]:
    """The settings of a worker's file; ends the process with the reason when it cannot be read."""
    try:
        return read_properties(path)
    except OSError as error:
        fail(_unreadable(path, error), EXIT_SETUP)
    except (MillstreamError, ValueError) as error:  # it names the file and the line
        fail(message_of(error), EXIT_SETUP)


def run_worker(worker_file: Path | None, connector_files: Sequence[Path]) -> None:
    """Run a worker, and end the process with Java's exit codes; every error is one sentence, no traceback."""
    gc.disable()  # what is imported now stays; to search it for garbage takes a tenth of the start
    logging.basicConfig(level=logging.INFO, format=FORM, stream=sys.stderr)
    logging.addLevelName(5, "TRACE")
    given = {} if worker_file is None else read_worker(worker_file)
    bare = begin_early(given)
    # imported here, the composition last: `--help`, and a mistake in a file, answer at once
    from millstream.cli.connector_files import read_connectors
    from millstream.settings.reading import WITHOUT_A_FILE

    try:
        connectors = read_connectors(connector_files)
    except (MillstreamError, OSError, ValueError) as error:
        wrong_order = _order(worker_file, given)
        _refuse(bare, message_of(error) + wrong_order, EXIT_SETUP if wrong_order else EXIT_START)
    from millstream.cli.composition import Standalone

    try:
        worker = Standalone(given if worker_file is not None else dict(WITHOUT_A_FILE), bare)
    except (MillstreamError, OSError, ValueError) as error:
        _refuse(bare, _sentence(worker_file, error) + _order(worker_file, given), EXIT_SETUP)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # first, as REST answers before all has started
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, as a JVM takes it
            signal.signal(number, lambda *_: worker.ask_to_stop())
    try:
        worker.start([request for _, request in connectors.values()])
    except RefusedConnectorError as error:
        worker.stop()
        fail(f"{connectors[error.connector][0]}: connector {error.connector!r}: {message_of(error)}", EXIT_START)
    except (MillstreamError, OSError) as error:
        worker.stop()
        fail(_sentence(worker_file, error), EXIT_START)
    gc.freeze()
    gc.enable()
    failure = worker.wait()
    if failure is not None:
        died, what = failure
        log.critical("the worker ends: %s died of %s: %s", what, type(died).__name__, message_of(died), exc_info=died)
    worker.stop()
    _leave(EXIT_DIED if failure is not None else 0)


def _refuse(bare: Begun | None, sentence: str, code: int) -> NoReturn:
    if bare is not None:
        bare.end()
    fail(sentence, code)


def _leave(code: int) -> None:
    """End the process, as Java's `System.exit`: threads that plugins left behind in it do not keep it."""
    strays = [each.name for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if strays:
        log.warning("threads that plugins left behind end with the worker: %s", ", ".join(strays))
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    if code:
        raise SystemExit(code)


def _order(worker_file: Path | None, given: Mapping[str, str]) -> str:
    """What is to be added for someone who gave the files in another order."""
    if "connector.class" not in given:
        return ""
    return f". {worker_file} has connector.class, as a connector's file has: the worker's properties file comes first"


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: the worker file cannot be read: {error.strerror}; name a properties file this user may read"


def _sentence(worker_file: Path | None, error: Exception) -> str:
    where = f"{worker_file}: " if worker_file is not None and isinstance(error, ConfigError) else ""
    return where + message_of(error)
