"""Sizes of memory as an operator writes them."""

import re

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
SMALLEST = 1_000_000
FORM = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,3})?)([kmg%]?)\s*", re.IGNORECASE)
FORMS = "bytes, at least 1000000, a size such as 512m or 2g, or a share of the memory from 1% to 100%"


def parse_size(text: str, total: int) -> int:
    """Read `worker.memory.limit`: bytes, a size such as `512m` or `2g`, or a share of `total` bytes such as `70%`.

    Raises ValueError that says which forms there are.
    """
    found = FORM.fullmatch(text)
    if found is not None:
        number, unit = float(found[1]), found[2].lower()
        if unit == "%" and 1 <= number <= 100:
            return int(total * number / 100)
        if unit != "%" and int(number * UNITS[unit]) >= SMALLEST:
            return int(number * UNITS[unit])
    raise ValueError(f"expected {FORMS}")
