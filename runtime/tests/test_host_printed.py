"""What a child prints: looked at once a line, and a secret is found however many pieces it comes in."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.host.masking import Veil
from millstream.host.output import Printed

SECRETS = {
    "${v:one}": "hush-hush/ü",
    "${v:half}": "hush-hush",
    "${v:key}": "line one\nline two",
    "${v:other}": "hush-a-bye",
}


def veil() -> Veil:
    made = Veil()
    made.hide(SECRETS)
    return made


class Pipe:
    """Where it is printed to, and what has come out."""

    def __init__(self, part: Callable[[bytes, bool], tuple[bytes, bytes]]) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.printed = Printed(self._writing, part)

    def told(self) -> str:
        try:
            return os.read(self._reading, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        self.printed.close()
        os.close(self._reading)
        os.close(self._writing)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(veil().part)
    yield made
    made.close()


def test_a_secret_in_two_writes_is_hidden_and_what_stands_before_it_is_told(pipe: Pipe) -> None:
    pipe.printed.write("it is hush-")
    pipe.printed.flush()
    assert pipe.told() == "it is "
    pipe.printed.write("hush/ü, he said\n")
    assert pipe.told() == "${v:one}, he said\n"


def test_what_only_began_like_a_secret_is_told_with_what_comes_next_or_at_the_end(pipe: Pipe) -> None:
    print("hush-", end="", flush=True, file=pipe.printed)
    assert pipe.told() == ""
    print("puppies", file=pipe.printed)
    assert pipe.told() == "hush-puppies\n"
    print("now hush", end="", flush=True, file=pipe.printed)
    assert pipe.told() == "now "
    pipe.printed.finish()
    assert pipe.told() == "hush"


def test_a_secret_that_is_the_beginning_of_another_is_told_as_neither_until_it_is_known_which(pipe: Pipe) -> None:
    for rest, variable in (("/ü", "${v:one}"), ("; no more", "${v:half}; no more")):
        print("hush-hush", end="", flush=True, file=pipe.printed)
        assert pipe.told() == ""
        print(rest, file=pipe.printed)
        assert pipe.told() == f"{variable}\n"
    print("hush-hush", end="", flush=True, file=pipe.printed)
    pipe.printed.finish()
    assert pipe.told() == "${v:half}"


def test_a_secret_of_two_lines_is_hidden_when_it_comes_line_by_line(pipe: Pipe) -> None:
    for line in SECRETS["${v:key}"].split("\n"):
        print(line, file=pipe.printed)
    assert pipe.told() == "${v:key}\n"


@given(st.lists(st.sampled_from([*SECRETS.values(), "hush", "line one\n", "ü", " ", "\n", "a"]), max_size=8), st.data())
def test_wherever_it_is_cut_the_same_is_told(said: list[str], data: st.DataObject) -> None:
    text = "".join(said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pipe = Pipe(veil().part)
    try:
        for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            pipe.printed.write(text[begin:end])
            pipe.printed.flush()
        pipe.printed.finish()
        told = pipe.told()
        assert not [secret for secret in SECRETS.values() if secret in told]
        assert told.encode() == veil().part(text.encode(), True)[0]
    finally:
        pipe.close()


def test_a_line_is_looked_at_once_in_however_many_pieces_it_is_printed() -> None:
    looks: list[bytes] = []

    def part(printed: bytes, is_last: bool) -> tuple[bytes, bytes]:
        looks.append(printed)
        return printed, b""

    pipe = Pipe(part)
    print(*range(100), file=pipe.printed)
    pipe.close()
    assert looks == [(" ".join(map(str, range(100))) + "\n").encode()]


def test_of_threads_that_print_beginnings_of_secrets_side_by_side_nothing_is_lost(pipe: Pipe) -> None:
    many = 200

    def run() -> None:
        for _ in range(many):
            print("hush", end="", flush=True, file=pipe.printed)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    pipe.printed.finish()
    assert pipe.told().count("hush") == 4 * many
