"""A port is given once, whoever asks: it is used a while after it was chosen."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services import ports

FEW = 200
ASKED = 60
OTHER = "import sys; from services import ports; ports.RANGE = range(*map(int, sys.argv[1:])); print(*ports.free({}))"


def test_no_port_is_given_twice_to_threads_or_to_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    (somewhere,) = ports.free(1)
    few = range(somewhere, somewhere + FEW)
    monkeypatch.setattr(ports, "RANGE", few)
    with ThreadPoolExecutor(4) as threads:
        ours = [port for some in threads.map(ports.free, [ASKED // 4] * 4) for port in some]
    command = [sys.executable, "-c", OTHER.format(ASKED), str(few.start), str(few.stop)]
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    told = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    assert len({*ours, *map(int, told.split())}) == 2 * ASKED


def test_a_port_that_is_listened_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = ports.free(1)
    monkeypatch.setattr(ports, "RANGE", range(taken, taken + 1))
    monkeypatch.setattr(ports, "GIVEN", set())
    with ports.socket.create_server((ports.HOST, taken)), pytest.raises(OSError, match="no 1 free ports"):
        ports.free(1)
