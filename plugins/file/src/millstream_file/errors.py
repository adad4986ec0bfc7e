"""What goes wrong with files."""

from millstream_api import MillstreamError


class FileError(MillstreamError):
    """A file cannot be used, or an offset is none of a file; the message names it and says what to do."""
