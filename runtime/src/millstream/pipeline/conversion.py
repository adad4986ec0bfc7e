"""Values to bytes and back."""

from dataclasses import dataclass
from typing import Any

from millstream_api import Converter, HeaderConverter


@dataclass(frozen=True, slots=True)
class Converters:
    """The three converters of a task, configured.

    class_names: what logs and dead letters call (key, value, header); by default module:Class.
    """

    key: Converter[Any]
    value: Converter[Any]
    header: HeaderConverter[Any]
    class_names: tuple[str, str, str] = ("", "", "")
