"""Worker files and connector files on disk."""

from pathlib import Path

from millstream.properties import LATIN_1, parse_properties, text_of


def read_properties(path: Path | str, encoding: str = LATIN_1) -> dict[str, str]:
    """Read a file of settings in the format of Java properties.

    encoding: worker and connector files are Latin-1 with `\\uXXXX` for the rest, as in Java; those of the file config
              provider are UTF-8.

    Raises OSError, and ConfigError that names file and line of an escape that cannot be read.
    """
    return parse_properties(text_of(Path(path).read_bytes(), encoding), str(path))
