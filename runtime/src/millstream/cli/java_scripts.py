"""`connect-standalone` and `connect-distributed`: the arguments and exit codes of the Java scripts."""

import sys
from pathlib import Path

from millstream.cli.interrupts import hear

EXIT_USAGE = 1


def connect_standalone() -> None:
    """connect-standalone worker.properties [connector1.properties|json …]"""
    hear()
    files = _files()
    if not files:
        sys.stderr.write(
            "USAGE: connect-standalone connect-standalone.properties [connector1.properties connector2.json ...]\n"
        )
        raise SystemExit(EXIT_USAGE)
    from millstream.cli.run import run_worker

    run_worker(files[0], files[1:])


def connect_distributed() -> None:
    """connect-distributed worker.properties"""
    hear()
    files = _files()
    if len(files) != 1:
        sys.stderr.write("USAGE: connect-distributed connect-distributed.properties\n")
        raise SystemExit(EXIT_USAGE)
    from millstream.cli.output import fail
    from millstream.cli.run import EXIT_SETUP, read_worker, run_worker

    if "group.id" not in read_worker(files[0]):
        problem = 'Missing required configuration "group.id" which has no default value'
        alone = "distributed mode is not built yet, and connect-standalone runs a worker alone"
        fail(f"{files[0]}: group.id: {problem}; {alone}", EXIT_SETUP)
    run_worker(files[0], [])  # `group.id` in it is refused with a sentence until distributed mode is built


def _files() -> list[Path]:
    """The arguments that are no options; those are for the scripts around a JVM, and who gave one is told. None where
    help is asked for. Source: AbstractConnectCli.run."""
    if "--help" in sys.argv[1:]:
        return []
    files = [Path(each) for each in sys.argv[1:] if not each.startswith("-")]
    options = [each.partition("=")[0] for each in sys.argv[1:] if each.startswith("-")]  # -D… may have a password
    if files and options:
        told = "not followed, as there is no JVM; the worker stays in the foreground"
        sys.stderr.write(f"millstream: {' '.join(options)}: {told}\n")
    return files
