"""Ends the process that imports it."""

import sys

from millstream_api import SinkConnector, SourceConnector


class ExitsAtImport(SourceConnector):  # type: ignore[type-arg]
    """Never seen."""


class SinkExitsAtImport(SinkConnector):  # type: ignore[type-arg]
    """Nor this one."""


sys.exit(7)
