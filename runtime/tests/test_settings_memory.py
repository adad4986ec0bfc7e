"""Sizes of memory in every form that the setting takes, and in none that it does not."""

import pytest

from millstream.settings.memory import parse_size
from millstream.settings.reading import worker_config

GIVEN = {"key.converter": "JsonConverter", "value.converter": "JsonConverter", "bootstrap.servers": "sqlite:a.db"}


@pytest.mark.parametrize(
    ("text", "size"),
    [("70%", 7_000), ("100%", 10_000), ("512m", 512 << 20), ("2G", 2 << 30), ("1.5g", 3 << 29), ("1000000", 1_000_000)],
)
def test_a_memory_limit_is_read_in_every_form_and_the_worker_takes_it(text: str, size: int) -> None:
    assert parse_size(text, 10_000) == size
    assert worker_config({**GIVEN, "worker.memory.limit": text}).worker_memory_limit == text


@pytest.mark.parametrize(
    "text", ["", "much", "0%", "101%", "999999", "5k", "-1g", "inf", "nan", "1e9", "5 t", "9" * 99]
)
def test_a_memory_limit_in_no_form_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="expected bytes, at least 1000000, a size such as 512m or 2g, or a share"):
        parse_size(text, 10_000)
