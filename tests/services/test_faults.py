"""Something goes wrong in the middle, and no line is lost, it is said, and all comes back. More: fault_rounds.py."""

from pathlib import Path

import pytest

from services.abreast import abreast
from services.faulting import Round, run_round
from services.kafka import Kafka
from services.proxy import Proxy

LINES = 50_000


@pytest.mark.timeout(600)  # deadlines of a round are a loaded machine's; on an idle one it takes 10 to 30 s
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")
def test_nothing_is_lost_or_silent_and_all_comes_back(kafka: Kafka, kafka_proxy: Proxy, tmp_path: Path) -> None:
    def case(fault: str) -> None:
        done = run_round(tmp_path / fault.replace(" ", "-"), Round(1, 7, [fault]), kafka, LINES)
        assert not done.problems

    abreast(case, "kill -9 source", "topic deleted", "frozen from the broker", "stop sink")
