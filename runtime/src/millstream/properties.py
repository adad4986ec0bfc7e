"""The text format of `java.util.Properties`, of worker files, connector files and the file config provider.

At the very bottom of the runtime, because built-in plugins read it as well as settings do.
Source: the class documentation and LineReader of java.util.Properties, Java 17.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator

from millstream_api.errors import ConfigError

LATIN_1 = "iso-8859-1"
BLANK = " \t\f"
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def text_of(data: bytes, encoding: str = LATIN_1) -> str:
    """The text of a file's bytes. One that begins with the mark of UTF-8, as editors on Windows write it, is UTF-8."""
    marked = data.startswith(BOM_UTF8)
    return data.removeprefix(BOM_UTF8).decode("utf-8" if marked else encoding)


def parse_properties(text: str, source: str = "<properties>") -> dict[str, str]:
    """Read the text of such a file; a later duplicate wins.

    source: named in errors: ConfigError, for an escape that cannot be read, with the number of its line.
    """
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        end, start = _split(line)
        try:
            found[_unescape(line[:end])] = _unescape(line[start:])
        except ValueError as error:
            raise ConfigError({"": f"{source}, line {number}: {error}"}) from error
    return found


def _natural_lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of its first line, line with continuations joined); no comments, no blank lines."""
    pending: list[str] = []
    first = 0
    for number, natural in enumerate(_natural_lines(text), 1):
        line = natural.lstrip(BLANK)
        if not any(pending):  # behind a backslash that stands alone a comment is one, too
            if not line or line[0] in "#!":
                continue
            first = number
        if _ends_in_odd_backslashes(line):
            pending.append(line[:-1])
            continue
        joined = "".join(pending) + line
        pending = []
        if joined:
            yield first, joined
    if "".join(pending):
        yield first, "".join(pending)


def _ends_in_odd_backslashes(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[int, int]:
    """Say where the key ends and where the value starts."""
    end = 0
    while end < len(line) and line[end] not in "=: \t\f":
        end += 2 if line[end] == "\\" else 1
    end = min(end, len(line))
    start = end
    while start < len(line) and line[start] in BLANK:
        start += 1
    if start < len(line) and line[start] in "=:":
        start += 1
        while start < len(line) and line[start] in BLANK:
            start += 1
    return end, start


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out.append(text[at])
            at += 1
            continue
        escaped = text[at + 1 : at + 2]
        if escaped == "u":
            out.append(_unicode(text[at + 2 : at + 6]))
            at += 6
        else:
            out.append(ESCAPES.get(escaped, escaped))
            at += 2
    return _join_surrogates("".join(out))


def _unicode(digits: str) -> str:
    if len(digits) != 4 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(
            f"'\\u{digits}' is not a character: \\u takes four hexadecimal digits; write \\\\ for a backslash"
        )
    return chr(int(digits, 16))


def _join_surrogates(text: str) -> str:
    """Join the halves that Java's UTF-16 writes one after the other; a lone half becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
