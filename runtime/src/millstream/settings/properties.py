"""Worker files and connector files on disk."""

from pathlib import Path

from millstream.properties import parse_properties


def read_properties(path: Path | str, encoding: str = "iso-8859-1") -> dict[str, str]:
    """Read a file of settings in the format of Java properties.

    encoding: worker and connector files are Latin-1 with `\\uXXXX` for the rest, as in Java; those of the file config
              provider are UTF-8.

    Raises OSError, and ConfigError that names file and line of an escape that cannot be read.
    """
    return parse_properties(Path(path).read_bytes().decode(encoding), str(path))
