"""The program `millstream`: a signal is heard before anything that takes time is imported."""

from millstream.cli.interrupts import hear


def program() -> None:
    """Run the command line, as `millstream.cli.main:main` would."""
    hear()
    from millstream.cli.main import main

    main()
