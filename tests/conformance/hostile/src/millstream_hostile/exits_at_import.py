"""Ends the process that imports it."""

import sys

from millstream_api import SourceConnector


class ExitsAtImport(SourceConnector):  # type: ignore[type-arg]
    """Never seen."""


sys.exit(7)
