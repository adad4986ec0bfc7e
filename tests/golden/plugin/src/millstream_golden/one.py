"""Same simple name in two modules, for the ambiguous alias."""

from millstream_golden.source import GoldenSource


class TwinConnector(GoldenSource):
    """GoldenSource under a name that is not its own."""
